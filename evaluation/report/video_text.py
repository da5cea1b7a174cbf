"""Says what the scores of videos mean, and what a set is too small to show."""

from collections.abc import Sequence

from evaluation.video.regions import MIN_AREA
from evaluation.video.scoring import VideoScores
from evaluation.video.sequences import DEFINITIONS, TRUTH_CONSISTENCY, WINDOWS

STEADY = 0.7  # IoU of neighbouring true masks below which the frame rate is doubted


def explanations(scores: VideoScores) -> list[str]:
    """Lists, in Markdown, what each score means, and what this set cannot show."""
    lines = [
        "**detection**: a predicted region whose IoU with a polyp of the frame is "
        "above the limit of the column; any other region is a false alarm. Regions "
        f"smaller than {100 * MIN_AREA:g} % of the frame are left out, in the truth "
        "too."
    ]
    if scores.hold:
        enough, frames = scores.hold
        lines.append(
            f"**hold {enough}/{frames}**: only regions that were seen in {enough} of "
            f"the last {frames} frames count."
        )
    lines += [f"**{name}**: {meaning}." for name, meaning in DEFINITIONS.items()]
    lines.append(
        "In brackets: 95 % intervals, by bootstrap over sequences; of shares of "
        "polyps, Wilson's interval. A bootstrap interval without width means that no "
        "sequence differs from the others, not that the score is certain."
    )
    return lines + _limits(scores)


def _limits(scores: VideoScores) -> list[str]:
    """Says which scores the set is too short, too small or too positive for."""
    shown = [
        sum(frame.polyps > 0 for frame in frames)
        for frames in scores.sequences.values()
    ]
    empty = sum(not frame.polyps for frame in scores.frames)
    several = sum(
        any(frame.polyps > 1 for frame in frames)
        for frames in scores.sequences.values()
    )
    seconds = len(scores.frames) / scores.fps
    limits = [
        f"The set lasts {seconds:.1f} s, of which {empty / scores.fps:.1f} s show no "
        "polyp. Rates per minute of so short a time come from few alarms."
        if seconds < 60
        else f"The set lasts {seconds / 60:.1f} minutes, of which "
        f"{empty / scores.fps / 60:.1f} show no polyp."
    ]
    truth = scores.mask_table()[TRUTH_CONSISTENCY].value
    if truth is not None and truth < STEADY:
        limits.append(
            "**The true masks of neighbouring frames overlap with a mean IoU of only "
            f"{truth:.2f}.** The frames on disk are probably further apart than "
            f"1/{scores.fps:g} s, or the camera moves fast: times and the length of "
            "alarms are then too short, and hold sees too few neighbours."
        )
    longer = [sum(n > seconds * scores.fps for n in shown) for seconds in WINDOWS]
    polyps = sum(map(bool, shown))
    if min(longer) < polyps:
        limits.append(
            f"Polyps in sight for more than {_listed(WINDOWS)} s: {_listed(longer)} of "
            f"{polyps}. For the others, found within that time is the same as found."
        )
    if several:
        limits.append(
            f"The truth of {several} of the {len(shown)} sequences shows several "
            "regions in some frames; such a sequence still counts as one polyp."
        )
    return limits


def _listed(numbers: Sequence[float]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}"


def training_facts(scores: VideoScores) -> str:
    """Says how many frames and sequences the model was not trained on."""
    unseen = [frame for frame in scores.frames if frame.name not in scores.trained]
    if not unseen:
        return "The model was trained on all of these frames."
    sequences = {frame.sequence for frame in unseen}
    fresh = sum(
        all(frame.name not in scores.trained for frame in frames)
        for frames in scores.sequences.values()
    )
    text = (
        f"The model was trained on {len(scores.trained)} of the {len(scores.frames)} "
        f"frames. The other {len(unseen)} are of {len(sequences)} sequences; "
    )
    if fresh:
        were = "was" if fresh == 1 else "were"
        return text + f"{fresh} of these sequences {were} not trained on at all."
    return text + (
        "other frames of each of these were trained on. Their scores are therefore of "
        "new frames of known polyps, not of unknown polyps."
    )
