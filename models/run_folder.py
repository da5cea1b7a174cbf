"""The folder of a training run: the names of its files, and how they are read.

`weights/` has the same form, so the shipped weights are read as any run is.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.command import UserError
from cli.files import parse_json, write_json

BEST_CHECKPOINT = "best.h5"
EPOCH_CHECKPOINT = re.compile(r"epoch_(\d+)_val_loss_.*\.h5")  # as published


@dataclass(frozen=True)
class Validation:
    """How a run's best checkpoint scored on its validation images.

    Attributes:
        threshold: the probability threshold of the best mean Dice on these images, or
            on those of `threshold_from`.
        dice: mean Dice over the images at that threshold.
        dice_at_half: the same at threshold 0.5.
        images: how many there are.
        per_image: `(name, group, Dice at 0.5)` of each image; the group is the video
            sequence or patient.
        epoch: the checkpoint's, from 1.
        trained_on: whether these images were trained on too.
        sha256: of the checkpoint's file; None in runs of earlier versions.
        temperature: by which to divide the logits for calibrated probabilities (see
            `metrics.calibration.calibrated`); None in runs of earlier versions.
        threshold_from: the run on whose images the threshold was chosen; None: these.
        ece, ece_calibrated: expected calibration error over all pixels, without and
            with that temperature; None in runs of earlier versions.
    """

    threshold: float
    dice: float
    dice_at_half: float
    images: int = 0
    per_image: list[tuple[str, str, float]] = field(default_factory=list)
    epoch: int | None = None
    trained_on: bool = False
    sha256: str | None = None
    temperature: float | None = None
    threshold_from: str | None = None
    ece: float | None = None
    ece_calibrated: float | None = None

    @property
    def chosen_threshold(self) -> float | None:
        """The threshold for other images; None where it is of images trained on too."""
        unseen = self.threshold_from or not self.trained_on
        return self.threshold if unseen else None

    @property
    def image_names(self) -> set[str]:
        """Names of the images, without their dataset's."""
        return {name.rpartition("/")[2] for name, *_ in self.per_image}


class RunFolder:
    """A run's folder, whether or not it is there yet.

    Args:
        path: the folder.

    Attributes:
        best: the best checkpoint.
        state: everything that `--resume` needs.
        config, validation: JSON files; see `read_config` and `read_validation`.
        log, curves, samples: the history as a table and a plot, validation pictures.
        tensorboard: folder of TensorBoard's event files.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.best = self.path / BEST_CHECKPOINT
        self.state = self.path / "state.h5"
        self.config = self.path / "config.json"
        self.validation = self.path / "validation.json"
        self.log = self.path / "log.csv"
        self.curves = self.path / "curves.png"
        self.samples = self.path / "samples.png"
        self.tensorboard = self.path / "tensorboard"

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def of_checkpoint(cls, checkpoint: str | Path) -> "RunFolder":
        """The folder that a checkpoint lies in."""
        return cls(Path(checkpoint).parent)

    def holds_a_run(self) -> bool:
        """Whether any file of a run lies here."""
        return any(file.exists() for file in self._written_files())

    def epoch_checkpoint(self, epoch: int, val_loss: float) -> Path:
        """The checkpoint of an epoch (from 1), named as the published code does."""
        return self.path / f"epoch_{epoch}_val_loss_{val_loss:.4f}.h5"

    def epoch_checkpoints(self) -> list[Path]:
        """The epochs' checkpoints that are kept, the oldest first."""
        files = self.path.glob("epoch_*.h5")
        named = [(EPOCH_CHECKPOINT.fullmatch(file.name), file) for file in files]
        epochs = [(int(name[1]), file) for name, file in named if name]
        return [file for _, file in sorted(epochs)]

    def write_config(self, content: dict[str, Any]) -> None:
        """Writes the run's configuration."""
        write_json(self.config, content)

    def read_config(self) -> dict[str, Any]:
        """Reads the run's configuration.

        Raises:
            UserError: there is no run, or the file is no JSON object.
        """
        if not self.config.is_file():
            runs = sorted(self.path.parent.glob(f"*/{self.config.name}"))
            listed = ", ".join(str(file.parent) for file in runs)
            raise UserError(
                f"There is no run in {self}"
                + (f"; runs there: {listed}" if runs else "")
            )
        return _read_object(self.config, "is not a run's configuration")

    def write_validation(self, validation: Validation) -> None:
        """Writes how the best checkpoint scored on validation images."""
        content = asdict(validation)
        content["dice_at_0.5"] = content.pop("dice_at_half")
        write_json(self.validation, content)

    def read_validation(self) -> Validation | None:
        """Reads how the best checkpoint scored; None where it was not (yet) scored.

        Raises:
            UserError: the file is damaged.
        """
        if not self.validation.is_file():
            return None
        reason = "is damaged; move it away to do without"
        content = _read_object(self.validation, reason)
        try:
            rows = content.get("per_image", [])
            return Validation(
                threshold=float(content["threshold"]),
                dice=float(content["dice"]),
                dice_at_half=float(content["dice_at_0.5"]),
                images=int(content.get("images", len(rows))),
                per_image=[(str(n), str(g), float(dice)) for n, g, dice in rows],
                epoch=_optional(int, content.get("epoch")),
                trained_on=bool(content.get("trained_on")),
                sha256=_optional(str, content.get("sha256")),
                temperature=_optional(float, content.get("temperature")),
                threshold_from=_optional(str, content.get("threshold_from")),
                ece=_optional(float, content.get("ece")),
                ece_calibrated=_optional(float, content.get("ece_calibrated")),
            )
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{self.validation} {reason}") from None

    def clear(self) -> None:
        """Removes what a run writes here, and nothing else."""
        for file in self._written_files():
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)

    def _written_files(self) -> Iterator[Path]:
        yield from (self.best, self.state, self.config, self.validation)
        yield from (self.log, self.curves, self.samples, self.tensorboard)
        yield from self.epoch_checkpoints()
        yield from self.path.glob(".partial.*")


def _optional(kind: type, value: Any) -> Any:
    return None if value is None else kind(value)


def model_label(checkpoint: str | Path) -> str:
    """What a checkpoint is called in results: its run's name, or its file's stem."""
    path = Path(checkpoint).resolve()
    return path.parent.name if path.name == BEST_CHECKPOINT else path.stem


def _read_object(file: Path, reason: str) -> dict[str, Any]:
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{file} {reason}")
    return content
