"""Loads a model file of any kind and runs it, always in the same way.

    segment = load_runtime("lgps.xml")
    probability = segment(frame)  # uint8 RGB in, float32 in [0, 1] out

A `.h5` runs in TensorFlow, `.xml` in OpenVINO, `.onnx` in ONNX Runtime, `.tflite` in
LiteRT, and a folder is a TensorFlow SavedModel. A SavedModel can do all that TensorFlow
can, files included, so that one without the card of `Export.py` is refused.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cli.command import UserError
from data.images import silent_codecs
from deploy.card import check_against_card
from deploy.formats import require
from evaluation.views import TTA

ROUNDING = 1e-4  # of values that int8 stands for
PROBABILITY_MARGIN = 1e-6  # keeps logits finite
FREE_SIZE = (256, 256)  # taken where a model leaves its size open: as published


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model is run; `load_runtime` explains each."""

    threads: int
    at_once: int
    exact: bool
    verify: bool

    @property
    def threads_each(self) -> int:
        """Threads of one frame."""
        return max(1, self.threads // self.at_once)


class PerThread(threading.local):
    """Holds what every thread that asks for it needs for itself.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], Any]):
        self.value = make()


class Runtime(ABC):
    """A loaded model: one frame in, one probability map out.

    Any thread may call it; `at_once` of them do not wait for one another.

    Attributes:
        image_size: (H, W) of the frames it takes, in pixels.
        at_once: the frames that it was loaded to compute at the same time.
    """

    image_size: tuple[int, int]
    at_once: int = 1

    @abstractmethod
    def run(self, frames: np.ndarray) -> np.ndarray:
        """`(1, H, W, 3)` uint8 RGB → `(1, H, W, 1)` float32 probabilities."""

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Segments one frame.

        Args:
            frame: `(H, W, 3)` uint8 RGB, of `image_size`.

        Returns:
            `(H, W)` float32 probabilities in [0, 1].
        """
        return self.run(np.ascontiguousarray(frame[None]))[0, ..., 0]


class KerasRuntime(Runtime):
    """A checkpoint in TensorFlow, rewritten for inference and compiled."""

    def __init__(self, path: Path, options: RuntimeOptions):
        import tensorflow as tf

        from models.checkpoints import load_checkpoint
        from models.inference import build_rgb_model

        tensorflow_threads(options.threads, options.at_once)
        checkpoint = load_checkpoint(path, verify=options.verify)
        self.image_size = checkpoint.image_size
        model = build_rgb_model(checkpoint, batch_size=1, dtype="uint8")
        self._run = tf.function(model, reduce_retracing=True)

    def run(self, frames: np.ndarray) -> np.ndarray:
        return self._run(frames).numpy()


class SavedModelRuntime(Runtime):
    """A SavedModel in TensorFlow."""

    def __init__(self, path: Path, options: RuntimeOptions):
        import tensorflow as tf

        tensorflow_threads(options.threads, options.at_once)
        self._model = tf.saved_model.load(str(path))  # holds the variables
        shape = self._model.serve.input_signature[0].shape
        self.image_size = _fixed_size(shape[1:3].as_list())

    def run(self, frames: np.ndarray) -> np.ndarray:
        return self._model.serve(frames).numpy()


class OpenVINORuntime(Runtime):
    """An OpenVINO model on the CPU."""

    def __init__(self, path: Path, options: RuntimeOptions):
        openvino = require("openvino")
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise UserError(f"{weights} is not there; an OpenVINO model is two files")
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": options.threads_each * options.at_once,
        }
        if options.at_once > 1:
            settings["NUM_STREAMS"] = options.at_once
        if options.exact:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        model = openvino.Core().read_model(path)
        shape = model.input(0).partial_shape
        sides = [d.get_length() if d.is_static else None for d in list(shape)[1:3]]
        self.image_size = _fixed_size(sides)
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._request = PerThread(compiled.create_infer_request)

    def run(self, frames: np.ndarray) -> np.ndarray:
        return self._request.value.infer([frames])[0].copy()


class ONNXRuntime(Runtime):
    """An ONNX model in ONNX Runtime on the CPU."""

    def __init__(self, path: Path, options: RuntimeOptions):
        onnxruntime = require("onnxruntime")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads_each
        self._session = onnxruntime.InferenceSession(
            path, settings, providers=["CPUExecutionProvider"]
        )
        (model_input,) = self._session.get_inputs()
        self._name = model_input.name
        self.image_size = _fixed_size(model_input.shape[1:3])

    def run(self, frames: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._name: frames})[0]


class LiteRTRuntime(Runtime):
    """A LiteRT (TensorFlow Lite) model on the CPU."""

    def __init__(self, path: Path, options: RuntimeOptions):
        litert = require("ai_edge_litert.interpreter")

        def load():
            threads = options.threads_each
            interpreter = litert.Interpreter(str(path), num_threads=threads)
            with silent_codecs():  # it announces its delegate
                interpreter.allocate_tensors()
            return interpreter

        self._interpreter = PerThread(load)
        (self._input,) = self._interpreter.value.get_input_details()
        (self._output,) = self._interpreter.value.get_output_details()
        self.image_size = _fixed_size(self._input["shape"][1:3])

    def run(self, frames: np.ndarray) -> np.ndarray:
        interpreter = self._interpreter.value
        interpreter.set_tensor(self._input["index"], frames)
        interpreter.invoke()
        return interpreter.get_tensor(self._output["index"])


RUNTIMES = {
    ".h5": KerasRuntime,
    ".xml": OpenVINORuntime,
    ".onnx": ONNXRuntime,
    ".tflite": LiteRTRuntime,
    "": SavedModelRuntime,
}


class FlipAverage(Runtime):
    """Averages a model's logits over a frame and its three mirror images.

    Logits and not probabilities, because the mean of probabilities rises slowly at the
    edge of a polyp where the four edges differ by a pixel.

    Args:
        runtime: runs the model, four times for each frame.
    """

    def __init__(self, runtime: Runtime):
        self.runtime = runtime
        self.image_size = runtime.image_size
        self.at_once = runtime.at_once

    def run(self, frames: np.ndarray) -> np.ndarray:
        """`(1, H, W, 3)` uint8 RGB → `(1, H, W, 1)` float32 probabilities."""
        maps = []
        for axes in ((), (1,), (2,), (1, 2)):
            flipped = np.ascontiguousarray(np.flip(frames, axes))
            maps.append(np.flip(self.runtime.run(flipped), axes))
        p = np.clip(maps, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
        return 1 / (1 + np.exp(-np.mean(np.log(p / (1 - p)), axis=0)))


def load_runtime(
    path: str | Path,
    threads: int | None = None,
    exact: bool = True,
    verify: bool = True,
    at_once: int = 1,
    tta: str | None = None,
) -> Runtime:
    """Loads a checkpoint or an exported model, and runs it once.

    Args:
        path: a `.h5`, `.xml`, `.onnx` or `.tflite` file, or a SavedModel folder.
        threads: CPU threads of the runtime; default: the cores this process may use.
        exact: compute in float32 what the model has in float32. Otherwise OpenVINO
            takes bfloat16 where the CPU has units for it: faster, not the same.
        verify: refuse a checkpoint or export that has changed since it was scored or
            exported, where its SHA-256 was recorded.
        at_once: frames that threads of the caller will compute at the same time. They
            share `threads`; with as many frames as threads, the most are computed in a
            second, and each takes longest.
        tta: `"flips"`: average the maps of each frame and its three mirror images.

    Raises:
        UserError: the file is missing, no such model, has changed, or its runtime is
            not installed.
        ValueError: there is no such `tta`.
    """
    if tta not in (None, *TTA):
        raise ValueError(
            f"Argument `tta` must be one of {', '.join(TTA)}. Received: {tta}"
        )
    path = Path(path)
    if not path.exists():
        raise UserError(f"Model not found: {path}")
    suffix = "" if path.is_dir() else path.suffix.lower()
    is_saved_model = path.is_dir() and (path / "saved_model.pb").is_file()
    if suffix not in RUNTIMES or (suffix == "" and not is_saved_model):
        raise UserError(
            f"{path} is no model; expected .h5, .xml, .onnx, .tflite or a SavedModel"
        )
    options = RuntimeOptions(threads or available_cores(), at_once, exact, verify)
    if verify and suffix != ".h5":
        check_against_card(path)
    try:
        with silent_codecs():  # what is wrong is said below
            runtime = RUNTIMES[suffix](path, options)
        runtime.at_once = at_once
        result = runtime.run(np.zeros((1, *runtime.image_size, 3), np.uint8))
        if result.dtype.kind != "f" or result.shape != (1, *runtime.image_size, 1):
            raise UserError(
                f"{path} gives {result.shape} {result.dtype}, no probability map"
                " (1, H, W, 1); Export.py makes models that do"
            )
        if not is_probability(result):
            raise UserError(f"{path} gives values that are no probabilities")
        return FlipAverage(runtime) if tta == "flips" else runtime
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:  # each runtime has its own kinds
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # OpenVINO first says where in its code it failed, and last why.
        reason = (lines or [type(error).__name__])[-1 if suffix == ".xml" else 0]
        raise UserError(f"{path} cannot be loaded: {reason}") from error


def is_probability(values: np.ndarray) -> bool:
    """Whether all values are from 0 to 1, but for rounding; not-a-number is not."""
    return bool(((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all())


def available_cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_and_frames(is_live: bool, threads: int | None = None) -> tuple[int, int]:
    """How `Predict.py` loads a model: `threads` and `at_once` of `load_runtime`.

    Of files, each thread computes another frame. Of live sources all work on the newest
    one, which is drawn and written on a core that is left.

    Args:
        is_live: whether for cameras and streams.
        threads: CPU threads; default: all cores, or all but one for live sources.
    """
    if is_live:
        return threads or max(1, available_cores() - 1), 1
    threads = threads or available_cores()
    return threads, threads


def tensorflow_threads(threads: int, at_once: int) -> None:
    """Sets TensorFlow's threads, and operations at once, if it has not started yet."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(at_once)
    except RuntimeError:  # already started with other threads
        pass


def _fixed_size(sides: Any) -> tuple[int, int]:
    """`(H, W)` in pixels, with `FREE_SIZE` where the model leaves it open."""
    fixed = [isinstance(side, int | np.integer) and side > 0 for side in sides]
    return tuple(
        int(side) if known else free
        for side, known, free in zip(sides, fixed, FREE_SIZE, strict=True)
    )
