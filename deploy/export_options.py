"""The options of an export."""

from dataclasses import dataclass
from pathlib import Path

from cli.command import UserError
from deploy.gate import MAX_DIFFERENCE, MAX_DROP


@dataclass(frozen=True)
class ExportOptions:
    """The options of `Export.py`, which explains them.

    Attributes:
        image_size: `(H, W)` in pixels; None: the checkpoint's.
        dynamic: which of "batch" and "size" are left open.

    Raises:
        UserError: they contradict one another.
    """

    model_path: Path
    format: str = "openvino"
    out: Path | None = None
    image_size: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()
    int8: bool = False
    max_drop: float = MAX_DROP
    max_difference: float = MAX_DIFFERENCE
    data_path: Path | None = None
    gate_data_path: Path | None = None
    unverified: bool = False

    def __post_init__(self):
        if self.int8 and not self.data_path:
            raise UserError(
                "--int8 needs --data_path, a prepared dataset to calibrate on"
                " (Preprocess_SEG.py makes one)"
            )
        if self.int8 and self.format == "saved_model":
            raise UserError("--int8 is for openvino, onnx and litert")
        if self.int8 and self.dynamic:
            raise UserError(
                "--int8 exports are of fixed batch and size; drop --dynamic"
            )
        if self.format == "litert" and self.dynamic:
            raise UserError("LiteRT runs fixed sizes only; drop --dynamic")
