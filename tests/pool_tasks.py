"""What the tests of the pool and the crew have other processes do; imports little, so that a worker has it soon."""

import os
import time
from pathlib import Path

from joblib import Parallel, delayed


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


def share_out() -> list[int]:
    """Have processes of joblib do something, which stay for what may come next; their numbers."""
    return Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4))


def threads() -> tuple[int, int, str]:
    """Threads of torch and of its worker's environment, and whether tqdm was silenced before it was imported."""
    import torch

    return torch.get_num_threads(), int(os.environ["OMP_NUM_THREADS"]), os.environ.get("TQDM_DISABLE", "")


LONG = 600  # seconds: more than any machine needs, so that who waits longer waits for what never comes


def wait_for(condition, what: str, seconds: float = LONG):
    """Wait until something is so; what it then is. Raises TimeoutError where it never is."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.02)
    return found


def meet(folder, name, others):
    """Come to a place, and wait until others are there: never comes back if they cannot be there at once."""
    (folder / name).touch()
    wait_for(lambda: all((folder / other).exists() for other in others), f"{others} to come")
    return name


def fail(error):
    """Raise an error."""
    raise error


def die(signal_number):
    """End by a signal."""
    os.kill(os.getpid(), signal_number)


def work_until_interrupted(folder):
    """Say that it works, and that it was told to stop."""
    (folder / "written").write_text(str(os.getpid()))
    (folder / "written").rename(folder / "working")  # who waits for it finds it whole
    try:
        wait_for(lambda: False, "a signal")
    finally:
        (folder / "told").touch()


def note_stage(stage, folder, parameters):
    """Stand for a notebook: say when it began and ended, and fail if a file tells it to."""
    began = time.monotonic()
    if (folder / f"{stage}.fails").exists():
        raise ValueError(f"{stage} cannot be")
    return {"began": began, "ended": time.monotonic()}
