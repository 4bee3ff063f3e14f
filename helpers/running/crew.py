"""Functions that run in processes of their own, several at a time: one that fails or dies does so alone."""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from helpers.errors import Failed

PATIENCE = 20  # seconds for a process to end after it was interrupted
PRELOADED = ["papermill", "helpers.running.execute", "helpers.profiles"]  # slow to import: once, for all processes


@dataclass(frozen=True)
class Ended:
    """A function that has come to its end: what it returned, or the error that it raised."""

    name: str
    value: object = None
    error: Exception | None = None


class Crew(contextlib.AbstractContextManager):
    """Runs functions side by side. Leaving it early interrupts those that still run, and waits for them.

    Args:
        most: how many at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    @property
    def running(self) -> list[str]:
        """Names of those that run."""
        return list(self._running)

    @property
    def has_room(self) -> bool:
        """Whether another one may start."""
        return len(self._running) < self.most

    def start(self, name: str, function: Callable, *arguments) -> None:
        """Run a function, to be found by import, in a new process; `wait` tells of its end by this name."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(theirs, function, arguments), name=name)
        process.start()
        theirs.close()
        self._running[name] = process, ours

    def wait(self) -> Ended:
        """Wait for the next one to end."""
        ready = wait([pipe for _, pipe in self._running.values()])
        name = next(name for name, (_, pipe) in self._running.items() if pipe in ready)
        process, pipe = self._running[name]
        try:
            value, error = pipe.recv()
        except EOFError:
            value, error = None, None
        process.join()
        pipe.close()
        del self._running[name]
        if process.exitcode:
            error = Failed(f"{name}: its process ended with exit code {process.exitcode}; the same command goes on")
        return Ended(name, value, error)

    def __exit__(self, *_) -> None:
        for process, _ in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
        for process, _ in self._running.values():
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
        self._running.clear()


def _work(pipe: Connection, function: Callable, arguments: tuple) -> None:
    os.setsid()  # Ctrl-C is the crew's to pass on, once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = function(*arguments), None
    except Exception as error:
        error.add_note(traceback.format_exc())
        answer = None, error
    except KeyboardInterrupt:
        os._exit(130)
    pipe.send(answer)


def _end_with_parent() -> None:
    """End this process, without a word, when the one that started it is gone: nobody waits for its result."""
    multiprocessing.parent_process().join()
    os._exit(1)
