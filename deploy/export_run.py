"""Runs an export: writes a file, compares it with Keras, moves it into place."""

import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from cli.command import UserError
from cli.files import make_folder
from deploy.card import write_card
from deploy.export import write_model
from deploy.export_options import ExportOptions
from deploy.formats import FORMATS, check_format, model_files
from deploy.gate import (
    Frames,
    dataset_frames,
    demo_frames,
    held_out_frames,
    measure_parity,
)
from deploy.metadata import describe_use, write_metadata
from deploy.quantise import write_int8
from deploy.runtimes import Runtime, available_cores, load_runtime
from deploy.thresholds import scored_validation
from models.checkpoints import Checkpoint, load_checkpoint
from models.inference import build_rgb_model, replace_erf

CALIBRATION_FRAMES = 150
COMPARED_FRAMES = 200
TIMED_FRAMES = 50
TIMED_SECONDS = 10.0  # enough for a slow model


def export_checkpoint(options: ExportOptions) -> int:
    """Runs Export.py.

    Returns:
        The exit code: 1 when the export differs from Keras and is not kept.

    Raises:
        UserError: for options, a checkpoint or a dataset that cannot be used.
    """
    check_format(options.format)
    size = tuple(options.image_size) if options.image_size else None
    checkpoint = load_checkpoint(
        options.model_path, image_size=size, verify=not options.unverified
    )
    out = _output_path(options)
    frames = _compared_frames(options, checkpoint)
    maps = keras_maps(checkpoint, frames.images)  # before the model may be changed
    model = _build(checkpoint, options)
    make_folder(out.parent)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
        # Its name is final already: OpenVINO's .xml names its .bin.
        staged = Path(folder) / out.name
        start = time.perf_counter()
        use = _write(options, checkpoint, model, staged)
        print(f"{out}: written in {time.perf_counter() - start:.0f} s")

        runtime = load_runtime(staged, verify=False)  # it has no card yet
        parity = measure_parity(maps, runtime, frames)
        print(f"{use['precision']}: {parity}")
        max_difference = None if options.int8 else options.max_difference
        if problems := parity.problems(options.max_drop, max_difference):
            print(f"the new export to {out} is not kept: {'; '.join(problems)}")
            return 1
        milliseconds = median_ms(runtime, frames.images)
        _move_into_place(staged, out)
    validation = scored_validation(checkpoint.path)
    facts = {
        "model": checkpoint.name,
        "format": options.format,
        "precision": use["precision"],
        "source": checkpoint.path.name,
        "source_sha256": use["checkpoint_sha256"],
        "parameters": checkpoint.model.count_params(),
        "input": f"{_shape(model.input_shape)} uint8 RGB 0-255, sides divisible by "
        f"{checkpoint.convention.size_multiple}",
        "output": f"{_shape(model.output_shape)} float32 probability",
        "view": use["view"],
        "threshold": validation.chosen_threshold if validation else None,
        "temperature": validation.temperature if validation else None,
        "parity": str(parity),
        "compared": asdict(parity),
        "p50_ms": milliseconds,
        "threads": available_cores(),
    }
    write_card(out, facts)
    megabytes = sum(file.stat().st_size for file in model_files(out)) / 1e6
    print(
        f"{out}: {megabytes:.2f} MB, {milliseconds:.1f} ms a frame; "
        f"card in {out.name}.card.md"
    )
    return 0


def _compared_frames(options: ExportOptions, checkpoint: Checkpoint) -> Frames:
    """The frames that decide whether the export is kept."""
    size = checkpoint.image_size
    if options.gate_data_path:
        return held_out_frames(options.gate_data_path, size, COMPARED_FRAMES)
    if options.data_path:
        return dataset_frames(
            options.data_path, "validation", size, COMPARED_FRAMES, checkpoint.path
        )
    return demo_frames(size)


def _write(
    options: ExportOptions, checkpoint: Checkpoint, model: keras.Model, path: Path
) -> dict[str, str]:
    """Writes the model's file; returns the metadata that describe its use."""
    if options.int8:
        calibration = dataset_frames(
            options.data_path,
            "train",
            checkpoint.image_size,
            CALIBRATION_FRAMES,
            checkpoint.path,
        )
        write_int8(model, path, options.format, calibration.images)
    else:
        write_model(model, path, options.format)
    precision = "int8" if options.int8 else "float32"
    use = describe_use(model, checkpoint.path, precision)
    write_metadata(path, options.format, use)
    return use


def keras_maps(checkpoint: Checkpoint, images: np.ndarray) -> np.ndarray:
    """Predicts with the checkpoint itself, not rewritten for inference.

    Args:
        checkpoint: the network.
        images: `(N, H, W, 3)` uint8 RGB.

    Returns:
        `(N, H, W)` float32 probabilities.
    """
    model = build_rgb_model(checkpoint, rewrite=False, dtype="uint8")
    return model.predict(images, batch_size=1, verbose=0)[..., 0]


def median_ms(runtime: Runtime, images: np.ndarray) -> float:
    """Measures the median time of one frame after warm-up, in milliseconds."""
    times: list[float] = []
    for index in range(TIMED_FRAMES + 5):
        if len(times) > 10 and sum(times) > TIMED_SECONDS:
            break
        start = time.perf_counter()
        runtime(images[index % len(images)])
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[5:]))


def _output_path(options: ExportOptions) -> Path:
    """The file or folder to write; by default beside the checkpoint.

    The default is named after the checkpoint, the precision and the format.
    """
    suffix = FORMATS[options.format].suffix
    stem = options.model_path.stem + ("_int8" if options.int8 else "")
    out = options.out or options.model_path.with_name(stem + (suffix or "_saved_model"))
    if out.suffix != suffix:
        raise UserError(f"--out {out} must end in {suffix or 'no suffix'}")
    if not suffix and out.is_file():
        raise UserError(f"--out {out} is a file; a SavedModel is a folder")
    is_saved_model = (out / "saved_model.pb").is_file()
    if out.name in ("", "..") or (out.is_dir() and not is_saved_model):
        raise UserError(f"--out {out} is a folder but no SavedModel to be replaced")
    return out


def _build(checkpoint: Checkpoint, options: ExportOptions) -> keras.Model:
    """The model to export; for LiteRT, the checkpoint is changed in place."""
    batch_size = None if "batch" in options.dynamic else 1
    if "size" in options.dynamic:
        checkpoint = load_checkpoint(
            checkpoint.path, image_size=(None, None), verify=not options.unverified
        )
    if options.format == "litert":
        replace_erf(checkpoint.model)
    return build_rgb_model(checkpoint, batch_size=batch_size, dtype="uint8")


def _move_into_place(staged: Path, out: Path) -> None:
    if out.is_dir():
        shutil.rmtree(out)
    for file in [staged] if staged.is_dir() else model_files(staged):
        file.replace(out.with_name(file.name))


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join(str(side or "any") for side in shape) + ")"
