"""The page in a real browser, beside the same model file in Python."""

import shutil
from functools import partial
from http.server import (
    BaseHTTPRequestHandler,
    HTTPServer,
    SimpleHTTPRequestHandler,
    ThreadingHTTPServer,
)

import cv2
import numpy as np
import pytest

from data.demo import draw_frame
from data.images import read_image, silent_codecs
from tests.web.page import (
    Page,
    dice,
    opened_browser,
    requested_addresses,
    serving,
)
from web import bench
from web.build import RUNTIME_SCRIPT, SAMPLE_SIZE, SAMPLES
from web.chromium import wait_for
from web.serve import make_server

pytestmark = pytest.mark.slow

EXIF_TURN = 6  # shown turned by 90 degrees clockwise


def write_picture(path, seed=5024, size=(480, 640), quality=95):
    """Draws a frame into a file, PNG or JPEG by its suffix."""
    frame, _ = draw_frame(seed, size)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    cv2.imwrite(str(path), frame[..., ::-1], options)
    return path


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG file with an EXIF segment that says how it is to be turned."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0])
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01" + entry + bytes(4)
    segment = b"Exif\x00\x00" + tiff
    length = (len(segment) + 2).to_bytes(2, "big")
    return jpeg[:2] + b"\xff\xe1" + length + segment + jpeg[2:]


def write_video(path, frames):
    """Writes frames as a WebM film of 10 frames a second."""
    height, width = frames[0].shape[:2]
    with silent_codecs():
        code = cv2.VideoWriter_fourcc(*"VP80")
        film = cv2.VideoWriter(str(path), code, 10, (width, height))
        assert film.isOpened()
        for frame in frames:
            film.write(np.ascontiguousarray(frame[..., ::-1]))
        film.release()
    return path


def moving_frames(count, size=(256, 320)):
    """A frame that wanders to the right."""
    frame, _ = draw_frame(SAMPLES["One polyp"], size)
    return [np.roll(frame, 2 * step, axis=1) for step in range(count)]


def test_opens_with_a_sample_in_which_polyps_are_found(page):
    assert page.text("#count") == "1 polyp"
    assert page.text("#network") == "LGPS · 1.08 million parameters · 256×256"
    assert "2 threads" in page.text("#backend") or "4 threads" in page.text("#backend")
    body = page.text("body")
    assert "Nothing you open leaves it" in body and "Not a medical device" in body
    assert page.complaints() == []


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_segmented_as_they_were_drawn(page, name):
    page.element(f"button[title='{name}']").click()
    page.wait_for_result(name)
    _, truth = draw_frame(SAMPLES[name], SAMPLE_SIZE)
    assert dice(page.save_mask(), truth) > 0.9
    assert page.saved_name == f"{name}_mask.png"


@pytest.mark.parametrize("threads", [1, 2])
def test_probabilities_are_those_of_python(page, in_python, threads):
    height, width = in_python.runtime.image_size
    frame, _ = draw_frame(11, (height, width))
    found = page.browser.execute_async_script(
        """
        const [pixels, threads, done] = arguments;
        import('/network.js').then(async ({ loadNetwork }) => {
          const loaded = await loadNetwork({ threads, onProgress() {} });
          const rgb = Uint8ClampedArray.from(atob(pixels), (c) => c.charCodeAt(0));
          const { probability } = await loaded.network.run(rgb);
          done({ threads: loaded.threads, probability: [...probability] });
        }).catch((error) => done({ error: error.message }));
        """,
        base64_of(frame),
        threads,
    )
    assert found.get("error") is None
    assert found["threads"] == threads
    expected = in_python.runtime(frame)
    assert 0.001 < (expected > 0.5).mean() < 0.999  # there is something to compare
    difference = np.abs(np.reshape(found["probability"], expected.shape) - expected)
    assert difference.max() < 1e-4


def base64_of(array):
    import base64

    return base64.b64encode(array.tobytes()).decode()


@pytest.mark.parametrize(
    ("name", "seed", "size"),
    [
        ("own_size.png", 5002, (256, 256)),
        ("video_frame.png", 5158, (480, 640)),
        ("large.jpg", 5052, (1080, 1920)),
        ("odd.jpg", 5283, (487, 331)),
        ("small.png", 5040, (150, 200)),
    ],
)
def test_saved_mask_is_that_of_python(page, in_python, tmp_path, name, seed, size):
    file = write_picture(tmp_path / name, seed, size)
    page.choose(file)
    page.wait_for_result(name)
    image = read_image(file)
    for threshold in (0.5, 0.85):
        page.slide(threshold)
        expected = in_python(image, threshold)
        assert expected.mask.any()
        noun = "polyp" if len(expected.boxes) == 1 else "polyps"
        page.wait_for_text("#count", f"{len(expected.boxes)} {noun}".__eq__)
        mask = page.save_mask()
        assert mask.shape == expected.mask.shape
        assert dice(mask, expected.mask) >= 0.995
        area = float(page.text("#area").split()[0])
        assert area == pytest.approx(expected.area_percent, abs=0.1)


def test_picture_is_turned_by_its_exif_tag(page, in_python, tmp_path):
    file = write_picture(tmp_path / "turned.jpg", 5024, (480, 640))
    file.write_bytes(with_exif(file.read_bytes(), EXIF_TURN))
    image = read_image(file)
    assert image.shape[:2] == (640, 480)
    page.choose(file)
    page.wait_for_result("turned.jpg")
    assert dice(page.save_mask(), in_python(image).mask) >= 0.995


def test_threshold_needs_no_new_inference(page):
    frames = page.text("#frames")
    many = page.save_mask().sum()
    page.slide(0.95)
    page.wait_for_text("#threshold-value", "0.95".__eq__)
    few = page.save_mask().sum()
    page.slide(0.05)
    assert page.save_mask().sum() > many > few
    assert page.text("#frames") == frames == "1 frame"
    page.browser.execute_script("document.querySelector('[value=heatmap]').click()")
    assert page.text("#frames") == frames


def test_overlay_is_the_picture_with_a_layer(page, tmp_path):
    file = write_picture(tmp_path / "frame.png")
    page.choose(file)
    page.wait_for_result("frame.png")
    image = read_image(file)
    mask = page.save_mask()
    inner = cv2.erode(mask, np.ones((11, 11))) > 0
    outer = cv2.dilate(mask, np.ones((11, 11))) == 0
    edge = (cv2.dilate(mask, np.ones((3, 3))) > 0) & (mask == 0)
    changed = {}
    for layer in ("none", "contour", "heatmap"):
        page.element(f"[value={layer}] + span").click()
        overlay = page.save("overlay")
        assert page.saved_name == "frame_overlay.png"
        changed[layer] = np.abs(overlay.astype(int) - image).max(axis=2) > 2
    assert not changed["none"].any()
    assert changed["contour"][edge].mean() > 0.7
    assert not changed["contour"][inner | outer].any()
    assert changed["heatmap"][inner].mean() > 0.95
    assert not changed["heatmap"][outer].mean() > 0.02


def test_dropped_files_are_listed_and_the_first_is_shown(page, tmp_path):
    files = [
        write_picture(tmp_path / f"{name}.png", seed)
        for name, seed in (("first", 5024), ("second", 5158))
    ]
    page.drop(*files)
    assert page.wait_for_result("first.png") == "1 polyp"
    page.element("button[title='second.png']").click()
    assert page.wait_for_result("second.png") == "2 polyps"
    chosen = page.browser.find_elements("css selector", "#strip [aria-pressed=true]")
    assert [button.text for button in chosen] == ["second.png"]
    assert page.complaints() == []


def test_damaged_picture_is_named_and_the_page_goes_on(page, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    page.drop(broken)
    wait_for(lambda: page.error, "an error")
    assert page.error.startswith("broken.png is damaged, or not a picture or video")
    page.element("button[title='Two polyps']").click()
    assert page.wait_for_result("Two polyps") == "2 polyps"
    assert page.error == ""


def test_damaged_video_is_named(page, tmp_path):
    broken = tmp_path / "broken.webm"
    broken.write_bytes(b"\x1aE\xdf\xa3" + bytes(1000))
    page.choose(broken)
    wait_for(lambda: page.error, "an error")
    assert page.error.startswith("broken.webm is damaged, or a video that this browser")
    assert page.hidden("#player")


def test_video_is_analysed_while_it_plays(page, tmp_path):
    page.choose(write_video(tmp_path / "film.webm", moving_frames(100)))
    wait_for(lambda: not page.hidden("#player"), "the player")
    ticks = "window.ticks = 0; setInterval(() => (window.ticks += 1), 20)"
    page.browser.execute_script(ticks)
    progress = page.wait_for_text("#progress", lambda text: "polyp in 8" in text)
    assert progress.startswith("0:0") and " of 0:10 · " in progress
    # The page is free while the worker computes: many ticks pass during a frame.
    assert page.browser.execute_script("return window.ticks") > 20

    page.element("#play").click()  # pause
    page.wait_for_text("#play", "Play".__eq__)
    seconds = "return document.getElementById('video').currentTime"
    paused_at = page.browser.execute_script(seconds)
    page.browser.execute_script(
        """
        const position = document.getElementById('position');
        position.value = 0.8;
        position.dispatchEvent(new Event('input', { bubbles: true }));"""
    )
    page.wait_for_text("#progress", lambda text: text.startswith("0:08"))
    assert page.browser.execute_script(seconds) > paused_at

    page.element("#play").click()
    page.wait_for_text("#play", "Play again".__eq__)
    page.element("#stop").click()
    assert page.hidden("#player")
    assert page.save_mask().any()  # its last frame stays
    assert page.saved_name == "film_mask.png"
    assert page.complaints() == []


def test_picture_opened_during_a_video_ends_it(page, tmp_path):
    page.choose(write_video(tmp_path / "film.webm", moving_frames(60)))
    page.wait_for_text("#progress", lambda text: "frames analysed" in text)
    page.element("button[title='Two polyps']").click()
    assert page.wait_for_result("Two polyps") == "2 polyps"
    assert page.hidden("#player")
    assert not page.browser.execute_script(
        "return document.getElementById('video').hasAttribute('src')"
    )


def write_camera_film(path, frame):
    """Writes a frame as the Y4M film that Chromium's fake camera shows."""
    height, width = frame.shape[:2]
    planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes()
    header = f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(header + 10 * (b"FRAME\n" + planes))
    return path


def test_camera(address, tmp_path):
    frame, truth = draw_frame(SAMPLES["Two polyps"], (480, 640))
    film = write_camera_film(tmp_path / "camera.y4m", frame)
    flags = "use-fake-ui-for-media-stream", "use-fake-device-for-media-stream"
    with opened_browser(*flags, f"use-file-for-fake-video-capture={film}") as browser:
        page = Page(browser, address, tmp_path / "downloads")
        page.open()
        page.wait_for_result()
        page.element("#camera").click()
        page.wait_for_text("#progress", lambda text: "polyp in 3" in text)
        assert page.text("#progress").startswith("Live")
        assert page.text("#count") == "2 polyps"
        mask = page.save_mask()
        assert page.saved_name == "camera_mask.png"
        assert dice(cv2.resize(mask, truth.shape[::-1]), truth) > 0.9
        page.element("#stop").click()
        stream = "return document.getElementById('video').srcObject"
        assert browser.execute_script(stream) is None
        assert page.complaints() == []


def test_missing_camera_is_said(address, tmp_path):
    with opened_browser("use-fake-ui-for-media-stream") as browser:
        page = Page(browser, address, tmp_path)
        page.open()
        page.wait_for_result()
        page.element("#camera").click()
        wait_for(lambda: page.error, "an error")
        assert page.error == "No camera was found on this device."


def test_webassembly_switched_off_is_said(address, tmp_path):
    with opened_browser("js-flags=--jitless") as browser:
        page = Page(browser, address, tmp_path)
        page.open()
        wait_for(lambda: page.error, "an error")
        assert page.error.startswith("WebAssembly is switched off in this browser")


def test_missing_network_is_said(browser, dist, tmp_path):
    folder = shutil.copytree(dist, tmp_path / "dist")
    (folder / "model.onnx").unlink()
    with serving(make_server(folder, 0)) as url:
        page = Page(browser, url, tmp_path)
        page.open()
        wait_for(lambda: page.error, "an error")
        assert page.error == (
            "The network cannot be loaded: model.onnx is missing (HTTP 404)."
            " Reload the page."
        )


def test_missing_part_of_the_page_is_said(browser, dist, tmp_path):
    folder = shutil.copytree(dist, tmp_path / "dist")
    (folder / RUNTIME_SCRIPT).unlink()
    with serving(make_server(folder, 0)) as url:
        page = Page(browser, url, tmp_path)
        page.open()
        wait_for(lambda: page.error, "an error")
        assert page.error == "A part of this page did not arrive. Reload the page."


def test_runs_in_one_thread_on_a_host_without_the_headers(browser, dist, tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=str(dist))
    handler.func.log_message = lambda *args: None
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        page = Page(browser, url, tmp_path)
        page.open()
        assert page.wait_for_result() == "1 polyp"
        expected = "WebAssembly, 1 thread (the page is not isolated)"
        assert page.text("#backend") == expected
        assert page.complaints() == []


def test_measures_the_network(page):
    page.element("#measure").click()
    page.wait_for_text("#measure", lambda text: text.startswith("Stop ("))
    page.wait_for_text("#frames", lambda text: text[0] in "3456789")
    page.element("#measure").click()
    page.wait_for_text("#measure", lambda text: text.startswith("Measure"))
    assert int(page.text("#frames").split()[0]) < 50
    p50, _, p95, unit = page.text("#network-ms").split()
    assert 0 < float(p50) <= float(p95) and unit == "ms"


def test_fits_a_phone(page):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.open()
        page.wait_for_result()
        script = "return document.documentElement.scrollWidth"
        assert page.browser.execute_script(script) == 390
        for css in (
            "#files + label",
            "#camera",
            "#picture",
            "#threshold",
            "#save-mask",
        ):
            box = page.element(css).rect
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
            assert box["height"] >= 24  # pixels, enough for a finger
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_follows_the_colour_scheme_with_enough_contrast(page, scheme):
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},  # no colour in between
    ]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        levels = page.browser.execute_script(
            """
            const rgb = (colour) => colour.match(/\\d+/g).slice(0, 3).map(Number);
            const style = (css) => getComputedStyle(document.querySelector(css));
            const page = rgb(style('body').backgroundColor);
            const card = rgb(style('.card').backgroundColor);
            return {
              page,
              pairs: ['#count', '#area', 'h2', '#backend'].map(
                (css) => [rgb(style(css).color), card]
              ).concat(['.private', '.warning', '#network', 'footer'].map(
                (css) => [rgb(style(css).color), page]
              )).concat([
                [rgb(style('.primary').color), rgb(style('.primary').backgroundColor)],
              ]),
            };"""
        )
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert (sum(levels["page"]) > 384) == (scheme == "light")
    assert min(contrast(*pair) for pair in levels["pairs"]) >= 4.5  # WCAG AA


def contrast(first, second):
    """The ratio of two colours' luminance, as WCAG defines it."""

    def luminance(colour):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in np.array(colour) / 255
        ]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_works_with_the_keyboard_and_shows_the_focus(page):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    actions = pytest.importorskip("selenium.webdriver").ActionChains(page.browser)
    page.browser.execute_script("document.activeElement.blur()")
    reached = {}
    for _ in range(30):
        actions.send_keys(keys.TAB).perform()
        focus = page.browser.execute_script(
            """
            const element = document.activeElement;
            const next = element.nextElementSibling;
            const marked = element.matches('#files, #layers input') ? next : element;
            return [element.title || element.id || element.name,
              getComputedStyle(marked).outlineStyle,
              parseFloat(getComputedStyle(marked).outlineWidth)];"""
        )
        reached.setdefault(focus[0], focus[1:])
        if focus[0] == "Two polyps":
            actions.send_keys(keys.ENTER).perform()
            assert page.wait_for_result("Two polyps") == "2 polyps"
        if focus[0] == "layer":
            actions.send_keys(keys.ARROW_RIGHT).perform()
            wait_for(lambda: not page.hidden("#legend"), "the heatmap's legend")
        if focus[0] == "threshold":
            actions.send_keys(keys.ARROW_RIGHT).perform()
            assert page.text("#threshold-value") == "0.51"
        if focus[0] == "measure":
            break
    wanted = ["files", "camera", *SAMPLES, "layer", "threshold"]
    wanted += ["save-mask", "save-overlay", "measure"]
    assert list(reached) == wanted
    assert all(mark == ["solid", 3] for mark in reached.values())


class Spy(BaseHTTPRequestHandler):
    """A server of another origin that counts what reaches it."""

    reached = 0

    def do_GET(self):
        Spy.reached += 1
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    def log_message(self, *args):
        pass


def test_nothing_leaves_the_page(dist, tmp_path):
    """No request goes elsewhere in use, and none can: the page's policy forbids it."""
    Spy.reached = 0
    net_log = tmp_path / "net.json"
    film = write_video(tmp_path / "film.webm", moving_frames(20))
    with (
        serving(make_server(dist, 0)) as url,
        serving(HTTPServer(("127.0.0.1", 0), Spy)) as elsewhere,
    ):
        with opened_browser(f"log-net-log={net_log}") as browser:
            page = Page(browser, url, tmp_path / "downloads")
            page.open()
            page.wait_for_result()
            page.choose(write_picture(tmp_path / "frame.jpg"))
            page.wait_for_result("frame.jpg")
            page.save_mask()
            page.choose(film)
            page.wait_for_text("#progress", lambda text: "polyp in 3" in text)
            page.element("#stop").click()
            assert page.complaints() == []
            attempts = browser.execute_async_script(
                """
                const [elsewhere, done] = arguments;
                const attempt = (address) => fetch(address, { mode: 'no-cors' })
                  .then(() => 'reached', () => 'refused');
                const call = `(${attempt})(${JSON.stringify(elsewhere)})`;
                const code = `${call}.then((answer) => postMessage(answer))`;
                const worker = new Worker(URL.createObjectURL(new Blob([code])));
                worker.onmessage = async ({ data }) =>
                  done([await attempt(elsewhere), data]);""",
                elsewhere,
            )
        assert attempts == ["refused", "refused"]
        assert Spy.reached == 0
        requested = requested_addresses(net_log, initiator=url)
    assert f"{url}model.onnx" in requested  # a worker asked for it: the log has those
    foreign = {
        address for address in requested if not address.startswith((url, "blob"))
    }
    assert foreign <= {elsewhere}, foreign


def test_benchmark(dist, in_python, capsys):
    arguments = ["--folder", str(dist), "--threads", "1", "--rounds", "1"]
    with opened_browser():  # or skipped
        bench.main(bench.parse_args([*arguments, "--runs", "3"]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("| 1 | ")
