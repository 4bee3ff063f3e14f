"""Python programs that tests start and kill: processes forked from one that has imported what takes seconds.

Otherwise as `python -m MODULE ARGUMENTS` in a session of its own. Importing torch and transformers takes longer than
most of what these programs then do. Nothing of helpers is imported ahead: it reads its environment when imported.
A program that starts a Crew needs a Python of its own, since Crews of one server share its environment.
"""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers import store

IMPORTED = [
    *("numba", "pandas", "pandera.pandas", "pyarrow", "scipy.stats", "seaborn", "torch"),
    *("sklearn.cluster", "sklearn.manifold", "sklearn.neighbors", "sklearn.decomposition"),
    *("distributed.cli.dask_worker", "transformers.models.gpt2.modeling_gpt2"),
]


class Program(contextlib.AbstractContextManager):
    """A program that has been started, as a subprocess.Popen; killed, with all of its session, where `with` ends.

    Args:
        module: its name.
        arguments: of its command line.
        environment: all of it.
    """

    def __init__(self, module: str, *arguments: object, environment: dict[str, str] | None = None) -> None:
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(IMPORTED)
        self._folder = tempfile.TemporaryDirectory(prefix="said-")
        self._said = [Path(self._folder.name) / name for name in ("output", "errors")]
        command, where = [module, *map(str, arguments)], dict(environment or os.environ)
        self._process = server.Process(target=_run, args=(command, where, *map(str, self._said)))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended; raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return self.poll()

    returncode = property(poll)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has written to its output and as errors, once it has ended."""
        self.wait(timeout)
        return tuple(path.read_text() for path in self._said)

    def __exit__(self, *_) -> None:
        self.kill()  # it may not have its session yet
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        self._folder.cleanup()


def _run(command: list[str], environment: dict[str, str], *said: str) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(store.REPOSITORY)
    for name in [n for n in sys.modules if n.partition(".")[0] == "helpers"]:  # of the environment before
        del sys.modules[name]
    sys.argv = command
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # as at the end of a Python of its own
