"""Checks a dataset folder, and two of them against each other; exits 1 on a fault.

    python -m data.doctor data/Kvasir-SEG
    python -m data.doctor data/TrainDataset data/TestDataset/CVC-ClinicDB

Faults are: files that are damaged, lack their partner or differ in size; masks that
would be read as empty; files that are the same byte for byte; pictures that are in both
folders; prepared arrays whose SHA-256 is not that of their manifest. Similar pictures
within one folder are reported but are no fault, since a video holds many of them.
"""

import argparse
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.command import UserError, command_parser, run_command
from cli.files import picture_path
from data.pairs import Dataset, Pair, find_datasets, find_pairs

if TYPE_CHECKING:
    import numpy as np

RESULTS = Path(__file__).resolve().parents[1] / "results" / "doctor"
MOST_LINES = 20


@dataclass(frozen=True)
class Inspection:
    """The properties of one pair, for the report and the checks.

    Attributes:
        pair: the pair.
        size: (H, W) in pixels.
        mask_values: grey levels of the mask file: "empty", "0 and 1", "0 and 255" or
            "greys between".
        polyp_pixels: foreground pixels at the original size.
        digest: of the image file's bytes.
        hash: perceptual, `(32,)` uint8.
    """

    pair: Pair
    size: tuple[int, int]
    mask_values: str
    polyp_pixels: int
    digest: str
    hash: "np.ndarray"

    @property
    def polyp_share(self) -> float:
        """Foreground share of the image, in [0, 1]."""
        return self.polyp_pixels / (self.size[0] * self.size[1])


@dataclass(frozen=True)
class Examination:
    """A dataset, the inspections of its readable pairs, and its faults."""

    dataset: Dataset
    inspections: list[Inspection]
    faults: list[str]


def inspect_pair(pair: Pair) -> Inspection:
    """Reads and describes one pair.

    Raises:
        UserError: a file is bad, the sizes differ, or the mask would be read as empty.
    """
    import numpy as np

    from data.duplicates import perceptual_hash
    from data.images import decode_grey, decode_pair, read_file

    image_content, mask_content = read_file(pair.image), read_file(pair.mask)
    image, mask = decode_pair(image_content, mask_content, pair.image, pair.mask)
    levels = set(np.unique(decode_grey(mask_content, pair.mask)).tolist())
    kinds = {"empty": {0}, "0 and 1": {0, 1}, "0 and 255": {0, 255}}
    return Inspection(
        pair=pair,
        size=mask.shape,
        mask_values=next((k for k, v in kinds.items() if levels <= v), "greys between"),
        polyp_pixels=int(mask.sum()),
        digest=hashlib.sha256(image_content).hexdigest(),
        hash=perceptual_hash(image),
    )


def examine(dataset: Dataset) -> Examination:
    """Inspects every pair of a dataset and collects its faults."""
    from tqdm import tqdm

    from cli.parallel import map_in_order
    from data.images import silent_codecs

    def inspect(pair: Pair) -> Inspection | UserError:
        try:
            return inspect_pair(pair)
        except UserError as error:
            return error

    with silent_codecs():
        results = map_in_order(inspect, dataset.pairs)
        bar = tqdm(results, dataset.name, len(dataset.pairs), unit="pair", disable=None)
        results = list(bar)
    faults = [f"{dataset.root / file}: {why}" for file, why in dataset.unpaired]
    faults += [str(result) for result in results if isinstance(result, UserError)]
    inspections = [result for result in results if isinstance(result, Inspection)]
    first: dict[str, Inspection] = {}
    for inspection in inspections:
        same = first.setdefault(inspection.digest, inspection)
        if same is not inspection:
            faults.append(
                f"{inspection.pair.image}: is the same file as {same.pair.image}"
            )
    return Examination(dataset, inspections, faults)


def describe(examination: Examination) -> list[str]:
    """Describes one dataset in lines of text, without its faults."""
    import numpy as np

    from metrics.polyp_size import size_bin

    found = examination.inspections
    lines = [examination.dataset.describe()]
    if not found:
        return lines
    sizes = Counter((width, height) for height, width in (one.size for one in found))
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    (low, high), (common, count) = (ordered[0], ordered[-1]), sizes.most_common(1)[0]
    lines.append(
        f"image sizes: {len(sizes)}, from {low[0]}x{low[1]} to {high[0]}x{high[1]};"
        f" most often {common[0]}x{common[1]} ({count})"
    )
    values = Counter(one.mask_values for one in found)
    lines.append(
        "mask values: " + ", ".join(f"{n} {kind}" for kind, n in values.items())
    )
    polyps = [one for one in found if one.polyp_pixels]
    full = sum(one.polyp_share == 1 for one in found)
    lines.append(f"empty masks: {len(found) - len(polyps)}, full masks: {full}")
    if polyps:
        share = np.array([one.polyp_share for one in polyps])
        low, middle, high = np.percentile(share, (5, 50, 95))
        bins = Counter(size_bin(one.polyp_pixels) for one in polyps)
        lines.append(
            f"foreground: median {middle:.1%} of the image, 90 % of them within"
            f" {low:.1%} to {high:.1%}; {bins['small']} small (up to 100x100"
            f" pixels), {bins['medium']} medium (200x200), {bins['large']} large"
        )
    return lines + _similar_within(found)


def _similar_within(found: list[Inspection]) -> list[str]:
    """Lists the near duplicates of different groups, which a split may separate."""
    import numpy as np

    from data.duplicates import near_duplicates

    pairs = near_duplicates(np.stack([one.hash for one in found]))
    apart = [
        f"{found[a].pair.name} ~ {found[b].pair.name} ({bits} of 255 bits differ)"
        for a, b, bits in pairs
        if found[a].pair.group != found[b].pair.group
    ]
    head = f"similar pictures: {len(apart)} pairs"
    if len(pairs) > len(apart):
        head += f", and {len(pairs) - len(apart)} within one sequence"
    return [head, *_at_most(apart)]


def check_arrays(path: Path) -> list[str]:
    """Compares prepared arrays with their manifest; prints a line, returns faults."""
    from data.arrays import find_damage

    compared, faults = find_damage(path)
    if compared or faults:
        print(f"{path}: {compared} prepared arrays compared with their SHA-256")
    else:
        print(
            f"{path}: the prepared arrays have no SHA-256 to compare them with;"
            " preparing again writes one"
        )
    return faults


def _holds_pictures(path: Path) -> bool:
    return path.is_dir() and bool(find_datasets(path))


def leaks(one: Examination, other: Examination) -> list[str]:
    """Lists the pictures that are in both datasets, each as a fault."""
    import numpy as np

    from data.duplicates import near_duplicates

    if not one.inspections or not other.inspections:
        return []
    hashes = [np.stack([i.hash for i in e.inspections]) for e in (one, other)]
    return [
        f"{one.inspections[a].pair.image}: is also {other.inspections[b].pair.image}"
        f" ({bits} of 255 bits differ)"
        for a, b, bits in near_duplicates(*hashes)
    ]


def draw_sizes(examinations: list[Examination], file: Path) -> None:
    """Draws a histogram of the polyps' share of the image."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for examination in examinations:
        shares = [100 * one.polyp_share for one in examination.inspections]
        label = f"{examination.dataset.name} ({len(shares)} images)"
        weights = [100 / len(shares) for _ in shares]  # sets of any size compare
        axes.hist(shares, range(0, 101, 2), weights=weights, alpha=0.6, label=label)
    axes.set(xlabel="foreground, % of the image", ylabel="images, %", xlim=(0, 100))
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "data_path", type=Path, help="a dataset folder, raw or prepared"
    )
    parser.add_argument(
        "other_path",
        type=Path,
        nargs="?",
        help="a raw dataset, to compare its pictures with those of the first",
    )
    parser.add_argument(
        "--figure",
        type=picture_path,
        help="default: results/doctor/NAME.png in the repository",
    )
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    """Prints the report; returns 1 if there is a fault, else 0."""
    from data.arrays import is_prepared

    paths = [path for path in (args.data_path, args.other_path) if path]
    prepared = [path for path in paths if is_prepared(path)]
    faults = [fault for path in prepared for fault in check_arrays(path)]
    if prepared == paths and len(paths) == 1 and not _holds_pictures(args.data_path):
        paths = []  # arrays are all there is
    examinations = [examine(find_pairs(path)) for path in paths]
    for examination in examinations:
        print("\n".join(describe(examination)), end="\n\n")
        faults += examination.faults
    if len(examinations) == 2:
        shared = leaks(*examinations)
        print(f"pictures in both: {len(shared)} pairs", end="\n\n")
        faults += shared
    print(f"faults: {len(faults)}")
    print("".join(f"  {fault}\n" for fault in faults), end="")
    if examinations:
        name = "-".join(examination.dataset.name for examination in examinations)
        file = args.figure or RESULTS / f"{name}.png"
        draw_sizes(examinations, file)
        print(f"foreground sizes drawn in {file}")
    return 1 if faults else 0


def _at_most(lines: list[str]) -> list[str]:
    more = [f"  and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return [f"  {line}" for line in lines[:MOST_LINES]] + more


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
