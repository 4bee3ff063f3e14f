"""What the tests of the pool have its workers do; imports little, so that a worker has it soon."""

import os
import time
from pathlib import Path


def note(path: str, number: int) -> int:
    """Write the number, one line a call."""
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number


def wait_at_first(path: str, seconds: float) -> int:
    """Write the number of this worker's process, one line a call; the first call takes `seconds`."""
    note(path, os.getpid())
    if len(Path(path).read_text().split()) == 1:
        time.sleep(seconds)
    return os.getpid()
