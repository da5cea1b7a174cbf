"""Predicts many sources, and goes on with a run that was killed.

`deploy/cluster.py` runs the same jobs on several machines.
"""

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from cli.command import UserError, sigterm_as_interrupt
from cli.files import make_folder, replacing, write_text
from data.images import silent_codecs
from deploy.jobs import PARTS, Job, Options, Row
from deploy.predict import Bar, predict
from deploy.recording import import_pyav, picture_paths
from deploy.runtimes import Runtime, threads_and_frames
from deploy.segmenter import Segmenter, load_segmenter
from deploy.sources import is_live

Runner = Callable[[list[Job], Options, Bar], Iterator[tuple[Job, Row]]]


@sigterm_as_interrupt()
def predict_all(
    jobs: list[Job], options: Options, out_dir: Path, resume: bool, run: Runner
) -> list[Row]:
    """Predicts every source and writes `summary.csv`, a row for each.

    What one source ends with does not stop the others: it is in its row.

    Args:
        jobs: the sources.
        options: how they are predicted.
        out_dir: gets `summary.csv`.
        resume: leave out what is complete. Otherwise everything is predicted anew.
        run: runs jobs and gives their rows, in any order.

    Returns:
        The rows, in the order of the jobs; one more for `summary.csv` if it could not
        be written.

    Raises:
        UserError: the model cannot be loaded, or complete results were predicted with
            other options.
    """
    options.model_sha256  # noqa: B018  computed here, before anything is written
    make_folder(out_dir)
    parts_of = {job: job.parts() for job in jobs}
    job_of = {part: job for job, parts in parts_of.items() for part in parts}
    rows: dict[Job, Row] = {}
    for job in dict.fromkeys([*jobs, *job_of]):
        if not resume:
            job.marker.unlink(missing_ok=True)
        elif row := job.completed(options):
            rows[job] = row
    left = [part for part, job in job_of.items() if not rows.keys() & {part, job}]
    for part in left:
        if part is not job_of[part]:
            shutil.rmtree(part.out_dir, ignore_errors=True)
    total = sum(part.frames() for part in left)
    try:
        with (
            silent_codecs(),  # before tqdm, which then writes to what stays visible
            tqdm(total=total, unit="frame", disable=None, smoothing=0) as bar,
        ):
            bar.set_description(f"{len(left)} to do")
            for number, (part, row) in enumerate(run(left, options, bar), 1):
                rows[part] = row
                bar.set_description(f"{len(left) - number} to do")
                job = job_of[part]
                if rows.keys() >= set(parts_of[job]):
                    rows[job] = _join(job, parts_of[job], rows, options)
    except KeyboardInterrupt:
        pass
    for job in jobs:  # those that were interrupted, or between their parts and now
        if job not in rows:
            rows[job] = _join(job, parts_of[job], rows, options)
    summary = [rows[job] for job in jobs]
    file = out_dir / "summary.csv"
    try:
        _write_summary(summary, file)
    except OSError as error:  # the disk is full; the rows tell why sources failed
        summary.append(Row(str(file), problems=[f"not written ({error.strerror})"]))
    return summary


def one_by_one(
    jobs: list[Job], options: Options, bar: Bar
) -> Iterator[tuple[Job, Row]]:
    """Runs jobs in this process."""
    for job in jobs:
        yield job, run_job(job, options, bar)


def run_job(job: Job, options: Options, bar: Bar) -> Row:
    """Predicts one source, and marks it as complete at the end.

    Args:
        job: the source.
        options: how it is predicted.
        bar: counts its frames.

    Returns:
        What was done, with the reason when it is not complete.

    Raises:
        UserError: the model cannot be loaded.
    """
    runtime = load_model(options, is_live(job.address))
    row = Row(job.source)
    try:
        files_hash = job.files_hash()
        source = job.open(options.reconnect)
        smooth = options.smooth if source.is_video else 0.0
        segmenter = Segmenter(
            runtime, options.threshold, smooth, source.is_video, options.view
        )
        summary = predict(
            source,
            segmenter,
            job.out_dir,
            overlay=options.overlay,
            hold=options.hold,
            masks=options.masks,
            bar=bar,
        )
        row.frames, row.polyp_frames = summary.frames, summary.positive
        row.polyps, row.seconds = summary.polyps, round(summary.seconds, 3)
        row.problems = summary.problems
        if not row.frames and not row.problems:
            row.problems = ["holds no frame"]
        if isinstance(summary.stopped_by, KeyboardInterrupt):
            raise summary.stopped_by
        if not summary.stopped_by:
            job.complete(row, options, files_hash)
    except UserError as error:
        row.problems.append(str(error).removeprefix(job.address).lstrip(": "))
    except Exception as error:  # whatever it is, the other sources go on
        row.problems.append(f"{type(error).__name__}: {error}")
    return row


@lru_cache(maxsize=2)  # a process predicts many sources with one model
def load_model(options: Options, live: bool) -> Runtime:
    """Loads the model, and checks that what else predicting needs is installed.

    Args:
        options: name it.
        live: whether for cameras and streams.

    Raises:
        UserError: it cannot be loaded, or is another one than where the run began.
    """
    import_pyav()
    if replace(options).model_sha256 != options.model_sha256:
        raise UserError(f"{options.model} is not the model that the run began with")
    threads, at_once = threads_and_frames(live, options.threads)
    return load_segmenter(
        options.model,
        threads=threads,
        verify=options.verify,
        at_once=at_once,
        tta=options.tta,
    ).runtime


def _join(job: Job, parts: list[Job], rows: dict[Job, Row], options: Options) -> Row:
    """Adds up the rows of parts; when all are complete, their results become one.

    A run that is killed here does it again: what was moved already stays moved.
    """
    if parts == [job] and job in rows:
        return rows[job]
    known = [rows[part] for part in parts if part in rows]
    row = Row(job.source, problems=[text for row in known for text in row.problems])
    for name in ("frames", "polyp_frames", "polyps", "seconds"):
        setattr(row, name, sum(getattr(part, name) for part in known))
    if len(known) < len(parts):
        row.problems.append("not finished; --resume goes on with it")
    elif all(part.marker.exists() for part in parts):
        with replacing(job.out_dir / "predictions.csv") as table:
            for picture in job.pictures:  # what a run before has left
                mask, overlay = picture_paths(job.out_dir, picture.stem)
                if not options.masks:
                    mask.unlink(missing_ok=True)
                if options.overlay == "none":
                    overlay.unlink(missing_ok=True)
            for part in parts:
                for file in part.out_dir.glob("*/*"):
                    place = job.out_dir / file.parent.name
                    make_folder(place)
                    file.replace(place / file.name)
                titles, *lines = (part.out_dir / "predictions.csv").open("rb")
                with table.open("ab") as stream:
                    stream.writelines(lines if stream.tell() else [titles, *lines])
        job.complete(row, options, job.files_hash())
        shutil.rmtree(job.out_dir / PARTS)
    return row


def _write_summary(rows: list[Row], path: Path) -> None:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(column.name for column in fields(Row))
    for row in rows:
        table.writerow([*list(asdict(row).values())[:-1], "; ".join(row.problems)])
    write_text(path, stream.getvalue())
