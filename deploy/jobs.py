"""What Predict.py is asked to do with many sources, as one job for each.

A job is one video or stream, or a part of a folder of pictures. When it is complete, a
marker is written beside its results, as the last of its files.
"""

import glob
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from cli.command import UserError
from cli.files import parse_json, read_lines, sha256, write_json
from data.pairs import IMAGE_SUFFIXES
from deploy.formats import model_files
from deploy.predict import MARKER
from deploy.sources import (
    Pictures,
    Source,
    is_live,
    live_name,
    open_source,
    without_secrets,
)

VIDEO_SUFFIXES = set(
    ".asf .avi .dv .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ts .vob .webm .wmv"
    "".split()
)
PART = 500  # pictures of one job
PARTS = ".parts"  # the folder of their results, until all are complete


@dataclass(frozen=True)
class Options:
    """How sources are predicted: the flags of Predict.py of these names.

    Attributes:
        model: the file or folder of the model.
        threads: of the model, for each source that is predicted at a time; None, and
            not on a cluster: as `threads_and_frames` chooses.
        verify: refuse a model that has changed since it was scored or exported.
    """

    model: Path
    threads: int | None
    threshold: float = 0.5
    smooth: float = 0.0
    hold: tuple[int, int] = (1, 1)
    overlay: str = "heatmap"
    masks: bool = True
    view: str = "whole"
    tta: str | None = None
    reconnect: float = 0.0
    verify: bool = True

    @cached_property  # sent along to other processes, which compare it with their own
    def model_sha256(self) -> str:
        """SHA-256 of all files of the model; `UserError` where there is none."""
        files = sorted(file for file in model_files(self.model) if file.is_file())
        if not files:
            raise UserError(f"Model not found: {self.model}")
        return _hash([sha256(file) for file in files])

    @property
    def settings(self) -> dict[str, str]:
        """All that the results depend on, apart from the sources."""
        return {
            "model": self.model_sha256,
            "threshold": str(self.threshold),
            "smooth": str(self.smooth),
            "hold": "{}/{}".format(*self.hold),
            "overlay": self.overlay,
            "masks": str(self.masks),
            "view": self.view,
            "tta": str(self.tta),
        }


@dataclass
class Row:
    """A line of summary.csv.

    Attributes:
        source: as it was given.
        frames: frames written.
        polyp_frames: of them, with a polyp that is reported.
        polyps: different polyps that were reported.
        seconds: spent on it.
        problems: what could not be read, or why it is not complete.
    """

    source: str
    frames: int = 0
    polyp_frames: int = 0
    polyps: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Job:
    """One source, or a part of its pictures.

    Attributes:
        source: as it was given, without what is secret in it.
        address: where it is, from any working folder: an absolute path, or as given.
        out_dir: gets its results.
        pictures: its files when it is a set of pictures, else empty.
    """

    source: str
    address: str
    out_dir: Path
    pictures: tuple[Path, ...] = ()

    @property
    def marker(self) -> Path:
        """The file that says that the results are complete."""
        return self.out_dir / MARKER

    def parts(self) -> list["Job"]:
        """Cuts many pictures into parts; anything else is one part, the job itself."""
        if len(self.pictures) <= PART:
            return [self]
        return [
            replace(
                self,
                out_dir=self.out_dir / PARTS / f"{start:07d}",
                pictures=self.pictures[start : start + PART],
            )
            for start in range(0, len(self.pictures), PART)
        ]

    def open(self, reconnect: float = 0.0) -> Source:
        """Opens it; `UserError` where it cannot be read."""
        if self.pictures:
            return Pictures(self.source, list(self.pictures))
        return open_source(self.address, reconnect)

    def frames(self) -> int:
        """Frames to expect, for the progress bar; 0 where it is not known."""
        if self.pictures or is_live(self.address):
            return len(self.pictures)
        try:
            return self.open().count or 0
        except (OSError, ValueError):
            return 0

    def files_hash(self) -> str:
        """Changes when one of its files is replaced or renamed."""
        files = self.pictures or (Path(self.address),)
        stats = [(file.name, file.stat()) for file in files if file.is_file()]
        return _hash([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])

    def completed(self, options: Options) -> Row | None:
        """The row of complete results; None where they or the marker are not whole.

        Raises:
            UserError: they were predicted with other options.
        """
        try:
            found = parse_json(self.marker.read_text(encoding="utf-8"))
            settings = {name: str(found["settings"][name]) for name in options.settings}
            row, files = Row(**found["row"]), found["files"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        for name, value in options.settings.items():
            before = settings[name]
            if before != value:
                raise UserError(
                    f"{self.out_dir} was predicted with another {name} ({before:.12},"
                    f" now {value:.12}); --resume needs the same options, or another"
                    " --out_dir"
                )
        return row if files == self.files_hash() else None

    def complete(self, row: Row, options: Options, files_hash: str) -> None:
        """Writes the marker."""
        content = {"settings": options.settings, "files": files_hash}
        write_json(self.marker, {**content, "row": asdict(row)})


def listed_sources(source: str) -> list[str]:
    """Finds the sources that one `--source` names.

    Args:
        source: a folder or pattern of videos, or a text file with any source in each
            line; empty lines and those that begin with "#" are left out.

    Returns:
        The sources in order; none when it is itself one source.

    Raises:
        UserError: it mixes pictures with videos, or is an empty list.
    """
    path = Path(source)
    if path.is_file() and path.suffix.lower() == ".txt":
        try:
            lines = read_lines(path)
        except ValueError:
            raise UserError(f"{source} is no text in UTF-8") from None
        lines = [line for line in lines if not line.startswith("#")]
        if not lines:
            raise UserError(f"{source} lists no source")
        return [each for line in lines for each in _videos(line) or [line]]
    return _videos(source)


def _videos(source: str) -> list[str]:
    """The videos of a folder or pattern; none when it is something else."""
    path = Path(source)
    if path.is_dir():
        files = sorted(path.iterdir())
    elif not path.exists() and glob.has_magic(source) and not is_live(source):
        files = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
    else:
        return []
    files = [file for file in files if not file.name.startswith(".")]
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos and any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        raise UserError(
            f"{source} holds pictures and videos; choose by a pattern in quotation"
            f' marks, such as "*{videos[0].suffix}"'
        )
    return [str(file) for file in videos]


def make_jobs(sources: list[str], out_dir: Path) -> list[Job]:
    """Makes the job of each source, whose results get a folder of its name.

    The name is the path without its ending, from the folder that holds all sources.

    Raises:
        UserError: two sources would have the same folder.
    """
    paths = {
        source: os.path.abspath(source) for source in sources if not is_live(source)
    }
    common = os.path.commonpath(map(os.path.dirname, paths.values())) if paths else ""
    jobs: dict[Path, Job] = {}
    for source in sources:
        if source in paths:
            path = Path(paths[source])
            name = str(path.relative_to(common))
            name = name if path.is_dir() else str(Path(name).with_suffix(""))
            name = re.sub(r'[*?:"<>|]', "_", name)
        else:
            name = live_name(source)
        job = make_job(source, out_dir / name)
        if job.out_dir in jobs:
            before = jobs[job.out_dir].source
            raise UserError(
                f"{before} and {job.source} have one name, so would their results"
            )
        jobs[job.out_dir] = job
    return list(jobs.values())


def make_job(source: str, out_dir: Path) -> Job:
    """Makes the job of one source; a video or stream is not opened yet."""
    out_dir = out_dir.absolute()
    if is_live(source):
        return Job(without_secrets(source), source, out_dir)
    path = Path(os.path.abspath(source))
    job = Job(source, str(path), out_dir)
    if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
        return job
    try:
        return replace(job, pictures=tuple(open_source(str(path)).paths))
    except (OSError, ValueError):
        return job  # the error comes again when it is this source's turn


def _hash(content: list) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
