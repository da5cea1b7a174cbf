"""Writes into an exported file how it is used, so that other tools need no card.

OpenVINO files carry it in `rt_info/model_info`, ONNX files in `metadata_props`. The
other formats have no such place.
"""

from pathlib import Path

import keras

from cli.files import sha256
from deploy.formats import require
from deploy.thresholds import scored_validation
from evaluation.views import DEFAULT_VIEW

DEFAULT_THRESHOLD = 0.5  # where a checkpoint's run has chosen none


def describe_use(
    model: keras.Model, checkpoint: Path, precision: str
) -> dict[str, str]:
    """Describes the input and the output of an exported model.

    Args:
        model: as for `deploy.export.write_model`.
        checkpoint: the file it is from.
        precision: `"float32"` or `"int8"`.

    Returns:
        Names and values, as they are written.
    """
    _, height, width, _ = model.input_shape
    validation = scored_validation(checkpoint)
    threshold = (validation and validation.chosen_threshold) or DEFAULT_THRESHOLD
    temperature = validation and validation.temperature
    return {
        "model": model.name,
        "precision": precision,
        "input_size": f"{height or 'any'} {width or 'any'}",  # H W, pixels
        "input_layout": "NHWC",
        "input_type": "uint8",
        "color_order": "RGB",
        "input_range": "0 255",
        "scaling_inside": "true",  # so give the frame as it is
        "view": DEFAULT_VIEW,
        "output": "probability",
        "output_layout": "NHWC",
        "output_type": "float32",
        "threshold": f"{threshold:g}",
        **({"temperature": f"{temperature:.4g}"} if temperature else {}),
        "labels": "polyp",
        "checkpoint_sha256": sha256(checkpoint),
    }


def write_metadata(path: Path, file_format: str, metadata: dict[str, str]) -> None:
    """Adds metadata to an exported file, in place.

    Args:
        path: the file.
        file_format: a key of `deploy.formats.FORMATS`.
        metadata: names and values.
    """
    if file_format == "openvino":
        _write_openvino(path, metadata)
    elif file_format == "onnx":
        _write_onnx(path, metadata)


def _write_openvino(path: Path, metadata: dict[str, str]) -> None:
    openvino = require("openvino")
    model = openvino.Core().read_model(path)  # reads the weights only when needed
    for name, value in metadata.items():
        model.set_rt_info(value, ["model_info", name])
    described = path.with_name(f"described_{path.name}")
    openvino.save_model(model, described, compress_to_fp16=False)
    del model
    for suffix in (".xml", ".bin"):
        described.with_suffix(suffix).replace(path.with_suffix(suffix))


def _write_onnx(path: Path, metadata: dict[str, str]) -> None:
    onnx = require("onnx")
    model = onnx.load(path)
    before = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, before | metadata)
    onnx.save(model, path)
