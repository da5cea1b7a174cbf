"""One model on one dataset, from cases to a folder of results."""

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from evaluation.cases import CaseSet
from evaluation.figures import draw_qualitative, pick_cases
from evaluation.protocols import Protocol
from evaluation.results import write_metrics, write_per_image, write_readme
from evaluation.scoring import SetScores, score_cases


def evaluate(
    predictor,
    case_set: CaseSet,
    protocols: list[Protocol],
    folder: Path,
) -> SetScores:
    """Scores a set and writes its results folder.

    Args:
        predictor: yields predicted cases (`Predictor`).
        case_set: the test set.
        protocols: what to score by.
        folder: where the results go; made if missing.

    Returns:
        The scores, which hold no images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream: Iterator = tqdm(
        predictor.cases(case_set),
        total=len(case_set),
        desc=f"{predictor.label} on {case_set.name}",
        unit="image",
        leave=False,
    )
    scores = score_cases(stream, protocols)
    metrics = write_metrics(
        folder,
        predictor.label,
        predictor.source,
        case_set,
        scores,
        predictor.images_per_second,
    )
    write_per_image(folder, scores)
    shown = pick_cases(scores)
    draw_qualitative(
        list(predictor.cases(case_set, shown)),
        [f"{kind}: Dice {scores.cases[i]['dice']:.3f}" for i, kind in shown.items()],
        folder / "qualitative.png",
        f"{predictor.label} on {case_set.name}: best, median and worst cases",
    )
    table = write_readme(folder, metrics, scores)
    print(f"\n{predictor.label} on {case_set.name}, {len(scores)} images", end="")
    if predictor.images_per_second:
        print(f", {predictor.images_per_second:.1f} images/s after warm-up", end="")
    print(f"\n\n{table}\n\npictures: {folder / 'qualitative.png'}")
    return scores
