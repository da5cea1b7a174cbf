"""The picture of LGPS: it is written, and its numbers are those of the network."""

import cv2

from models import build_model
from tools.draw_architecture import draw, main, parse_args

LARGEST_FILE = 200_000  # bytes; the picture is loaded with README


def test_picture_is_written(tmp_path):
    out = tmp_path / "architecture.png"
    main(parse_args(["--out", str(out)]))
    assert cv2.imread(str(out)).shape[1] > 900
    assert out.stat().st_size < LARGEST_FILE


def test_numbers_are_read_from_the_network():
    # At stride 16, 64×96 pixels leave 4×6. Concatenated before decoder_8: 144 + 192.
    figure = draw(build_model("lgps", (64, 96, 3)))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"64×96", "32×48", "16×24", "8×12", "4×6"} <= set(texts)
    assert {"576 → 144 channels", "336 → 64 channels", "128 → 16 channels"} <= set(
        texts
    )
    assert {"616,256 parameters", "468,705 parameters"} <= set(texts)  # 1,084,961
