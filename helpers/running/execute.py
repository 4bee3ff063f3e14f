"""One notebook run headlessly through papermill: whole or not at all, with a log."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from helpers.errors import Failed
from helpers.running import copies
from helpers.timing import HEADLESS

LAST = 5  # lines of the log that a message repeats


class NotebookError(Failed):
    """A notebook that failed; the message names the cell, the error, the log and the kept copy."""


def run(source: Path, target: Path, log: Path, parameters: dict) -> float:
    """Execute a notebook with parameters; returns the seconds it took.

    The executed copy appears at `target` only after every cell has run, as `copies.tidy` leaves it. A failed one stays
    beside it, whole, as NAME.failed.ipynb. What cells print goes to `log`.

    Args:
        parameters: values for the notebook's cell tagged `parameters`.

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
        with open(log, "w") as stream, _stderr_into(stream), tempfile.TemporaryDirectory(prefix="clm-") as sockets:
            papermill.execute_notebook(
                str(source), str(unfinished), parameters, kernel_name="python3", cwd=str(source.parent),
                progress_bar=False, stdout_file=stream, stderr_file=stream, start_timeout=300,
                config=_without_ports(Path(sockets)),
            )  # fmt: skip
        _check_complete(unfinished)
        copies.tidy(unfinished)
    except Exception as error:
        if unfinished.exists():
            shutil.move(unfinished, failed)
        reason = _reason(error, log)
        raise NotebookError(f"{source.name} failed: {reason}\n  notebook: {failed}\n  log: {log}") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    failed.unlink(missing_ok=True)
    unfinished.replace(target)
    return time.monotonic() - start


def _without_ports(sockets: Path):
    """Settings of a kernel that talks through socket files in a folder.

    Jupyter picks free ports before the kernel starts, which takes them seconds later: where another program was
    quicker, the kernel died, or never answered.
    """
    from traitlets.config import Config

    return Config({"KernelManager": {"transport": "ipc", "connection_file": str(sockets / "kernel.json")}})


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


def _reason(error: Exception, log: Path) -> str:
    """What went wrong; for an error outside the cells, with the end of the log: only the kernel knew why."""
    if hasattr(error, "ename"):
        return f"cell {error.exec_count}: {error.ename}: {error.evalue}"
    last = log.read_text(errors="replace").splitlines()[-LAST:]
    return "\n    ".join([f"{type(error).__name__}: {error}", *last])
