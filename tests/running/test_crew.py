import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pool_tasks import LONG, die, fail, meet, wait_for, work_until_interrupted

from helpers import store
from helpers.errors import Failed, Refused
from helpers.running.crew import Crew

TESTS = Path(__file__).resolve().parents[1]


def ends(crew):
    """All that is still to end, by name."""
    found = {}
    while crew.running:
        ended = crew.wait()
        found[ended.name] = ended
    return found


def test_functions_run_side_by_side_and_no_more_than_may(tmp_path):
    with Crew(2) as crew:
        for name, other in (("a", "b"), ("b", "a")):
            assert crew.has_room
            crew.start(name, meet, tmp_path, name, [other])
        assert not crew.has_room
        assert crew.running == ["a", "b"]
        assert {name: ended.value for name, ended in ends(crew).items()} == {"a": "a", "b": "b"}
        assert crew.has_room


def test_who_fails_or_dies_does_so_alone(tmp_path):
    with Crew(3) as crew:
        crew.start("refused", fail, Refused("not so"))
        crew.start("killed", die, signal.SIGKILL)
        crew.start("whole", meet, tmp_path, "whole", [])
        found = ends(crew)
    assert (found["whole"].value, found["whole"].error) == ("whole", None)
    assert isinstance(found["refused"].error, Refused)
    assert str(found["refused"].error) == "not so"
    assert "in fail" in found["refused"].error.__notes__[0], "where it was raised"
    assert isinstance(found["killed"].error, Failed)
    assert "killed: its process ended with exit code -9" in str(found["killed"].error)


def test_leaving_early_interrupts_and_waits(tmp_path):
    with Crew(1) as crew:
        crew.start("working", work_until_interrupted, tmp_path)
        wait_for((tmp_path / "working").exists, "the work to begin")
    assert (tmp_path / "told").exists()
    assert not psutil.pid_exists(int((tmp_path / "working").read_text()))


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers.running.crew import Crew
from pool_tasks import work_until_interrupted
if __name__ == "__main__":
    with Crew(1) as crew:
        crew.start("working", work_until_interrupted, Path(sys.argv[2]))
        crew.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nobody_outlives_the_job(tmp_path, number):
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(store.REPOSITORY)}
    job = subprocess.Popen([sys.executable, script, TESTS, tmp_path], env=environment, stderr=subprocess.PIPE)
    wait_for((tmp_path / "working").exists, "the work to begin")
    worker = int((tmp_path / "working").read_text())
    job.send_signal(number)
    job.communicate(timeout=LONG)
    wait_for(lambda: not psutil.pid_exists(worker), "the worker to end")
    assert (tmp_path / "told").exists() == (number == signal.SIGINT)
