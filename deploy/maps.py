"""Probability maps for the test scripts, from the segmenter that Predict.py uses.

A checkpoint and every file of Export.py are scored in the same way: one frame at a
time, in the model's own runtime.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cli.command import UserError, import_tensorflow
from cli.files import sha256
from cli.parallel import map_in_order
from deploy.card import read_card
from deploy.runtimes import (
    PROBABILITY_MARGIN,
    Runtime,
    is_probability,
    load_runtime,
)
from deploy.segment import FrameSegmenter, Prepared
from evaluation.cases import Case, CaseSet
from evaluation.views import DEFAULT_VIEW
from models.run_folder import BEST_CHECKPOINT, model_label
from models.shipped import SHIPPED_WEIGHTS

SPEED_SECONDS = 1.0  # how long the speed is measured


class SegmenterMaps:
    """The maps of a model over cases; has the interface `evaluation.cases.MapSource`.

    Args:
        runtime: the loaded model.
        path: its file, or its folder.
        view: one of `evaluation.views.VIEWS`.
        suffixes: added to the label.

    Attributes:
        label: the model's name in paths and tables.
        source: the model's file or folder.
        checkpoint: the shipped weights if it is an export of them; else `source`.
        view: what the network is shown of a frame.
        images_per_second: speed of the model after warm-up, one image at a time,
            without decoding and scoring.
    """

    def __init__(
        self,
        runtime: Runtime,
        path: Path,
        view: str = DEFAULT_VIEW,
        suffixes: Iterable[str] = (),
    ):
        self.label = "+".join([export_label(path), *suffixes])
        self.source = path
        self.checkpoint = shipped_checkpoint(path)
        self.view = view
        self.segmenter = FrameSegmenter(runtime, view=view)
        self.images_per_second = measure_speed(runtime)

    def cases(
        self, case_set: CaseSet, indices: Iterable[int] | None = None
    ) -> Iterator[Case]:
        """Yields cases (default: all) with their maps, in order, a few at a time.

        The map of a whole frame stays at the network's size, at which some protocols
        score. That of a cropped frame is at the frame's own size.

        Raises:
            UserError: the maps hold no probabilities, so the weights are damaged.
        """

        def load(index: int) -> tuple[Case, Prepared]:
            case = case_set.read(index)
            return case, self.segmenter.prepare(case.image)

        if indices is None:
            indices = range(len(case_set))
        for case, prepared in map_in_order(load, indices):
            probability = self.segmenter.infer(prepared)
            if not is_probability(probability):
                raise UserError(
                    f"{self.source}: its maps are not from 0 to 1, so its weights are "
                    "damaged"
                )
            if prepared.view is not None:
                probability = self.segmenter.enlarge(prepared, probability)
            yield replace(case, probability=probability)


class CRFRefinement(Runtime):
    """Refines a model's maps by an untrained ConvCRF, guided by the frame's colours."""

    def __init__(self, runtime: Runtime):
        import tensorflow as tf

        from models.conv_crf import MeanFieldCRF

        self.runtime = runtime
        self.image_size = runtime.image_size
        crf = MeanFieldCRF()

        def refine(maps, frames):
            p = tf.clip_by_value(maps, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
            colours = tf.cast(frames, tf.float32) / 127.5 - 1
            return tf.sigmoid(crf([tf.math.log(p / (1 - p)), colours]))

        self._refine = tf.function(refine, reduce_retracing=True)

    def run(self, frames: np.ndarray) -> np.ndarray:
        """`(1, H, W, 3)` uint8 RGB → `(1, H, W, 1)` float32 probabilities."""
        return self._refine(self.runtime.run(frames), frames).numpy()


def load_maps(
    path: Path,
    view: str = DEFAULT_VIEW,
    tta: str | None = None,
    refine: str | None = None,
    verify: bool = True,
) -> SegmenterMaps:
    """Loads a checkpoint or a file of Export.py as a source of maps.

    Args:
        path: a `.h5`, `.xml`, `.onnx` or `.tflite` file, or a SavedModel folder.
        view: one of `evaluation.views.VIEWS`.
        tta: as in `load_runtime`.
        refine: `"convcrf"` refines each map by mean-field inference.
        verify: as in `load_runtime`.

    Raises:
        UserError: the model cannot be loaded, or its runtime is not installed.
    """
    if path.suffix == ".h5" or path.is_dir() or refine:
        import_tensorflow()
    runtime = load_runtime(path, verify=verify, tta=tta)
    if refine == "convcrf":
        runtime = CRFRefinement(runtime)
    other_view = None if view == DEFAULT_VIEW else view
    return SegmenterMaps(runtime, path, view, filter(None, [other_view, tta, refine]))


def export_label(path: Path) -> str:
    """What a model is called in results, so that no two files of a run share a name.

    A checkpoint is called as `model_label` does, `best_int8.xml` in a run's folder
    `RUN-best_int8.xml`, and any other file by its name.
    """
    if path.suffix == ".h5":
        return model_label(path)
    path = path.resolve()
    is_of_run = path.name.startswith(Path(BEST_CHECKPOINT).stem)
    return f"{path.parent.name}-{path.name}" if is_of_run else path.name


def shipped_checkpoint(path: Path) -> Path:
    """The shipped weights that a file was exported from, by its card; else the file."""
    if path.suffix == ".h5":
        return path
    try:
        source = read_card(path).get("source_sha256")
    except UserError:  # no card, or a damaged one
        return path
    shipped = (one for one in SHIPPED_WEIGHTS.values() if sha256(one) == source)
    return next(shipped, path)


def measure_speed(runtime: Runtime) -> float:
    """Measures a loaded model's images per second, one image at a time."""
    frame = np.zeros((*runtime.image_size, 3), np.uint8)
    runtime(frame)  # the first call of a wrapped model compiles
    calls, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SPEED_SECONDS:
        runtime(frame)
        calls += 1
    return calls / seconds
