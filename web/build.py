"""Builds the page that segments in the browser, ready for any static host.

    python -m web.build
    python -m web.build --model_path runs/lgps/best.h5 --image_size 320 320

Exports the network to ONNX and puts it into web/dist, beside the page's own files, the
runtime (ONNX Runtime Web, which npm installs in web/) and drawn sample pictures.
"""

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from cli.command import UserError, command_parser, run_command
from cli.files import make_folder, replacing_files, write_json
from cli.ranges import IMAGE_SIDE, number
from data.demo import draw_frame
from models.shipped import add_model_path

WEB = Path(__file__).resolve().parent
RUNTIME = WEB / "node_modules" / "onnxruntime-web" / "dist"
# The names that src/network.js loads.
MODEL = "model.onnx"
RUNTIME_SCRIPT = "ort.wasm.bundle.min.mjs"
RUNTIME_CODE = "ort-wasm-simd-threaded.wasm"
SAMPLES = {"One polyp": 5024, "Two polyps": 5158, "A small polyp": 5040}  # seeds
SAMPLE_SIZE = (512, 640)  # (H, W), pixels


def build(model: Path, image_size: list[int] | None, out_dir: Path) -> int:
    """Builds the page.

    Args:
        model: checkpoint to export.
        image_size: (H, W) in pixels; None: the checkpoint's own.
        out_dir: folder to write into; other files in it stay.

    Returns:
        The bytes written.

    Raises:
        UserError: ONNX Runtime Web is not installed, or the export failed.
    """
    make_folder(out_dir)
    with replacing_files(out_dir) as folder:
        downloads = copy_runtime(folder)
        card = export_model(model, image_size, folder)
        shutil.copytree(WEB / "src", folder, dirs_exist_ok=True)
        about = {
            "model": card["model"],
            "parameters": card["parameters"],
            "download_bytes": downloads + (folder / MODEL).stat().st_size,
            "samples": draw_samples(folder),
        }
        write_json(folder / "about.json", about)
        return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def copy_runtime(folder: Path) -> int:
    """Copies what the page needs of ONNX Runtime Web.

    Its WebAssembly code is compressed here because many hosts do not do it.

    Returns:
        The size of the compressed code in bytes.
    """
    if not (RUNTIME / RUNTIME_CODE).is_file():
        raise UserError(f"{RUNTIME} is missing; run: npm ci --prefix web")
    shutil.copy(RUNTIME / RUNTIME_SCRIPT, folder)
    code = gzip.compress((RUNTIME / RUNTIME_CODE).read_bytes(), mtime=0)
    (folder / f"{RUNTIME_CODE}.gz").write_bytes(code)
    return len(code)


def export_model(model: Path, image_size: list[int] | None, folder: Path) -> dict:
    """Exports a checkpoint to ONNX with Export.py; returns the export's card."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / MODEL
        command = [sys.executable, "Export.py", "--format", "onnx", "--out", out]
        command += ["--model_path", model.resolve()]
        if image_size:
            command += ["--image_size", *map(str, image_size)]
        export = subprocess.run(command, cwd=WEB.parent, capture_output=True, text=True)
        if export.returncode:
            lines = (export.stderr + export.stdout).strip().splitlines()
            ended = f"Export.py ended with code {export.returncode}"
            raise UserError([ended, *lines][-1].removeprefix("error: "))
        shutil.copy(out, folder)
        return json.loads(out.with_name(f"{MODEL}.card.json").read_text())


def draw_samples(folder: Path) -> list[dict[str, str]]:
    """Draws the sample pictures; returns their names and files."""
    (folder / "samples").mkdir()
    samples = []
    for name, seed in SAMPLES.items():
        image, _ = draw_frame(seed, SAMPLE_SIZE)
        file = f"samples/{name.lower().replace(' ', '_')}.jpg"
        cv2.imwrite(
            str(folder / file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]
        )
        samples.append({"name": name, "file": file})
    return samples


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add_model_path(parser, "a .h5")
    parser.add_argument(
        "--image_size",
        type=number(int, IMAGE_SIDE),
        nargs=2,
        metavar=("H", "W"),
        help="of the network, pixels; default: its own",
    )
    parser.add_argument("--out_dir", type=Path, default=WEB / "dist")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    size = build(args.model_path, args.image_size, args.out_dir)
    print(f"{args.out_dir}: {size / 1e6:.1f} MB; python -m web.serve shows it")


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
