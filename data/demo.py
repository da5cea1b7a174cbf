"""Draws the built-in demo dataset: colonoscopy-like frames with exact masks.

    python -m data.demo --out_dir data/demo
    python -m data.demo --out_dir data/demo-raw --layout raw --image_size 256

A stand-in for people without a dataset, and for tests. Every frame is a function of
its seed. Colours differ so much between frames, and polyps so little from the mucosa
around them, that only shape, shading and texture tell them apart. No picture of a
real person is involved, and a score on these frames says nothing about real polyps.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cli.command import UserError, command_parser, run_command
from cli.ranges import AT_LEAST_ONE, IMAGE_SIDE, Range, number
from data.storage import (
    ArrayWriter,
    create_arrays,
    replace_prepared,
    write_manifest,
)

# Albedo of the mucosa, RGB in [0, 1]: from pale pink over orange to tan and mauve.
MUCOSA_COLOURS = np.float32(
    [[0.92, 0.56, 0.50], [0.90, 0.50, 0.36], [0.80, 0.52, 0.36], [0.76, 0.56, 0.54]]
)
# What blood takes away from the light, RGB.
BLOOD = np.float32([0.25, 0.75, 0.65])
TEST_SEED_OFFSET = 1_000_000
DRAWN_SIDE = Range(at_least=32, at_most=IMAGE_SIDE.at_most)  # pixels


@dataclass(frozen=True)
class _Grid:
    """The pixels' coordinates, in half frame heights from the centre of the frame."""

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of_size(cls, height: int, width: int) -> "_Grid":
        half = min(height, width) / 2
        y, x = np.mgrid[:height, :width].astype(np.float32)
        return cls((x + 0.5 - width / 2) / half, (y + 0.5 - height / 2) / half)

    @property
    def pixel(self) -> float:
        """Width of one pixel in the unit of the coordinates."""
        return float(self.x[0, 1] - self.x[0, 0])

    def noise(self, rng: np.random.Generator, cells: int) -> np.ndarray:
        """Draws a smooth random field `(H, W)` of mean 0 and deviation about 1."""
        values = rng.standard_normal((cells, cells)).astype(np.float32)
        height, width = self.x.shape
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)

    def blur(self, values: np.ndarray, radius: float) -> np.ndarray:
        """Blurs with a Gaussian; `radius` in the unit of the coordinates."""
        return cv2.GaussianBlur(values, (0, 0), radius / self.pixel)


@dataclass
class _Wall:
    """The wall of the colon, before it is lit and seen through the lens.

    Attributes:
        colour: `(3,)` RGB in [0, 1], the mucosa of this frame.
        albedo: `(H, W, 3)` RGB in [0, 1].
        relief: `(H, W)` height, in the unit of the coordinates.
        light: `(H, W)` light that arrives, 1 near the lens.
        wetness: `(H, W)`, the more, the more reflections (about -1 to 2).
    """

    colour: np.ndarray
    albedo: np.ndarray
    relief: np.ndarray
    light: np.ndarray
    wetness: np.ndarray


def _draw_wall(rng: np.random.Generator, grid: _Grid) -> _Wall:
    """Draws the colon without polyps: a tube around a dark lumen, folds, vessels."""
    colour = rng.dirichlet(np.ones(len(MUCOSA_COLOURS))) @ MUCOSA_COLOURS
    colour = np.float32(colour * rng.uniform(0.92, 1.08, 3))
    mottled = colour * (1 + 0.06 * grid.noise(rng, 5))[..., None]
    vessels = rng.uniform(0.1, 0.5) * _draw_vessels(rng, grid)

    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.1)
    x = grid.x - reach * np.cos(angle) + 0.08 * grid.noise(rng, 4)
    y = grid.y - reach * np.sin(angle) + 0.08 * grid.noise(rng, 4)
    radius = np.hypot(x, y)
    lumen, ambient = rng.uniform(0.05, 0.3), rng.uniform(0.06, 0.25)
    depth_light = _smooth_step(0.3 * lumen, lumen + rng.uniform(0.5, 1.1), radius)
    depth_light = ambient + (1 - ambient) * depth_light

    # Folds are rings around the lumen; each hides what lies behind it, and is a
    # crescent: strong on one side only.
    ring = rng.uniform(2.2, 3.6) * np.log(radius + 0.15) + 0.22 * grid.noise(rng, 5)
    phase = ring % 1
    crest = grid.blur(np.minimum(phase / 0.12, 1) * (1 - phase) ** 1.5, 0.012)
    crescent = _smooth_step(-0.6, 0.9, grid.noise(rng, 4))
    fold_light = 1 - crescent * rng.uniform(0.35, 0.75) * (1 - crest)
    return _Wall(
        colour=colour,
        albedo=mottled * (1 - vessels[..., None] * BLOOD),
        relief=0.05 * grid.noise(rng, 6) + 0.015 * grid.noise(rng, 14),
        light=depth_light * fold_light,
        wetness=grid.noise(rng, 6),
    )


def _draw_vessels(rng: np.random.Generator, grid: _Grid) -> np.ndarray:
    """Draws branching vessels under the mucosa, `(H, W)` in [0, 1]."""
    vessels = np.zeros_like(grid.x)
    for cells, width in ((7, 0.10), (13, 0.16)):
        vessels = np.maximum(
            vessels, np.clip(1 - np.abs(grid.noise(rng, cells)) / width, 0, 1)
        )
    return vessels * _smooth_step(-0.5, 1.2, grid.noise(rng, 4))


@dataclass(frozen=True)
class _Polyp:
    """One polyp: its place and its shape.

    Attributes:
        distance: `(H, W)` 0 at its centre, 1 on its outline, more outside.
        height: how far it bulges, in the unit of the coordinates.
        roundness: exponent of its profile; 0.5 is a ball, 1.5 a flat lesion.
        tint: `(3,)` factor on the colour of the mucosa.
    """

    distance: np.ndarray
    height: float
    roundness: float
    tint: np.ndarray


def _smooth_step(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """Returns 0 below `low`, 1 above `high`, and a smooth step between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _plan_polyps(rng: np.random.Generator, grid: _Grid) -> list[_Polyp]:
    """Chooses none, one or two polyps that do not touch."""
    polyps, placed = [], []
    for _ in range(rng.choice([0, 1, 2], p=[0.06, 0.8, 0.14])):
        radius = rng.uniform(0.16, 0.5)
        reach = rng.uniform(0, 0.62) if rng.random() < 0.75 else rng.uniform(0.8, 0.95)
        angle = rng.uniform(0, 2 * np.pi)
        centre = reach * np.array([np.cos(angle), np.sin(angle)])
        if any(np.hypot(*(centre - c)) < 1.5 * (radius + r) for c, r in placed):
            continue
        placed.append((centre, radius))
        polyps.append(_plan_polyp(rng, grid, centre, radius))
    return polyps


def _plan_polyp(
    rng: np.random.Generator, grid: _Grid, centre: np.ndarray, radius: float
) -> _Polyp:
    """Shapes one polyp: a turned ellipse with a wavy outline."""
    stretch, turn = rng.uniform(0.75, 1.0), rng.uniform(0, np.pi)
    x, y = grid.x - centre[0], grid.y - centre[1]
    along = (x * np.cos(turn) + y * np.sin(turn)) / radius
    across = (y * np.cos(turn) - x * np.sin(turn)) / (radius * stretch)
    angle = np.arctan2(across, along)
    outline = np.ones_like(angle)
    for lobes in (2, 3, 4, 5):
        outline += rng.uniform(0, 0.14 / lobes**0.5) * np.cos(
            lobes * angle + rng.uniform(0, 2 * np.pi)
        )
    flat = rng.random() < 0.25
    return _Polyp(
        distance=np.hypot(along, across) / outline,
        height=radius * (rng.uniform(0.15, 0.35) if flat else rng.uniform(0.5, 0.85)),
        roundness=1.2 if flat else rng.uniform(0.6, 0.8),
        tint=1 - rng.uniform(-0.22, 0.25) * BLOOD + rng.normal(0, 0.02, 3),
    )


def _add_polyp(
    rng: np.random.Generator, grid: _Grid, wall: _Wall, polyp: _Polyp
) -> None:
    """Adds a polyp to the wall, in place."""
    inside = 1 - _smooth_step(-0.04, 0.04, polyp.distance - 1)
    dome = np.clip(1 - polyp.distance**2, 0, 1)
    wall.relief = wall.relief * (1 - 0.7 * inside)
    wall.relief += polyp.height * dome**polyp.roundness

    pits = _smooth_step(-0.5, 1.5, grid.noise(rng, 48) + 0.7 * grid.noise(rng, 16))
    surface = wall.colour * polyp.tint * (1 - 0.25 * pits[..., None] * BLOOD)
    wall.albedo += inside[..., None] * (surface - wall.albedo)
    # It is nearer to the lamp than the folds it hides, and leaves a dim seam where it
    # meets the wall.
    wall.light += 0.7 * inside * (0.75 + 0.4 * dome - wall.light)
    wall.light *= 1 - 0.3 * np.exp(-(((polyp.distance - 1.06) / 0.09) ** 2))
    wall.wetness = np.maximum(wall.wetness, inside * rng.uniform(-0.5, 1.5))


def _photograph(rng: np.random.Generator, grid: _Grid, wall: _Wall) -> np.ndarray:
    """Renders the lit wall, `(H, W, 3)` RGB in [0, 1]."""
    lamp_x, lamp_y = rng.uniform(-0.6, 0.6, 2)  # the lamp sits beside the lens
    slope_y, slope_x = np.gradient(grid.blur(wall.relief, 0.015), grid.pixel)
    towards_lamp = 1 - slope_x * lamp_x - slope_y * lamp_y
    lengths = np.sqrt((slope_x**2 + slope_y**2 + 1) * (lamp_x**2 + lamp_y**2 + 1))
    facing = np.clip(towards_lamp / lengths, 0, 1)
    vignette = 1 - 0.15 * (grid.x**2 + grid.y**2)
    light = rng.uniform(0.95, 1.3) * wall.light * (0.35 + 0.8 * facing) * vignette

    specks = grid.noise(rng, 60) + 0.8 * grid.noise(rng, 24) + wall.wetness
    threshold = rng.uniform(3.3, 4.8)
    shine = _smooth_step(threshold, threshold + 0.8, specks + 1.5 * facing**12)
    shine *= np.clip(1.5 * light, 0, 1)

    image = wall.albedo * light[..., None]
    image += (0.97 - image) * shine[..., None]
    return np.clip(image, 0, 1) ** 0.85


def _view(rng: np.random.Generator, grid: _Grid) -> np.ndarray:
    """Draws the round or octagonal field of view, `(H, W)` in [0, 1]."""
    x, y = np.abs(grid.x), np.abs(grid.y)
    if rng.random() < 0.5:
        outside = np.hypot(x, y) - rng.uniform(0.98, 1.2)
    else:
        outside = np.maximum(np.maximum(x, y) - 0.99, (x + y) - rng.uniform(1.3, 1.55))
    view = 1 - _smooth_step(-grid.pixel, grid.pixel, outside)
    if rng.random() < 0.3:  # the picture-in-picture of the scope's position
        corner = rng.uniform(0.35, 0.6)
        view[(grid.x < corner - 1) & (grid.y > 1 - corner)] = 0
    return view


def draw_frame(
    seed: int, size: int | tuple[int, int] = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one frame and its mask.

    Args:
        seed: the same seed gives the same scene, whatever the size.
        size: side of a square frame, or (height, width), in pixels.

    Returns:
        `(H, W, 3)` uint8 RGB in 0–255 and `(H, W)` uint8 mask, 1 on polyps.
    """
    rng = np.random.default_rng(seed)
    grid = _Grid.of_size(*((size, size) if isinstance(size, int) else size))
    wall, polyps, view = (
        _draw_wall(rng, grid),
        _plan_polyps(rng, grid),
        _view(rng, grid),
    )
    for polyp in polyps:
        _add_polyp(rng, grid, wall, polyp)
    image = _photograph(rng, grid, wall) * view[..., None]
    image += 0.012 * rng.standard_normal(image.shape, np.float32)
    mask = np.any([polyp.distance < 1 for polyp in polyps], axis=0) & (view > 0.5)
    return np.uint8(np.clip(image, 0, 1) * 255), mask.astype(np.uint8)


def draw_frames(
    first_seed: int, count: int, size: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draws `count` frames with consecutive seeds.

    Returns:
        `(n, H, W, 3)` uint8 RGB, `(n, H, W, 1)` uint8 masks 0/1, and their names.
    """
    with ThreadPoolExecutor() as pool:
        seeds = range(first_seed, first_seed + count)
        frames = list(pool.map(lambda seed: draw_frame(seed, size), seeds))
    images, masks = (np.stack(arrays) for arrays in zip(*frames, strict=True))
    return images, masks[..., None], [f"demo_{seed:07d}" for seed in seeds]


def write_prepared(
    out_dir: Path, train: int, test: int, image_size: int, seed: int
) -> None:
    """Writes the frames as a prepared dataset, as data/storage.py describes it."""
    first_seeds = {"train": seed, "test": seed + TEST_SEED_OFFSET}
    counts = {"train": train, "test": test}
    size = (image_size, image_size)
    subsets = {}
    with replace_prepared(out_dir) as folder:
        regions = create_arrays(folder, counts, size, "npy")
        for subset, count in counts.items():
            images, masks, names = draw_frames(first_seeds[subset], count, image_size)
            hashes = {}
            for kind, array in (("images", images), ("masks", masks)):
                with ArrayWriter(regions[f"{subset}_{kind}"]) as writer:
                    writer.write(array)
                hashes[kind] = writer.sha256
            items = [{"name": name, "group": name, "centre": None} for name in names]
            subsets[subset] = {"count": count, "sha256": hashes, "items": items}
        manifest = {"dataset": "demo", "source": "data/demo.py", "seed": seed}
        manifest |= {"format": "npy", "image_size": size, "subsets": subsets}
        write_manifest(folder, manifest)


def write_raw(out_dir: Path, count: int, image_size: int, seed: int) -> None:
    """Writes the frames as a downloaded dataset has them: `images/` and `masks/`."""
    for folder in ("images", "masks"):
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    images, masks, names = draw_frames(seed, count, image_size)
    for image, mask, name in zip(images, masks, names, strict=True):
        for folder, picture in (("images", image[..., ::-1]), ("masks", mask * 255)):
            file = out_dir / folder / f"{name}.png"
            if not cv2.imwrite(str(file), picture):
                raise UserError(f"{file}: cannot be written")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--out_dir", type=Path, default=Path("data/demo"))
    parser.add_argument(
        "--train", type=number(int, AT_LEAST_ONE), default=240, help="training frames"
    )
    parser.add_argument(
        "--test", type=number(int, AT_LEAST_ONE), default=60, help="unseen frames"
    )
    parser.add_argument(
        "--image_size", type=number(int, DRAWN_SIDE), default=128, help="pixels"
    )
    parser.add_argument(
        "--seed", type=number(int), default=0, help="of the first frame"
    )
    parser.add_argument(
        "--layout",
        choices=("prepared", "raw"),
        default="prepared",
        help="arrays for training, or pictures in images/ and masks/",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Draws and writes the dataset in the layout asked for."""
    if args.layout == "raw":
        count = args.train + args.test
        write_raw(args.out_dir, count, args.image_size, args.seed)
    else:
        write_prepared(args.out_dir, args.train, args.test, args.image_size, args.seed)
    print(
        f"{args.out_dir}: {args.train} training and {args.test} test frames drawn, "
        f"{args.image_size}×{args.image_size} pixels ({args.layout})"
    )


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
