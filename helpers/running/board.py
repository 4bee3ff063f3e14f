"""The live display of a job: a line for each notebook that runs, with its time, and the time that is left."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from helpers import store

EVERY = 60  # seconds between lines where the output is a file


class Board(contextlib.AbstractContextManager):
    """Says what runs: in a terminal on a line that is drawn again each second, elsewhere once a minute.

    Args:
        left: seconds that are left of the whole, from the seconds since each notebook that runs was begun.
    """

    def __init__(self, left: Callable[[dict[str, float]], float | None]) -> None:
        self.left = left
        self.live = sys.stdout.isatty()
        self._running: dict[str, tuple[float, Path, float | None]] = {}
        self._lock, self._done = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()
        self._clear()

    def begin(self, name: str, log: Path, expected: float | None) -> None:
        """A notebook runs now; it is expected to take so many seconds."""
        with self._lock:
            self._running[name] = time.monotonic(), log, expected
            if not self.live:
                about = f"about {clock(expected)} expected, " if expected else ""
                self.say(f"{name}: running, {about}log in {_short(log)}")

    def end(self, name: str, words: str) -> None:
        """It runs no more."""
        with self._lock:
            self._running.pop(name, None)
            self.say(f"{name}: {words}")

    def say(self, words: str) -> None:
        """A line that stays."""
        with self._lock:
            self._clear()
            print(words, flush=True)

    def _tick(self) -> None:
        while not self._done.wait(1 if self.live else EVERY):
            with self._lock:
                running = {name: time.monotonic() - began for name, (began, _, _) in self._running.items()}
                if self.live and running:
                    self._draw(running)
                elif running:
                    for name, seconds in running.items():
                        self.say(f"{self._of(name, seconds)} · {_last_words(self._running[name][1])}")

    def _draw(self, running: dict[str, float]) -> None:
        width = shutil.get_terminal_size().columns - 1
        left = self.left(running)
        whole = f"about {clock(left)} left | " if left else ""
        room = (width - len(whole)) // len(running) - len(" | ")
        parts = [
            f"{self._of(name, seconds)} · {_last_words(self._running[name][1])}" for name, seconds in running.items()
        ]
        line = whole + " | ".join(part[:room] for part in parts)
        print(f"\r{line[:width]:<{width}}", end="", flush=True)

    def _of(self, name: str, seconds: float) -> str:
        expected = self._running[name][2]
        return f"{name} {clock(seconds)}{f' of about {clock(expected)}' if expected else ''}"

    def _clear(self) -> None:
        if self.live:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", flush=True)


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{s:02d}" if hours else f"{minutes}:{s:02d}"


def _last_words(log: Path) -> str:
    """The last line of a log."""
    if not log.exists():
        return "starting"
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - 2000))
        lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "starting")


def _short(path: Path) -> Path:
    return path.relative_to(store.ROOT) if path.is_relative_to(store.ROOT) else path
