"""Many training runs, each trained and analysed once: `make sweep GRID=grids/example.yaml`, or `run` from a notebook.

`helpers/running/grid_files.py` says what a grid file holds.

A run is named by the hash of all its settings and of the code that makes it. Its result lies under
data/sweeps/results; whichever sweep needs it again finds it there.
"""

import argparse
import socket
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from helpers import store
from helpers.analysis import clustering, measure
from helpers.device import choose
from helpers.errors import Refused, exit_status
from helpers.gpt import model as gpt
from helpers.gpt import runs, train
from helpers.profiles import reading_of
from helpers.running import pool
from helpers.running.grid_files import ANALYSIS, Point, code_of_runs, place_of, read_grid
from helpers.running.mirror import Mirror
from helpers.settings import RunSettings, digest
from helpers.tables import checked
from helpers.task import synthetic

OF_A_RUN = ("training", *clustering.TABLES, "neighbours")  # its tables
MEASURED = ("surface", "controls", "interventions", "alternatives")
TABLES = (*OF_A_RUN, *MEASURED)
EPOCHS_SHARE = 0.9  # of the work of a run, the rest being analysis


class WorkerError(Refused):
    """A worker that cannot take a task; the message says which, why and what to do."""


def run(
    wanted: list[Point], label: str = "sweep", until: pool.Time | None = None, **connection
) -> dict[str, pd.DataFrame]:
    """Bring every run of a sweep to its end and return their tables.

    What exists is not run again. A run that fails is a row with its error, and does not stop the others.

    Args:
        wanted: from `points` or `read_grid`.
        label: for the line of progress.
        until: how long it may take; a run that has not ended then goes on from its last checkpoint another time.
        connection: for pool.connect; unused where nothing is left to run.

    Returns:
        runs, one row a run (columns in data/README.md), and each of TABLES that a finished run has, with the column run
        in front.

    Raises:
        pool.EngineError: no scheduler, or it or every worker went away; finished runs are kept.
    """
    errors: dict[str, str] = {}
    missing = [p for p in wanted if _result(p) is None]
    if missing:
        need = max(memory_needed(p.run) for p in missing)
        with pool.connect(**{"gigabytes": need, **connection}) as client:
            errors = _run_missing(client, missing, label, until)
    return tables(wanted, errors)


def _run_missing(client, missing: list[Point], label: str, until: pool.Time | None) -> dict[str, str]:
    errors = {}
    print(f"{len(missing)} runs on {pool.workers(client)} workers; dashboard: {client.dashboard_link}", flush=True)
    token, code = _write_token(), code_of_runs()
    by_key = {p.key: p for p in missing}
    tasks = [
        pool.Task(p.key, p.name, train_and_analyse, (p.run, *(getattr(p.settings, s) for s in ANALYSIS), code, token))
        for p in missing
    ]
    for outcome in pool.run(client, tasks, label, until):
        point = by_key[outcome.task.key]
        if outcome.error:
            errors[point.key] = outcome.error
            continue
        facts, tables = outcome.value
        if facts.pop("mirrored"):
            mirror = Mirror(point.key, store.DATA / facts["folder"])
            mirror.pull()
            mirror.drop()
        for name, table in tables.items():
            store.write_table(point.folder / f"{name}.csv", table)
        store.write_json(point.folder / "result.json", facts)  # last: it says that the rest is whole
    return errors


def train_and_analyse(settings: RunSettings, kmeans, tsne, near, code: str, token: str) -> tuple[dict, dict]:
    """What a worker does: train a run from where it stands, and analyse it.

    Args:
        settings: of the run.
        kmeans, tsne, near: settings of the analysis.
        code: hash of the code that the client has; a worker with another refuses.
        token: contents of a file in the client's folder; a worker that reads the same shares the folder.

    Returns:
        Facts about the run, and its tables by name.

    Raises:
        WorkerError: this worker's code is not the client's.
    """
    if code != code_of_runs():
        raise WorkerError(f"{socket.gethostname()} has other code ({store.commit()}): update its clone, start it again")
    start = time.monotonic()
    dataset, where = _dataset(settings), _where(settings)
    opened = runs.open_run(settings, dataset)
    mirror = None if _shares_folder(token) else Mirror(pool.task_key(), opened.folder)
    if mirror:
        mirror.pull()
    done = train.train(settings, dataset, where, progress=_reporting(mirror))
    tables = measure.everything(done, kmeans, tsne, near, jobs=pool.own_cores())
    if mirror:
        mirror.push()
    best = done.history.set_index("epoch").loc[done.best_epoch]
    facts = {
        "folder": str(done.folder.relative_to(store.DATA)),
        "mirrored": mirror is not None,
        "computed": str(where),
        "tables": sorted(tables),
        "epochs": done.settings.training.last_epoch,
        "best_epoch": done.best_epoch,
        "accuracy_validation": float(best["accuracy_validation"]),
        "seconds": float(done.history["seconds"].sum()),
        "seconds_here": time.monotonic() - start,
        **store.provenance(),
    }
    return facts, tables


def _reporting(mirror):
    """A progress bar over epochs that tells the scheduler how far the run is, and keeps its files there if asked."""

    def epochs(numbers, initial: int, total: int, **_):
        for n, number in enumerate(numbers, initial):
            yield number
            if mirror:
                mirror.push()
            pool.report(EPOCHS_SHARE * (n + 1) / total)

    return epochs


def _shares_folder(token: str) -> bool:
    return _token_path().exists() and _token_path().read_text() == token


def _dataset(settings: RunSettings) -> synthetic.Dataset:
    """The data set, made here if it is not there; the same bytes on any machine."""
    try:
        return synthetic.load(settings.data)
    except store.ArtefactError:
        dataset = synthetic.generate(settings.data)
        synthetic.save(dataset)
        return dataset


def _where(settings: RunSettings):
    """Device and precision; with several GPUs, that of this worker, unless another device is asked for."""
    device = settings.training.device
    if device == "auto" and torch.cuda.is_available():
        device = f"cuda:{pool.worker_number() % torch.cuda.device_count()}"
    return choose(settings.training.precision, settings.model.hidden_dimension, device)


def _token_path() -> Path:
    return store.DATA / "sweeps" / "token"


def _write_token() -> str:
    """What a worker that shares this folder reads back; one that does not sends its files instead."""
    path = _token_path()
    if not path.exists():
        store.write_bytes(path, digest([time.time_ns(), str(path)]).encode())
    return path.read_text()


def memory_needed(settings: RunSettings) -> float:
    """GiB that a run takes at most: interpreter and batches, and 40 bytes for each parameter: weight, gradient and two
    moments (16), copies of weights and moments for a checkpoint and of the best epoch's weights (16), and room."""
    return 1.2 + 40 * gpt.parameter_count(settings.model, settings.data.vocabulary_size) / 2**30


def _result(point: Point) -> dict | None:
    """The result of an earlier sweep, or None."""
    return store.known_json(point.folder / "result.json")


def tables(wanted: list[Point], errors: dict[str, str] | None = None) -> dict[str, pd.DataFrame]:
    """What `run` returns, of the runs that are finished; nothing is run.

    Args:
        wanted: from `points` or `read_grid`.
        errors: of runs that failed, by their keys.
    """
    errors = errors or {}
    rows, frames = [], {name: [] for name in TABLES}
    for point in wanted:
        facts = _result(point)
        status = "done" if facts else "failed" if point.key in errors else "not run"
        measured = {k: (facts or {}).get(k) for k in ("epochs", "best_epoch", "accuracy_validation", "seconds")}
        where = {k: (facts or {}).get(k) for k in ("folder", "computed", "commit")}
        error = errors.get(point.key, "")
        place = {"run": point.key, **place_of(point.run), "variant": point.variant, **point.values}
        place |= {**place_of(point.run), "reading": reading_of(point.run)}  # as run, by whatever name they were given
        rows.append(place | {"status": status, **measured, **where, "error": error})
        for name in (facts or {}).get("tables", ()):
            table = store.read_table(point.folder / f"{name}.csv", f"delete {point.folder}")
            table = checked(name, table.assign(reading=place["reading"]))  # one run's: two variants may share its rows
            table.insert(0, "run", point.key)
            frames[name].append(table)
    stacked = {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items() if parts}
    return {"runs": pd.DataFrame(rows)} | stacked


def save(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write the tables of a sweep as CSV."""
    for name, table in tables.items():
        store.write_table(folder / f"{name}.csv", table)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 0 if every run is done, 1 if one failed, 2 if none could start."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.running.sweep",
        description="Train and analyse every run of a grid; what exists is not run again.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("grid", type=Path, help="YAML file (its form is below)")
    pool.add_options(parser)
    given = parser.parse_args(arguments)
    return exit_status(lambda: _bring(given), "stopped; the same command goes on from the last finished epochs")


def _bring(given: argparse.Namespace) -> int:
    start = time.monotonic()
    wanted = read_grid(given.grid)
    before = sum(_result(p) is not None for p in wanted)
    print(f"{given.grid}: {len(wanted)} runs, {before} of them done before", flush=True)
    tables = run(wanted, given.grid.stem, **pool.options(given))
    folder = store.DATA / "sweeps" / given.grid.stem
    save(tables, folder)
    counts = ", ".join(f"{n} {status}" for status, n in tables["runs"]["status"].value_counts().items())
    print(f"{counts} in {time.monotonic() - start:.0f} s: tables in {folder}")
    for row in tables["runs"].query("status == 'failed'").itertuples():
        print(f"failed: {row.run}: {row.error}", file=sys.stderr)
    return int(set(tables["runs"]["status"]) != {"done"})


if __name__ == "__main__":
    from helpers.running import sweep  # under its own name, by which workers find its functions

    sys.exit(sweep.main())
