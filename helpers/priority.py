"""The priority of a process beside others of the same job."""

import contextlib
import os
from pathlib import Path

VARIABLE = "CLM_BEHIND"  # set for a process, and those that it starts, whose work nobody waits for
NICE = 10  # of 19


def lower() -> None:
    """Let other processes go first, also before what this one starts: a notebook's kernel calls `follow`."""
    os.environ[VARIABLE] = "1"
    follow()


def follow() -> None:
    """Lower this process's priority if the one that started it has done so.

    Linux shares its cores between sessions first and by niceness only within one, and a kernel is a session of its own.
    """
    if VARIABLE not in os.environ or not hasattr(os, "nice"):
        return
    os.nice(max(0, NICE - os.nice(0)))
    with contextlib.suppress(OSError):  # no Linux, or one that does not group by sessions
        Path("/proc/self/autogroup").write_text(f"{NICE}\n")
