"""The time of a job by kind of work, over all of its processes.

A job names a file in the environment; every process that does some of its work adds a line to it. Seconds of processes
that run side by side add up, so that a kind of work can take longer than the job.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOG, BEGAN = "CLM_WORK_LOG", "CLM_STAGE_BEGAN"  # the file; when a notebook's kernel was asked for, seconds since 1970
HEADLESS = "CLM_HEADLESS"  # set where notebooks run without a reader: widgets would be dead in the executed copy


@contextlib.contextmanager
def timed(kind: str) -> Iterator[None]:
    """Count what is done meanwhile as this kind of work; not to be nested."""
    start = time.perf_counter()
    try:
        yield
    finally:
        note(kind, time.perf_counter() - start)


def note(kind: str, seconds: float) -> None:
    """Add seconds to a kind of work; nothing where no job asks for it."""
    if path := os.environ.get(LOG):
        with open(path, "a") as file:  # a short line is written at once, whoever else writes
            file.write(f"{kind}\t{seconds:.4f}\n")


def note_start() -> None:
    """Count the time since the notebook's kernel was asked for as start of kernels: its start, and its imports."""
    if began := os.environ.pop(BEGAN, None):
        note("start of kernels", max(0.0, time.time() - float(began)))


@contextlib.contextmanager
def collected(path: Path) -> Iterator[dict[str, float]]:
    """Have this process and those that it starts count their work.

    Args:
        path: of a file that is made for it, and removed.

    Yields:
        Kind -> seconds, filled in at the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    found: dict[str, float] = {}
    os.environ[LOG], os.environ[BEGAN] = str(path), str(time.time())
    try:
        yield found
    finally:
        del os.environ[LOG]
        os.environ.pop(BEGAN, None)
        for line in path.read_text().splitlines():
            kind, _, seconds = line.partition("\t")
            found[kind] = found.get(kind, 0.0) + float(seconds)
        path.unlink()
