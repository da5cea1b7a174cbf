"""Runs the jobs of an archive on Ray: on this machine, or on many.

Each job is a Ray task. Ray gives it to a machine with free cores, and again to another
when its worker process or machine dies. A worker process keeps its model between tasks.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

from cli.command import UserError, sigterm_as_interrupt
from deploy.archive import load_model, run_job
from deploy.jobs import Job, Options, Row
from deploy.predict import Bar
from deploy.runtimes import available_cores
from deploy.sources import is_live
from deploy.threads import leave_cores_to_stages

INSTALL_COMMAND = "pip install -r requirements-cluster.txt"
LOCAL = "local"
RETRIES = 3  # of a job whose worker process or machine died
OBJECT_STORE = 100 * 2**20  # bytes; only jobs and rows pass through it
REPORT_SECONDS = 1.0
ANSWER_SECONDS = 10  # until a cluster must have answered


def run_on_cluster(
    jobs: list[Job],
    options: Options,
    bar: Bar,
    address: str = LOCAL,
    cores: int | None = None,
) -> Iterator[tuple[Job, Row]]:
    """Runs jobs on Ray, as many at a time as the cores allow.

    Standard output is closed until the last row, because Ray prints there.

    Args:
        jobs: what to predict, under paths that are the same on every machine.
        options: how they are predicted; `threads` is the cores of one job.
        bar: counts the frames of all.
        address: "local", or HOST:PORT of the head of a cluster that this machine is
            part of.
        cores: of a local cluster; default: those this process may use.

    Yields:
        Each job with its row, as they end.

    Raises:
        UserError: Ray is not installed, the cluster does not answer, none of its
            machines has the cores, or the model cannot be loaded on one of them.
    """
    if not jobs:
        return
    with _connected(address, cores) as ray:
        most = max(
            machine["Resources"].get("CPU", 0)
            for machine in ray.nodes()
            if machine["Alive"]
        )
        if most < options.threads:
            raise UserError(
                f"--threads {options.threads}: no machine of the cluster offers more"
                f" than {most:.0f} cores"
            )
        counter = _make_counter(ray)
        task = ray.remote(num_cpus=options.threads, max_retries=RETRIES)(_run)
        job_of = {
            task.remote(job, options, counter, number): (number, job)
            for number, job in enumerate(jobs)
        }
        finished = shown = 0
        while job_of:
            ended, _ = ray.wait(list(job_of), timeout=REPORT_SECONDS)
            for result in ended:
                number, job = job_of.pop(result)
                row = _row(ray, result, job)
                finished += row.frames
                ray.get(counter.forget.remote(number))
                yield job, row
            frames = finished + ray.get(counter.frames.remote())
            bar.update(frames - shown)
            shown = frames


@contextmanager
def _connected(address: str, cores: int | None) -> Iterator[ModuleType]:
    """Gives the module `ray`, connected, without its questions and log lines."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a warning
    if address == LOCAL:  # a token of this run; Ray would keep one in the home folder
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f"--cluster needs Ray, which is not installed ({error}); run:"
            f" {INSTALL_COMMAND}"
        ) from None
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        ray.init(
            LOCAL,
            num_cpus=cores or available_cores(),
            object_store_memory=OBJECT_STORE,
            include_dashboard=False,
            **quiet,
        )
    else:
        _check_address(address)
        try:
            ray.init(address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"this machine cannot use the Ray cluster at {address} ({reason}); it"
                " must be part of it, with the same token (docs/deployment.md)"
            ) from None
    # Ray prints each worker that dies, the last of them when it shuts down.
    with open(os.devnull, "w") as null, redirect_stdout(null):
        try:
            with sigterm_as_interrupt():  # Ray has set its own handler
                yield ray
        finally:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Ray itself would wait for a minute."""
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({error}); start one with: ray start"
            f" --head --port {port}"
        ) from None


class _Counter:
    """Frames of the jobs that run; an actor, beside the program that shows them."""

    def __init__(self):
        self._frames: dict[int, int] = {}

    def report(self, number: int, frames: int) -> None:
        self._frames[number] = frames

    def forget(self, number: int) -> None:
        self._frames.pop(number, None)

    def frames(self) -> int:
        return sum(self._frames.values())


def _make_counter(ray: ModuleType):
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    return ray.remote(num_cpus=0, scheduling_strategy=here)(_Counter).remote()


class _Reporter:
    """The bar of a job on a worker: tells the counter its frames, once a second."""

    def __init__(self, counter, number: int):
        self._counter = counter
        self._number = number
        self._frames = 0
        self._next = 0.0

    def update(self, frames: int = 1) -> None:
        self._frames += frames
        if time.monotonic() >= self._next:
            self._counter.report.remote(self._number, self._frames)
            self._next = time.monotonic() + REPORT_SECONDS


def _run(job: Job, options: Options, counter, number: int) -> Row:
    """The Ray task: runs on a worker, in the main thread of its process."""
    if row := job.completed(options):  # by a worker that died before Ray had its row
        return row
    leave_cores_to_stages()
    try:
        load_model(options, is_live(job.address))
    except UserError as error:
        raise UserError(f"{socket.gethostname()}: {error}") from None
    try:
        return run_job(job, options, _Reporter(counter, number))
    except KeyboardInterrupt:  # this machine is being stopped: another takes the job
        os._exit(1)


def _row(ray: ModuleType, result, job: Job) -> Row:
    """The row of a job that has ended.

    Raises:
        UserError: its worker could not begin.
    """
    errors = ray.exceptions
    try:
        return ray.get(result)
    except errors.RayTaskError as error:
        if isinstance(error.cause, UserError | ImportError):
            raise UserError(str(error.cause)) from None
        raise
    except (
        errors.WorkerCrashedError,
        errors.NodeDiedError,
        errors.OutOfMemoryError,
    ) as error:
        reason = str(error).strip().splitlines()[0]
        problem = f"its worker died {RETRIES + 1} times; the last time: {reason}"
        return Row(job.source, problems=[problem])
