import os
import subprocess
import sys
import time

import pytest

from helpers import store, timing


def test_work_of_all_processes_is_added_up(tmp_path):
    other = "from helpers import timing; timing.note('training', 2.5); timing.note('KMeans', 0.25)"
    with timing.collected(tmp_path / "logs" / "work") as found:
        timing.note("training", 1)
        subprocess.run([sys.executable, "-c", other], check=True, cwd=store.REPOSITORY)
    assert found == {"training": 3.5, "KMeans": 0.25}
    assert not list((tmp_path / "logs").iterdir())
    assert timing.LOG not in os.environ


@timing.timed("figures")
def fail_after_a_while():
    time.sleep(0.01)
    return 1 / 0


def test_what_fails_is_counted_too_and_nothing_is_where_nobody_asks(tmp_path):
    timing.note("training", 1)
    with timing.collected(tmp_path / "work") as found:
        with pytest.raises(ZeroDivisionError):
            fail_after_a_while()
        timing.note_start()
        timing.note_start()  # counted once
    assert set(found) == {"figures", "start of kernels"}
    assert 0.01 <= found["figures"] < 5
