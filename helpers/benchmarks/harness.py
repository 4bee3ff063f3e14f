"""Measurements for benchmarks: each in a process of its own, medians, ratios against a named baseline.

Threads, caches and memory of one measurement do not touch the next. Ratios say how many times better ours is; they
travel between machines, times do not.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import psutil
import torch

from helpers.device import choose, keep_freed_memory
from helpers.gpt import runs
from helpers.profiles import resolve
from helpers.task import synthetic


def apart(function, *arguments):
    """The result of a function called in a fresh process."""
    return side_by_side(1, function, *arguments)[0]


def side_by_side(count: int, function, *arguments) -> list:
    """The results of a function called in so many fresh processes at once."""
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [one.result() for one in [pool.submit(function, *arguments) for _ in range(count)]]


def row(name: str, ours: float, baseline: float, baseline_name: str, unit: str, lower_is_better: bool = False) -> dict:
    """A row of bench.csv, but for the machine."""
    ratio = baseline / ours if lower_is_better and ours else ours / baseline if baseline else float("nan")
    return {
        "name": name,
        "ours": ours,
        "baseline": baseline,
        "baseline_name": baseline_name,
        "ratio": ratio,
        "unit": unit,
    }


def median_seconds(function, times: int) -> float:
    """Median time of a call, after one that warms up."""
    function()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def wait(device) -> None:
    """Return when a GPU has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def memory() -> float:
    """Resident memory now, in MiB."""
    return psutil.Process().memory_info().rss / 2**20


def peak_memory() -> float:
    """The most resident memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def laptop_run():
    """The laptop profile's run of GPT-2 as transformers has it, unopened on disk, and where it would compute."""
    settings = resolve("laptop", "reading=gpt2")
    one = settings.runs()[0]
    keep_freed_memory()
    return runs.open_run(one, dataset_of(settings)), choose(one.training.precision)


def dataset_of(settings):
    """The data set of the first run of some settings."""
    return synthetic.generate(settings.runs()[0].data)
