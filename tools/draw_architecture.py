"""Draws docs/architecture.png: the layers of LGPS, and one of its residual blocks.

    python -m tools.draw_architecture
    python -m tools.draw_architecture --out lgps.png

Sizes, channels and numbers of parameters are read from the network that
`models.build_model` builds for images of 256×256.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from cli.command import command_parser, import_tensorflow, run_command
from cli.files import picture_path, replacing

if TYPE_CHECKING:
    import keras

WIDTH, HEIGHT = 64.0, 83.0  # of the figure, in tenths of an inch
DPI = 160
ROWS = {1: 74.0, 2: 64.6, 4: 55.2, 8: 45.8, 16: 36.4}  # stride → height of its row
LEFT, RIGHT = 20.0, 49.0  # the middle of the encoder's and the decoder's boxes
BOX_WIDTH, BOX_HEIGHT = 21.0, 5.8
INSET_BLOCK = "decoder_8"  # the block whose inside is drawn

INK, GREY = "#1b1f24", "#57606a"
NEUTRAL = ("#f3f4f6", "#6e7781")  # fill and edge
ENCODER = ("#dceaf7", "#2b6ca3")
DECODER = ("#fde8d3", "#b45f06")
GATE = ("#e3f2e1", "#3a7d34")

Point = tuple[float, float]
Colours = tuple[str, str]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--out", type=picture_path, default=Path("docs/architecture.png")
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Builds LGPS and draws it."""
    import_tensorflow()
    from models import build_model

    figure = draw(build_model("lgps"))
    with replacing(args.out) as partial:
        figure.savefig(partial, dpi=DPI, pil_kwargs={"optimize": True})
    print(f"wrote {args.out}")


def draw(model: "keras.Model") -> Figure:
    """Draws an LGPS network with squeeze-and-excitation, of a fixed input size."""
    figure = Figure(figsize=(WIDTH / 10, HEIGHT / 10), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    _draw_network(axes, model)
    _draw_block(axes, model, INSET_BLOCK)
    return figure


def _draw_network(axes: Axes, model: "keras.Model") -> None:
    """Draws encoder and decoder, a row for each stride."""
    from models.lgps import DECODER_BLOCKS, ENCODER_FEATURES, ENCODER_NAME

    encoder = model.get_layer(ENCODER_NAME)
    encoded = encoder.count_params()
    _text(axes, (LEFT, 80.7), "Encoder: MobileNetV2", bold=True)
    _text(axes, (LEFT, 78.6), f"{encoded:,} parameters", 10.5, GREY)
    _text(axes, (RIGHT, 80.7), "Decoder", bold=True)
    decoded = model.count_params() - encoded
    _text(axes, (RIGHT, 78.6), f"{decoded:,} parameters", 10.5, GREY)

    height, width, channels = model.input_shape[1:]
    for stride, row in ROWS.items():
        _text(axes, (4.5, row + 1.1), f"{height // stride}×{width // stride}", 11)
        _text(axes, (4.5, row - 1.2), f"stride {stride}", 9.5, GREY)
    _box(axes, (LEFT, ROWS[1]), ["RGB image", f"{channels} channels"], NEUTRAL)
    strides = [stride for _, stride, _ in ENCODER_FEATURES]
    depth = {
        stride: output.shape[-1]
        for stride, output in zip(strides, encoder.outputs, strict=True)
    }
    above = 1
    for stride in sorted(depth):
        _box(axes, (LEFT, ROWS[stride]), [f"{depth[stride]} channels"], ENCODER)
        _down(axes, LEFT, above, stride)
        above = stride

    below = None
    for name, stride in DECODER_BLOCKS:
        out = model.get_layer(name).output.shape[-1]
        taken = depth[stride]
        if below is None:
            _arrow(axes, [_side(LEFT, stride, 1), _side(RIGHT, stride, -1)])
        else:
            taken = model.get_layer(f"{name}_concat").output.shape[-1]
            _arrow(
                axes, [_side(LEFT, stride, 1), _side(RIGHT, stride, -1)], dashed=True
            )
            _text(axes, ((LEFT + RIGHT) / 2, ROWS[stride] + 1.3), "skip", 10.5, GREY)
            _up(axes, RIGHT, below, stride, "×2")
        lines = [name, f"{taken} → {out} channels"]
        _box(axes, (RIGHT, ROWS[stride]), lines, DECODER, first_bold=True)
        below = stride
    last = model.get_layer("probability").output.shape[-1]
    lines = ["probability of polyp", f"{last} channel"]
    _box(axes, (RIGHT, ROWS[1]), lines, NEUTRAL)
    _up(axes, RIGHT, below, 1, "×2, 1×1 conv, sigmoid", label_left=True)
    note = "×2 is bilinear upsampling. Skip and upsampled map are concatenated."
    _text(axes, (WIDTH / 2, 31.4), note, 10, GREY)


def _draw_block(axes: Axes, model: "keras.Model", name: str) -> None:
    """Draws the inside of a residual squeeze-and-excitation block."""

    def channels(suffix: str) -> int:
        return model.get_layer(f"{name}_{suffix}").output.shape[-1]

    panel = FancyBboxPatch(
        (1.2, 0.8), WIDTH - 2.4, 28.4, "round,pad=0,rounding_size=1",
        facecolor="#fbfcfd", edgecolor=NEUTRAL[1], linewidth=0.8,
    )  # fmt: skip
    axes.add_patch(panel)
    main, shortcut, gate = 22.0, 14.6, 4.6  # heights of the three paths
    first, second, rest, plus = 17.0, 33.0, 57.0, 46.0
    start, fork = 3.4, 6.8

    taken = model.get_layer(f"{name}_concat").output.shape[-1]
    out = model.get_layer(name).output.shape[-1]
    title = f"Residual block {name}: {taken} → {out} channels"
    _text(axes, (WIDTH / 2, 27.0), title, bold=True)
    _text(axes, (start, main + 1.6), str(taken), 11, bold=True)
    small = {"width": 13.0, "size": 10.5}
    _arrow(axes, [(2.4, main), (first - 6.5, main)])
    _arrow(axes, [(fork, main), (fork, shortcut), (second - 14.5, shortcut)])
    conv = f"1×1 conv, {channels('conv1')}"
    _box(axes, (first, main), [conv, "norm, ReLU"], DECODER, **small)
    conv = f"3×3 conv, {channels('conv2')}"
    _arrow(axes, [(first + 6.5, main), (second - 6.5, main)])
    _box(axes, (second, main), [conv, "norm"], DECODER, **small)
    conv = f"1×1 conv, {channels('shortcut')}"
    _box(axes, (second - 8.0, shortcut), [conv, "norm"], DECODER, **small)
    _arrow(axes, [(second - 1.5, shortcut), (plus, shortcut), (plus, main - 1.6)])
    _arrow(axes, [(second + 6.5, main), (plus - 1.6, main)])
    _sign(axes, (plus, main), "+")
    _arrow(axes, [(plus + 1.6, main), (rest - 3.6, main)])
    _box(axes, (rest, main), ["ReLU"], DECODER, width=7.2, size=10.5)

    turn = 9.6  # height at which the gate's path leaves
    _arrow(axes, [(rest, main - 2.9), (rest, gate + 1.6)])
    _arrow(axes, [(rest, turn), (fork, turn), (fork, gate), (9.4, gate)])
    lines = ["mean over", "height, width"]
    _box(axes, (15.6, gate), lines, GATE, width=12.4, size=10.5)
    dense = [f"dense, {channels('gate_reduce')}", "ReLU"]
    _arrow(axes, [(21.8, gate), (24.8, gate)])
    _box(axes, (30.0, gate), dense, GATE, width=10.4, size=10.5)
    dense = [f"dense, {channels('gate_expand')}", "sigmoid"]
    _arrow(axes, [(35.2, gate), (38.2, gate)])
    _box(axes, (43.9, gate), dense, GATE, width=11.4, size=10.5)
    _arrow(axes, [(49.6, gate), (rest - 1.6, gate)])
    _sign(axes, (rest, gate), "×")
    _arrow(axes, [(rest + 1.6, gate), (62.0, gate)])
    _text(axes, (60.6, gate + 1.6), str(out), 11, bold=True)
    _text(axes, (44.0, turn + 1.3), "squeeze-and-excitation", 10.5, GATE[1])
    _text(axes, (10.6, shortcut + 1.3), "shortcut", 10.5, DECODER[1])


def _side(middle: float, stride: int, sign: int) -> Point:
    """The middle of a box's right (1) or left (-1) edge."""
    return middle + sign * BOX_WIDTH / 2, ROWS[stride]


def _down(axes: Axes, x: float, above: int, below: int) -> None:
    half = BOX_HEIGHT / 2
    _arrow(axes, [(x, ROWS[above] - half), (x, ROWS[below] + half)])


def _up(
    axes: Axes, x: float, below: int, above: int, label: str, label_left: bool = False
) -> None:
    half = BOX_HEIGHT / 2
    _arrow(axes, [(x, ROWS[below] + half), (x, ROWS[above] - half)])
    middle = (ROWS[below] + ROWS[above]) / 2
    place, side = (x - 1, "right") if label_left else (x + 1, "left")
    axes.text(place, middle, label, fontsize=10.5, color=GREY, ha=side, va="center")


def _text(
    axes: Axes,
    place: Point,
    text: str,
    size: float = 12.5,
    colour: str = INK,
    bold: bool = False,
) -> None:
    weight = "bold" if bold else "normal"
    axes.text(
        *place, text, fontsize=size, color=colour, weight=weight,
        ha="center", va="center",
    )  # fmt: skip


def _box(
    axes: Axes,
    place: Point,
    lines: Sequence[str],
    colours: Colours,
    width: float = BOX_WIDTH,
    size: float = 11.5,
    first_bold: bool = False,
) -> None:
    """Draws a box with one or two lines of text around its middle."""
    x, y = place
    fill, edge = colours
    corner = x - width / 2, y - BOX_HEIGHT / 2
    axes.add_patch(
        FancyBboxPatch(
            corner, width, BOX_HEIGHT, "round,pad=0,rounding_size=0.8",
            facecolor=fill, edgecolor=edge, linewidth=1.2, zorder=2,
        )
    )  # fmt: skip
    places = [y] if len(lines) == 1 else [y + 1.15, y - 1.2]
    for number, (height, line) in enumerate(zip(places, lines, strict=True)):
        _text(axes, (x, height), line, size, bold=first_bold and number == 0)


def _sign(axes: Axes, place: Point, sign: str) -> None:
    axes.add_patch(
        Circle(place, 1.6, facecolor="white", edgecolor=INK, linewidth=1.2, zorder=2)
    )
    _text(axes, place, sign, 13, bold=True)


def _arrow(axes: Axes, points: Sequence[Point], dashed: bool = False) -> None:
    """Draws a line through points, with a head at its end."""
    style = {"color": INK, "linewidth": 1.2, "linestyle": "--" if dashed else "-"}
    axes.plot(*zip(*points, strict=True), **style, zorder=1, solid_joinstyle="miter")
    axes.annotate(
        "", points[-1], points[-2], zorder=1,
        arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 0, "mutation_scale": 13,
                    "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
