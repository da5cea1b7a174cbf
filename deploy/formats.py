"""The formats a checkpoint is exported to, and what each of them needs."""

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cli.command import UserError

INSTALL_COMMAND = "pip install -r requirements-export.txt"


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        suffix: of its file; empty where it is a folder.
        packages: modules that export and run it.
        run_by: its runtime, for the model card.
    """

    suffix: str
    packages: tuple[str, ...]
    run_by: str


FORMATS = {
    "openvino": Format(
        ".xml",
        ("openvino",),
        "OpenVINO, told INFERENCE_PRECISION_HINT=f32: by itself it computes in "
        "bfloat16 on some CPUs",
    ),
    "onnx": Format(".onnx", ("onnx", "tf2onnx", "onnxruntime"), "ONNX Runtime"),
    "litert": Format(".tflite", ("ai_edge_litert.interpreter",), "LiteRT"),
    "saved_model": Format("", (), "TensorFlow"),
}


def check_format(name: str) -> None:
    """Raises `UserError` when a package for the format is missing."""
    for package in FORMATS[name].packages:
        require(package)


def require(module: str) -> ModuleType:
    """Imports an optional package, and keeps it from reporting its use to its makers.

    OpenVINO would send figures to Google Analytics, and ONNX Runtime to Microsoft.

    Raises:
        UserError: it is not installed; the message names the command that does it.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # as if it were not installed
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module.split('.')[0]} is not installed ({error}); run: {INSTALL_COMMAND}"
        ) from None


def model_files(path: Path) -> list[Path]:
    """All files of an export: OpenVINO keeps its weights beside the `.xml`."""
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file()]
    weights = path.with_suffix(".bin")
    return [path, weights] if path.suffix == ".xml" else [path]
