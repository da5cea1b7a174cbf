"""What the tests of the page use: a server, a browser, and the page's controls."""

import base64
import json
import shutil
import threading
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from cli.command import UserError
from web.chromium import start_chromium, wait_for


@contextmanager
def serving(server: HTTPServer):
    """Runs a server; gives its address."""
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@contextmanager
def opened_browser(*flags: str):
    """A browser of its own, or the test is skipped."""
    try:
        browser = start_chromium(*flags)
    except UserError as error:
        pytest.skip(str(error))
    try:
        yield browser
    finally:
        browser.quit()


class Page:
    """The page as a user has it before them."""

    def __init__(self, browser, address: str, downloads: Path):
        self.browser = browser
        self.address = address
        self.downloads = downloads

    def open(self, query: str = "") -> None:
        self.browser.get_log("browser")  # what earlier tests caused
        self.browser.execute_cdp_cmd(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "downloadPath": str(self.downloads)},
        )
        self.browser.get(self.address + query)

    def element(self, css: str):
        return self.browser.find_element("css selector", css)

    def text(self, css: str) -> str:
        return self.browser.execute_script(
            "return document.querySelector(arguments[0]).textContent.trim()", css
        )

    def wait_for_text(self, css: str, wanted) -> str:
        """Waits until `wanted(text)`; returns the text."""
        return wait_for(
            lambda: wanted(self.text(css)) and self.text(css),
            f"{css}, now {self.text(css)!r}; {self.error!r}",
        )

    def wait_for_result(self, name: str = "") -> str:
        """Waits for the result of the picture of this name; returns how many."""
        label = "return document.getElementById('picture').getAttribute('aria-label')"
        wait_for(
            lambda: (
                self.error
                or self.text("#count") != "–"
                and self.browser.execute_script(label).startswith(name)
            ),
            f"the result of {name!r}",
        )
        assert not self.error
        return self.text("#count")

    @property
    def error(self) -> str:
        """The message that is shown, or nothing."""
        return "" if self.hidden("#error") else self.text("#error p")

    def hidden(self, css: str) -> bool:
        return self.browser.execute_script(
            "return document.querySelector(arguments[0]).hidden", css
        )

    def choose(self, *files: Path) -> None:
        self.element("#files").send_keys("\n".join(map(str, files)))

    def drop(self, *files: Path) -> None:
        contents = [
            {"name": file.name, "base64": base64.b64encode(file.read_bytes()).decode()}
            for file in files
        ]
        self.browser.execute_script(
            """
            const transfer = new DataTransfer();
            for (const { name, base64 } of arguments[0]) {
              const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
              const type = name.endsWith('.png') ? 'image/png' : '';
              transfer.items.add(new File([bytes], name, { type }));
            }
            for (const kind of ['dragover', 'drop']) {
              document.body.dispatchEvent(new DragEvent(kind, {
                dataTransfer: transfer, bubbles: true, cancelable: true,
              }));
            }""",
            contents,
        )

    def slide(self, threshold: float) -> None:
        self.browser.execute_script(
            """
            const slider = document.getElementById('threshold');
            slider.value = arguments[0];
            slider.dispatchEvent(new Event('input', { bubbles: true }));""",
            threshold,
        )

    def save(self, what: str) -> np.ndarray:
        """Saves "mask" or "overlay"; `(H, W, 3)` uint8 RGB as stored in the file."""
        shutil.rmtree(self.downloads, ignore_errors=True)
        self.element(f"#save-{what}").click()
        (file,) = wait_for(lambda: [*self.downloads.glob("*.png")], f"the saved {what}")
        self.saved_name = file.name
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert (pixels[..., 3] == 255).all()
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB)

    def save_mask(self) -> np.ndarray:
        """`(H, W)` uint8 0/1."""
        mask = self.save("mask")
        assert set(np.unique(mask)) <= {0, 255}
        return mask[..., 0] // 255

    def complaints(self) -> list[str]:
        """What the browser's console holds of errors and warnings."""
        return [
            entry["message"]
            for entry in self.browser.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]


def dice(first: np.ndarray, second: np.ndarray) -> float:
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def requested_addresses(net_log: Path, initiator: str) -> set[str]:
    """What a page's scripts, workers included, asked for, from Chromium's own log."""
    log = json.loads(net_log.read_text())
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    return {
        event["params"]["url"]
        for event in log["events"]
        if event["type"] == start
        and event.get("params", {}).get("initiator", "").rstrip("/")
        == initiator.rstrip("/")
    }
