"""One notebook run headlessly through papermill: whole or not at all, with a live line and a log."""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from helpers import store
from helpers.errors import Failed
from helpers.running import copies
from helpers.workspace import HEADLESS


class NotebookError(Failed):
    """A notebook that failed; the message names the cell, the error, the log and the kept copy."""


def run(source: Path, target: Path, log: Path, parameters: dict, expected: float | None = None) -> float:
    """Execute a notebook with parameters; returns the seconds it took.

    The executed copy appears at `target` only after every cell has run, as `copies.tidy` leaves it. A failed one stays
    beside it, whole, as NAME.failed.ipynb. What cells print goes to `log`.

    Args:
        parameters: values for the notebook's cell tagged `parameters`.
        expected: seconds that it usually takes, for the live line.

    Raises:
        NotebookError: a parameter that the notebook does not have, a cell that failed, a kernel that died.
    """
    import papermill  # slow to import, and not needed where everything is up to date

    os.environ.setdefault("TQDM_MININTERVAL", "5")  # a log, not a screen
    os.environ[HEADLESS] = "1"

    known = set(papermill.inspect_notebook(str(source)))
    if unknown := set(parameters) - known:
        raise NotebookError(f"{source} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    target.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.stem}.running.ipynb")
    failed = target.with_name(f"{target.stem}.failed.ipynb")
    start = time.monotonic()
    try:
        with open(log, "w") as stream, _stderr_into(stream), _LiveLine(source.stem, log, expected):
            papermill.execute_notebook(
                str(source), str(unfinished), parameters, kernel_name="python3", cwd=str(source.parent),
                progress_bar=False, stdout_file=stream, stderr_file=stream, start_timeout=300,
            )  # fmt: skip
        _check_complete(unfinished)
        copies.tidy(unfinished)
    except Exception as error:
        if unfinished.exists():
            shutil.move(unfinished, failed)
        raise NotebookError(f"{source.name} failed: {_reason(error)}\n  notebook: {failed}\n  log: {log}") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    failed.unlink(missing_ok=True)
    unfinished.replace(target)
    return time.monotonic() - start


@contextlib.contextmanager
def _stderr_into(stream):
    """Send this process's error stream, and with it the kernel's own messages, to the log."""
    saved = os.dup(2)
    sys.stderr.flush()
    os.dup2(stream.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def _check_complete(path: Path) -> None:
    """Refuse a notebook with code cells that never ran: a kernel killed at the end leaves no error behind."""
    for number, cell in enumerate(json.loads(path.read_text())["cells"], 1):
        if cell["cell_type"] == "code" and cell["source"] and cell["execution_count"] is None:
            raise NotebookError(f"cell {number} never ran")


def _reason(error: Exception) -> str:
    if hasattr(error, "ename"):
        return f"cell {error.exec_count}: {error.ename}: {error.evalue}"
    return f"{type(error).__name__}: {error}"


class _LiveLine(contextlib.AbstractContextManager):
    """A line that says how long a notebook has run, how long it should take, and what it said last."""

    def __init__(self, name: str, log: Path, expected: float | None) -> None:
        self.name, self.log, self.expected = name, log, expected
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self):
        self.start = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.done.set()
        self.thread.join()

    def _tick(self) -> None:
        live = sys.stdout.isatty()
        log = _short(self.log)
        if not live:
            expected = f"about {clock(self.expected)} expected, " if self.expected else ""
            print(f"{self.name}: running, {expected}log in {log}", flush=True)
        while not self.done.wait(1 if live else 60):
            of = f" of about {clock(self.expected)}" if self.expected else ""
            line = f"{self.name}: {clock(time.monotonic() - self.start)}{of} · {log} · {self._last_words()}"
            if live:
                width = shutil.get_terminal_size().columns - 1
                print(f"\r{line[:width]:<{width}}", end="", flush=True)
            else:
                print(line, flush=True)
        if live:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", flush=True)

    def _last_words(self) -> str:
        with open(self.log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - 2000))
            lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "starting")


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{s:02d}" if hours else f"{minutes}:{s:02d}"


def _short(path: Path) -> Path:
    return path.relative_to(store.ROOT) if path.is_relative_to(store.ROOT) else path
