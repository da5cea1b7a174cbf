"""The page's work on pixels, in Node, against the same steps in Python."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.demo import draw_frame
from data.images import resize_image
from deploy.segment import find_polyps

SOURCE = Path(__file__).parents[2] / "web" / "src"
TYPES = {
    "Uint8Array": np.uint8,
    "Uint8ClampedArray": np.uint8,
    "Float32Array": np.float32,
}


@pytest.fixture(scope="module")
def evaluate():
    """A function `(module, body, **args)` that runs JavaScript over a module."""
    node = shutil.which("node")
    if not node:
        pytest.skip("needs Node: no `node` here")

    def run(module: str, body: str, **args):
        request = {"module": (SOURCE / module).as_uri(), "body": body, "args": args}
        process = subprocess.run(
            [node, Path(__file__).with_name("evaluate.mjs")],
            input=json.dumps(request, default=encode),
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout, object_hook=decode)

    return run


def encode(array: np.ndarray) -> dict:
    kind = "Float32Array" if array.dtype == np.float32 else "Uint8ClampedArray"
    return {"type": kind, "base64": base64.b64encode(array.tobytes()).decode()}


def decode(value: dict):
    if "base64" not in value:
        return value
    return np.frombuffer(base64.b64decode(value["base64"]), TYPES[value["type"]])


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


# (H, W) of the picture, then of the network.
SIZES = [
    ((480, 640), (256, 256)),  # by area
    ((512, 768), (256, 256)),  # by whole numbers, 2 and 3
    ((512, 512), (256, 256)),  # halved
    ((256, 256), (256, 256)),
    ((100, 120), (256, 256)),  # enlarged
    ((200, 900), (256, 256)),  # one side grows, the other shrinks
    ((331, 487), (96, 160)),
]


@pytest.mark.parametrize(("size", "to"), SIZES)
def test_resizing_is_that_of_python(evaluate, size, to):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    frame, _ = draw_frame(3, size)
    for image in (noise, frame):
        height, width = size
        result = evaluate(
            "resize.js",
            "return module.resizeToRgb(args.rgba, args.from, args.to)",
            rgba=with_alpha(image),
            **{"from": {"width": width, "height": height}},
            to={"width": to[1], "height": to[0]},
        )
        expected = resize_image(image, to)
        difference = np.abs(result.reshape(expected.shape).astype(int) - expected)
        # OpenCV computes some of them with 11 bits, and rounds halves up or to even.
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.15


@pytest.mark.parametrize("size", [(40, 60), (256, 256), (90, 211), (32, 32)])
def test_enlarging_a_map_is_that_of_python(evaluate, size):
    values = np.random.default_rng(1).random((32, 40), np.float32)
    result = evaluate(
        "resize.js",
        "return module.enlargeMap(args.map, {width: 40, height: 32}, args.to)",
        map=values,
        to={"width": size[1], "height": size[0]},
    )
    expected = cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(result.reshape(size), expected, atol=1e-5)


def smooth_noise(size, seed):
    noise = np.random.default_rng(seed).random(size).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 4)
    return cv2.normalize(blurred, None, 0, 1, cv2.NORM_MINMAX)


@pytest.mark.parametrize("seed", range(4))
def test_polyps_are_those_of_python(evaluate, seed):
    probability = smooth_noise((230, 310), seed)
    for threshold in (0.3, 0.5, 0.7, 0.99):
        found = evaluate(
            "segmenter.js",
            "return module.findPolyps(args.map, 310, args.threshold)",
            map=probability,
            threshold=threshold,
        )
        expected = find_polyps(probability, threshold, probability.size)
        assert np.array_equal(found["mask"].reshape(probability.shape), expected.mask)
        boxes = [
            (polyp["x"], polyp["y"], polyp["width"], polyp["height"])
            for polyp in found["polyps"]
        ]
        assert sorted(boxes) == sorted(expected.boxes)
        areas = [polyp["area"] for polyp in found["polyps"]]
        assert areas == sorted(areas, reverse=True)
        share = 100 * sum(areas) / probability.size
        assert share == pytest.approx(expected.area_percent)


def test_pixels_that_touch_at_a_corner_are_one_polyp_and_specks_are_no_polyp(evaluate):
    probability = np.zeros((60, 60), np.float32)
    probability[10:20, 10:20] = probability[20:30, 20:30] = 1  # touch at a corner
    probability[35:40, 45:50] = probability[40:45, 40:45] = 1  # at the other
    probability[50, 50] = 1  # 1 of 3600 pixels: a speck, below 0.05 % (1.8 pixels)
    found = evaluate(
        "segmenter.js",
        "return module.findPolyps(args.map, 60, 0.5)",
        map=probability,
    )
    assert [polyp["area"] for polyp in found["polyps"]] == [200, 50]
    assert found["mask"].sum() == 251


def test_contour_runs_where_the_probability_crosses_the_threshold(evaluate):
    y, x = np.mgrid[:80, :100].astype(np.float32)
    radius = np.hypot(x - 50, y - 40)
    probability = np.clip(1 - radius / 40, 0, 1).astype(np.float32)  # 0.5 at radius 20
    probability[22, 32] = 1  # a speck in the polyp's box: not outlined
    options = {"map": probability, "threshold": 0.5}
    polyps = evaluate(
        "segmenter.js",
        "return module.findPolyps(args.map, 100, args.threshold).polyps.slice(0, 1)",
        **options,
    )
    lines = evaluate(
        "contour.js",
        "return module.traceContours(args.map, args, 100)",
        polyps=polyps,
        **options,
    )
    ends = np.array(lines)  # (pieces, 2, xy)
    from_centre = np.hypot(ends[..., 0] - 50.5, ends[..., 1] - 40.5)
    np.testing.assert_allclose(from_centre, 20, atol=0.1)
    length = np.hypot(*(ends[:, 0] - ends[:, 1]).T).sum()
    assert length == pytest.approx(2 * np.pi * 20, rel=0.01)


def test_percentiles_are_those_of_numpy(evaluate):
    times = [31.0, 28.5, 90.0, 30.2, 29.9, 33.3, 41.0]
    shares = [0, 0.5, 0.95, 1]
    found = evaluate(
        "speed.js",
        "return args.shares.map((share) => module.percentile(args.times, share))",
        times=times,
        shares=shares,
    )
    np.testing.assert_allclose(found, np.percentile(times, [0, 50, 95, 100]))
