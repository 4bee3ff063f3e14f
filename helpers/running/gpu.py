"""Make good use of a GPU: check it, measure it, train the paper's models on it, pack what they show (`make gpu`).

Each step's outcome is written as soon as it is there, and the same command goes on with what is left: steps that are
done are not repeated on the same card with the same code, and runs go on from their last checkpoint.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from helpers import fingerprint, store
from helpers.device import processor
from helpers.errors import Failed, Refused, exit_status
from helpers.profiles import count, resolve
from helpers.running import archive, gpu_checks, grid_files, pool, sweep
from helpers.settings import digest
from helpers.tables import checked

SMALL = "model.number_of_layers=2 model.number_of_heads=2"
# Profile -> models whose numbers are compared with the CPU's, as (profile, overrides).
COMPARED = {
    "paper": (("smoke", "widths=64"), ("laptop", "widths=768")),
    "smoke": (("smoke", f"widths=16 {SMALL}"),),
}
# The small run that is killed, and how often.
KILLED = {
    "paper": ("widths=64 training.log_every=2", 3),
    "smoke": (f"widths=16 {SMALL} training.stop_epoch=3 training.log_every=3", 1),
}
# What is trained: grid files of data/grids.
GRIDS = {"paper": "seeds", "smoke": "gpu_smoke"}
# Pieces of helpers.benchmarks.speed, those first that a GPU changes most. A rehearsal measures nothing.
BENCHES = {
    "paper": ("training", "beside", "probe", "growth", "sweep", "kmeans", "search", "tsne", "data", "lens"),
    "smoke": (),
}
BENCH_SHARE = 0.25  # of the time, after which no piece of the bench is begun before the runs
BENCH_LONGEST = 300  # seconds of a piece
STOPPED = "stopped; the same command goes on from what is done"


class GpuError(Failed):
    """Steps, checks or runs that failed; the message names them."""


@dataclass
class GpuJob:
    """What is asked for.

    Attributes:
        profile: paper, or smoke for a rehearsal.
        device: cuda or cpu.
        minutes: after which no step and no run is begun.
        grace: minutes more, after which runs that have not ended are left.
        per_gpu: runs at once on a card.
        workers: processes; by default as many as the card or the cores allow.
        bench: pieces of the bench to measure; none: those of the profile.
    """

    profile: str = "paper"
    device: str = "cuda"
    minutes: float = 25.0
    grace: float = 3.0
    per_gpu: int = 8
    workers: int | None = None
    bench: list[str] | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def tables(self) -> Path:
        """Folder of its tables."""
        return store.DATA / self.profile / "tables"

    @property
    def card(self) -> str:
        """Name of what computes."""
        return torch.cuda.get_device_name() if self.device == "cuda" else processor()["cpu"]

    @property
    def key(self) -> str:
        """Hash of what a step's outcome depends on: the card, and the code."""
        return digest([self.card, fingerprint.of_code(*fingerprint.closure({"running.gpu", "benchmarks.speed"}))])

    def over(self, share: float = 1.0) -> bool:
        """Whether so large a share of its minutes has passed."""
        return time.monotonic() - self.began >= 60 * self.minutes * share


class Ledger:
    """data/<profile>/tables/gpu.json: the card, what computes on it, and the outcome of each step."""

    def __init__(self, job: GpuJob) -> None:
        self.job, self.path = job, job.tables / "gpu.json"
        known = store.known_json(self.path) or {}
        self.steps: dict[str, dict] = known.get("steps", {})
        self.facts = {"card": job.card, "cuda": torch.version.cuda, **processor(), **store.provenance()}

    def do(self, name: str, action: Callable[[], None], over: bool = False) -> None:
        """Take a step unless it is done, or time is over; what goes wrong is noted, and the next one may begin."""
        known = self.steps.get(name, {})
        if known.get("status") == "done" and known["key"] == self.job.key:
            print(f"{name}: done before", flush=True)
            return
        if over:
            self.note(name, "left for lack of time", 0.0)
            return
        start = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            action()
            self.note(name, "done", time.monotonic() - start)
        except Exception as error:  # a card fails in ways of its own; the time is better spent on the next step
            self.note(name, f"failed: {type(error).__name__}: {error}", time.monotonic() - start)

    def note(self, name: str, status: str, seconds: float) -> None:
        """Write the outcome of a step."""
        print(f"{name}: {status} ({seconds:.0f} s)", flush=True)
        self.steps[name] = {"status": status, "seconds": round(seconds, 1), "key": self.job.key}
        store.write_json(self.path, self.facts | {"steps": self.steps})


def gpu(job: GpuJob) -> Path:
    """Take every step for which there is time; returns the archive of what was found.

    Raises:
        Refused: there is no card.
        GpuError: steps, checks or runs failed; the archive is there all the same, and holds what was found.
        archive.PackingError: the results are too large for one archive.
    """
    _check_card(job)
    points = _points(job)
    ledger = Ledger(job)
    print(f"on {job.card}: {job.minutes:g} minutes, {len(points)} runs at most", flush=True)
    for profile, overrides in COMPARED[job.profile]:
        ledger.do(f"agreement, {profile} {overrides}", lambda p=profile, o=overrides: _agreement(job, p, o), job.over())
    if job.device == "cuda":
        ledger.do("graphs", lambda: _graphs(job), job.over())
    ledger.do("resumption", lambda: _resumption(job), job.over())
    _bench(job, ledger, BENCH_SHARE)
    made = _train(job, points, ledger)
    _bench(job, ledger, 1.0)
    if "training" in made:
        archive.write(job.profile, made, _grid(job).stem)
    packed = archive.pack(job.profile)
    print(f"{packed}: unpack it over a checkout with tar -xzf, and commit", flush=True)
    _say_what_failed(job, ledger, made)
    return packed


def _check_card(job: GpuJob) -> None:
    if job.device == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else ", and torch is a build without it (make setup on the card's machine)"
        raise Refused(
            f"no GPU with CUDA is here{built}: run make gpu on a machine that has one, or rehearse it with "
            'make gpu ARGS="--device cpu --profile smoke"'
        )
    if job.device == "cpu" and job.profile == "paper":
        raise Refused("the paper profile takes days on a CPU: add --profile smoke to rehearse, or use make reproduce")


def _grid(job: GpuJob) -> Path:
    return store.REPOSITORY / "data" / "grids" / f"{GRIDS[job.profile]}.yaml"


def _points(job: GpuJob) -> list[grid_files.Point]:
    content = grid_files.read_yaml(_grid(job))
    device = " training.device=cpu" if job.device == "cpu" else ""
    return grid_files.points(**content | {"common": content["common"] + device})


def _agreement(job: GpuJob, profile: str, overrides: str) -> None:
    settings = resolve(profile, overrides).runs()[0]
    found = gpu_checks.agreement(settings, torch.device(job.device))
    _save_checks(job, "agreement", f"{profile}, width {settings.model.hidden_dimension}", found)


def _graphs(job: GpuJob) -> None:
    settings = resolve("laptop", "widths=768").runs()[0]
    _save_checks(job, "graphs", "laptop, width 768", gpu_checks.replays(settings, torch.device(job.device)))


def _resumption(job: GpuJob) -> None:
    overrides, kills = KILLED[job.profile]
    overrides += f" training.device={job.device}"
    model = f"smoke, width {resolve('smoke', overrides).runs()[0].model.hidden_dimension}"
    _save_checks(job, "resumption", model, gpu_checks.resumption(overrides, kills))


def _save_checks(job: GpuJob, check: str, model: str, found: dict[str, float]) -> None:
    """Write what a check found into gpu_checks.csv, in place of what it found on this card before."""
    rows = [
        {"check": check, "model": model, "quantity": name, "value": value, "tolerance": gpu_checks.TOLERANCES[name]}
        for name, value in found.items()
    ]
    table = pd.DataFrame(rows).assign(card=job.card, commit=store.commit())
    table["passed"] = table["value"] <= table["tolerance"]
    table = checked("gpu_checks", table)
    print(table.drop(columns=["card", "commit"]).to_string(index=False), flush=True)
    store.add_rows(job.tables / "gpu_checks.csv", table, ["check", "model", "quantity", "card"])


def _bench(job: GpuJob, ledger: Ledger, share: float) -> None:
    for name in BENCHES[job.profile] if job.bench is None else job.bench:
        ledger.do(f"bench, {name}", lambda n=name: _measure(job, n), job.over(share))


def _measure(job: GpuJob, name: str) -> None:
    """One piece of the bench, in processes of its own: they leave the card empty, whatever becomes of them."""
    command = [sys.executable, "-m", "helpers.benchmarks.speed", "--profile", job.profile, "--only", name]
    process = subprocess.Popen(command, cwd=store.REPOSITORY, start_new_session=True)
    try:
        if status := process.wait(BENCH_LONGEST):
            raise subprocess.CalledProcessError(status, command)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started, too
        process.wait()


def _train(job: GpuJob, points: list[grid_files.Point], ledger: Ledger) -> dict[str, pd.DataFrame]:
    """The tables of all runs that are done, after training what there is time for."""
    begin = job.began + 60 * job.minutes
    until = pool.Time(begin, begin + 60 * job.grace)
    made = sweep.tables(points)
    if not job.over():
        workers = job.workers or (None if job.device == "cuda" else 2)
        start, status = time.monotonic(), "done as far as time went"
        try:
            made = sweep.run(points, "make gpu", until, per_gpu=job.per_gpu, workers=workers)
        except pool.EngineError as error:  # what ended before is packed all the same
            made, status = sweep.tables(points), f"failed: {error}"
        ledger.note("runs", status, time.monotonic() - start)
    store.write_table(job.tables / "gpu_runs.csv", checked("gpu_runs", made["runs"]))
    counts = made["runs"]["status"].value_counts()
    print(f"runs: {', '.join(f'{n} {status}' for status, n in counts.items())}", flush=True)
    return made


def _say_what_failed(job: GpuJob, ledger: Ledger, made: dict[str, pd.DataFrame]) -> None:
    wrong = [f"{name} ({s['status']})" for name, s in ledger.steps.items() if s["status"].startswith("failed")]
    path = job.tables / "gpu_checks.csv"
    if path.exists():
        checks = store.read_table(path, "delete it").query("not passed and card == @job.card")
        wrong += [f"{c.check}, {c.model}: {c.quantity} {c.value:.3g} > {c.tolerance:g}" for c in checks.itertuples()]
    runs = made["runs"].query("status == 'failed'")
    wrong += [f"run {r.run}, width {r.width}, seed {r.seed}: {r.error}" for r in runs.itertuples()]
    if wrong:
        raise GpuError("not all is well: " + "; ".join(wrong))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 0, 1 if something failed, 2 if there is no card."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.running.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--profile", choices=list(COMPARED), default="paper", help="smoke: a rehearsal of every step")
    add("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: for the rehearsal (default: %(default)s)")
    add("--minutes", type=float, default=25.0, help="after which nothing is begun (default: %(default)g)")
    add("--grace", type=float, default=3.0, help="minutes more for runs to end in (default: %(default)g)")
    add("--per-gpu", type=count, default=8, help="runs at once on a card (default: %(default)s)")
    add("--workers", type=count, help="processes (default: as many as the card or the cores allow)")
    add("--bench", nargs="*", choices=BENCHES["paper"], metavar="PIECE", help="pieces of make bench (default: all)")
    given = parser.parse_args(arguments)
    return exit_status(lambda: gpu(GpuJob(**vars(given))) and None, STOPPED)


if __name__ == "__main__":
    sys.exit(main())
