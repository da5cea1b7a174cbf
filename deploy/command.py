"""What Export.py does: export aside, compare with Keras, move into place."""

import argparse
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from cli.command import UserError
from deploy.card import file_hash, model_files, write_card
from deploy.export import FORMATS, build_export_model, check_format, write_model
from deploy.parity import Parity, dataset_frames, demo_frames, measure_parity
from deploy.quantise import write_int8
from deploy.runtimes import Runtime, available_cores, load_runtime
from models.checkpoints import Checkpoint, load_checkpoint
from models.inference import replace_erf

CALIBRATION_FRAMES = 150
COMPARED_FRAMES = 200
TIMED_FRAMES = 50
TIMED_SECONDS = 10.0  # enough for a slow model


def export_checkpoint(args: argparse.Namespace) -> int:
    """Runs Export.py's options; returns the exit code."""
    check_format(args.format)
    size = tuple(args.image_size) if args.image_size else None
    checkpoint = load_checkpoint(args.model_path, image_size=size)
    size = checkpoint.image_size
    out = args.out or _default_path(args)
    if out.suffix != FORMATS[args.format][0]:
        raise UserError(
            f"--out {out} must end in {FORMATS[args.format][0] or 'no suffix'}"
        )
    is_saved_model = (out / "saved_model.pb").is_file()
    if out.name in ("", "..") or (out.is_dir() and not is_saved_model):
        raise UserError(f"--out {out} is a folder but no SavedModel to be replaced")
    if args.data_path:
        frames = dataset_frames(
            args.data_path, "validation", size, COMPARED_FRAMES, checkpoint.path
        )
    else:
        frames = demo_frames(size)
    precision = "int8" if args.int8 else "float32"
    maps = keras_maps(checkpoint, frames.images)  # before the model may be changed
    model = _build(checkpoint, args)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
        # Its name is final already: OpenVINO's .xml names its .bin.
        staged = Path(folder) / out.name
        start = time.perf_counter()
        if args.int8:
            calibration = dataset_frames(
                args.data_path, "train", size, CALIBRATION_FRAMES, checkpoint.path
            )
            write_int8(model, staged, args.format, calibration.images)
        else:
            write_model(model, staged, args.format)
        print(f"{out}: written in {time.perf_counter() - start:.0f} s")

        runtime = load_runtime(staged)
        parity = measure_parity(maps, runtime, frames)
        print(f"{precision}: {parity}")
        problems = _judge(parity, args)
        if problems:
            print(f"the export to {out} is deleted: {'; '.join(problems)}")
            return 1
        milliseconds = median_ms(runtime, frames.images)
        _move_into_place(staged, out)
    facts = {
        "model": checkpoint.name,
        "format": args.format,
        "precision": precision,
        "source": checkpoint.path.name,
        "source_sha256": file_hash(checkpoint.path),
        "parameters": checkpoint.model.count_params(),
        "input": f"{_shape(model.input_shape)} uint8 RGB 0-255, sides divisible by "
        f"{checkpoint.convention.size_multiple}",
        "output": f"{_shape(model.output_shape)} float32 probability",
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


def keras_maps(checkpoint: Checkpoint, images: np.ndarray) -> np.ndarray:
    """What the checkpoint itself gives, not rewritten.

    Args:
        checkpoint: the network.
        images: `(N, H, W, 3)` uint8 RGB.

    Returns:
        `(N, H, W)` float32 probabilities.
    """
    model = build_export_model(checkpoint, rewrite=False)
    return model.predict(images, batch_size=1, verbose=0)[..., 0]


def median_ms(runtime: Runtime, images: np.ndarray) -> float:
    """Median time of one frame after warm-up, in milliseconds."""
    times: list[float] = []
    for index in range(TIMED_FRAMES + 5):
        if len(times) > 10 and sum(times) > TIMED_SECONDS:
            break
        start = time.perf_counter()
        runtime(images[index % len(images)])
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[5:]))


def _default_path(args: argparse.Namespace) -> Path:
    """Beside the checkpoint, named after it, the precision and the format."""
    stem = args.model_path.stem + ("_int8" if args.int8 else "")
    suffix = FORMATS[args.format][0] or "_saved_model"
    return args.model_path.with_name(stem + suffix)


def _build(checkpoint: Checkpoint, args: argparse.Namespace) -> keras.Model:
    """What is exported; for LiteRT, a checkpoint changed in place."""
    batch_size = None if "batch" in args.dynamic else 1
    if "size" in args.dynamic:
        checkpoint = load_checkpoint(checkpoint.path, checkpoint.name, (None, None))
    if args.format == "litert":
        replace_erf(checkpoint.model)
    return build_export_model(checkpoint, batch_size)


def _judge(parity: Parity, args: argparse.Namespace) -> list[str]:
    """What is wrong with an export; empty when it passes."""
    problems = []
    if not args.int8 and not parity.max_difference <= args.max_difference:
        problems.append(
            f"it differs from Keras by {parity.max_difference:.1e}, more than "
            f"--max_difference {args.max_difference:g}"
        )
    if not parity.drop <= args.max_drop:
        problems.append(
            f"Dice drops by {parity.drop:.4f}, more than --max_drop {args.max_drop:g}"
        )
    return problems


def _move_into_place(staged: Path, out: Path) -> None:
    if out.is_dir():
        shutil.rmtree(out)
    for file in [staged] if staged.is_dir() else model_files(staged):
        file.replace(out.with_name(file.name))


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join(str(side or "any") for side in shape) + ")"
