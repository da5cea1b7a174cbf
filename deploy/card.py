"""Writes the model card beside each export: what it is, and what was measured."""

import platform
from pathlib import Path
from typing import Any

from cli.command import UserError
from cli.files import parse_json, sha256, write_json, write_text
from deploy.formats import FORMATS, model_files

CARD = """# {name}

{model}, polyp segmentation, {precision} for {format}. Not a medical device.

| | |
|---|---|
| File | `{file}`, {megabytes:.2f} MB |
| SHA-256 | `{sha256}` |
| Source | `{source}`, SHA-256 `{source_sha256}` |
| Parameters | {parameters:,} |
| Input | {input} |
| Output | {output} |
| Input shows | the {view} frame |
| Threshold chosen on validation images | {threshold} |
| Temperature fitted on validation images | {temperature} |
| Run by | {run_by} |
| Parity | {parity} |
| Speed | {p50_ms:.1f} ms a frame (median, {threads} threads, {machine}) |
"""


def weights_hash(path: Path) -> str:
    """SHA-256 of an export's weights: OpenVINO keeps them in a `.bin` of its own."""
    return sha256(path.with_suffix(".bin") if path.suffix == ".xml" else path)


def check_against_card(path: Path) -> None:
    """Compares an export with the card beside it.

    An export without a card, or with a damaged one, passes, unless it is a folder,
    which is a SavedModel.

    Raises:
        UserError: the export has changed since the card was written, or is a SavedModel
            without one.
    """
    try:
        card = parse_json(card_path(path).read_text(encoding="utf-8"))
        changed = card["sha256"] != weights_hash(path)
        if "graph_sha256" in card:  # cards of earlier versions lack it
            changed = changed or card["graph_sha256"] != sha256(path)
    except (OSError, ValueError, KeyError, TypeError):
        if path.is_dir():
            raise UserError(
                f"{path} has no card of Export.py, and a SavedModel can read and write "
                "files; --unverified loads one that you trust"
            ) from None
        return
    if changed:
        raise UserError(
            f"{path} has changed since it was exported: its SHA-256 is not the one in "
            f"{card_path(path)}; --unverified loads it all the same"
        )


def machine_name() -> str:
    """The processor's name, as far as the system gives one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1] for line in lines if line.startswith("model name")]
        return names[0].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def write_card(path: Path, facts: dict[str, Any]) -> None:
    """Writes `NAME.card.json` and `NAME.card.md` beside an export.

    Args:
        path: the exported file or folder.
        facts: the values of `CARD` beside those taken from the file itself.
    """
    size = sum(file.stat().st_size for file in model_files(path))
    facts = facts | {
        "name": path.name,
        "file": path.name,
        "bytes": size,
        "sha256": weights_hash(path),
        **({"graph_sha256": sha256(path)} if path.suffix == ".xml" else {}),
        "machine": machine_name(),
        "run_by": FORMATS[facts["format"]].run_by,
    }
    card = card_path(path)
    write_json(card, facts)
    shown = {name: "none" if fact is None else fact for name, fact in facts.items()}
    shown["megabytes"] = size / 1e6
    write_text(card.with_suffix(".md"), CARD.format(**shown))


def card_path(path: Path) -> Path:
    """The card, as JSON, of an exported file or folder."""
    path = path.resolve()
    return path.with_name(f"{path.name}.card.json")


def read_card(path: Path) -> dict[str, Any]:
    """Reads the card of an exported file or folder.

    Raises:
        UserError: it is missing or damaged.
    """
    card = card_path(path)
    try:
        content = parse_json(card.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{card} is not there; Export.py writes it") from None
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{card} is damaged; export the model again")
    return content
