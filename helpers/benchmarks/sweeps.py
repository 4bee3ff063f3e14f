"""Sweeps of small runs, by workers."""

import os
import tempfile
import time
from pathlib import Path

from helpers import store
from helpers.benchmarks.harness import apart, row
from helpers.device import cores
from helpers.running import grid_files, sweep


def sweep_workers() -> list[dict]:
    """Runs an hour of a sweep of small runs (width 32, 4 epochs, analysed), by workers."""
    one = apart(_runs_an_hour, 1)
    counts = sorted({2, cores()} - {1}) if cores() > 1 else []
    name = "one worker with the threads of all"
    return [row(f"sweep, {n} workers", apart(_runs_an_hour, n), one, name, "runs/h") for n in counts]


def _runs_an_hour(workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CLM_ROOT"], store.DATA = folder, Path(folder) / "data"
        common = "width=32 training.stop_epoch=4 training.log_every=4 clustering.spaces=raw"
        wanted = grid_files.points("laptop", common, {"seed": list(range(6))})
        start = time.perf_counter()
        tables = sweep.run(wanted, f"{workers} workers", workers=workers)
        assert (tables["runs"]["status"] == "done").all(), tables["runs"]["error"].tolist()
        return 3600 * len(wanted) / (time.perf_counter() - start)
