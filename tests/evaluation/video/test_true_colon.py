"""The scores beside those of the package true-colon, where the definitions meet.

They meet on rectangles, whose boxes have the IoU of their masks, with one polyp in a
frame and one region on it, and when one detection suffices within a time window.
"""

import numpy as np
import pytest

from evaluation.cases import Case
from evaluation.video.frames import THRESHOLDS, FrameReader
from evaluation.video.scoring import VideoScores
from evaluation.video.sequences import (
    ALARMS,
    DELAY,
    FOUND,
    PERSISTENCE,
    SENSITIVITY,
    SPECIFICITY,
    WINDOWS,
    Rule,
    window_name,
)

true_colon = pytest.importorskip("true_colon")

FPS, SIZE, CONFIDENCE = 10, 64, 0.8


def draw_sequences(seed):
    """Sequence → for each frame the polyp's box, or None, and the predicted boxes.

    A polyp is in sight in most frames of four sequences of 60, found late and with
    gaps; false boxes lie apart from it. The fifth sequence shows none.
    """
    rng = np.random.default_rng(seed)
    sequences = {}
    for name in "abcde":
        frames, first = [], int(rng.integers(0, 50))
        for n in range(60):
            polyp, found = None, []
            if name != "e" and rng.random() < 0.8:
                polyp = (int(rng.integers(4, 12)), int(rng.integers(4, 12)), 16, 12)
                if n >= first and rng.random() < 0.6:
                    shift = int(rng.integers(0, 12))  # IoU from 1 to 4 / 28
                    found.append((polyp[0] + shift, *polyp[1:]))
            if rng.random() < 0.2:
                found.append((int(rng.integers(44, 50)), 50, 10, 8))
            frames.append((polyp, found))
        sequences[name] = frames
    return sequences


def draw(boxes, value=1.0):
    picture = np.zeros((SIZE, SIZE), np.float32)
    for x, y, width, height in boxes:
        picture[y : y + height, x : x + width] = value
    return picture


def our_scores(sequences):
    reader = FrameReader(0.5)
    for name, frames in sequences.items():
        for n, (polyp, found) in enumerate(frames):
            truth = draw([polyp] if polyp else []).astype(np.uint8)
            reader.add(
                Case(
                    name=f"{name}_{n}",
                    group=name,
                    centre=None,
                    image=np.zeros((SIZE, SIZE, 3), np.uint8),
                    truth=truth,
                    prepared=True,
                    grey_truth=lambda: None,
                    probability=draw(found, CONFIDENCE),
                )
            )
    return VideoScores(reader.frames, FPS, 0.5)


def their_scores(sequences, iou):
    images, annotations, found = [], [], []
    for name, frames in sequences.items():
        for n, (polyp, boxes) in enumerate(frames):
            file = f"{name}_{n:04d}"
            images.append({"id": len(images), "file_name": f"{file}.png"})
            if polyp:
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": images[-1]["id"],
                        "category_id": 1,
                        "bbox": list(polyp),
                        "unique_id": f"{name}_1",
                    }
                )
            found += [
                {"image_id": file, "category_id": 1, "bbox": list(box), "score": 0.8}
                for box in boxes
            ]
    truth = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    evaluator = true_colon.create_evaluator(
        iou_thr=iou,
        conf=0.5,
        conf_grid=(0.5,),
        tiers=frozenset({"frame", "lesion", "froc"}),
        lesion=true_colon.LesionConfig(fps=FPS, min_detected_frames_in_window=1),
    )
    return evaluator.evaluate(truth, found)


@pytest.mark.parametrize("iou", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_numbers(seed, iou):
    sequences = draw_sequences(seed)
    scores, theirs = our_scores(sequences), their_scores(sequences, iou)
    ours = {name: score.value for name, score in scores.table(Rule(iou)).items()}
    assert ours[SENSITIVITY] == pytest.approx(theirs.frame.tpr)
    assert ours[SPECIFICITY] == pytest.approx(theirs.frame.specificity)
    polyps = theirs.lesion.summary
    assert polyps.n_lesions == 4
    assert ours[FOUND] == polyps.detected_any / 4
    assert ours[PERSISTENCE] == pytest.approx(polyps.mean_det_fraction)
    assert ours[DELAY] == pytest.approx(polyps.mean_latency_seconds)
    within = [polyps.detected_within_1s, polyps.detected_within_3s]
    within.append(polyps.detected_within_5s)
    assert [4 * ours[window_name(seconds)] for seconds in WINDOWS] == within
    point = scores.free_response()[THRESHOLDS.index(0.5), int(iou > 0)]
    assert point[0] == pytest.approx(theirs.froc.tpr_loc[0])
    assert point[1] == pytest.approx(theirs.froc.fp_per_image[0])
    assert ours[ALARMS] == pytest.approx(60 * FPS * theirs.froc.fp_per_image[0])
