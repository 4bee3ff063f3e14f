"""The runs behind the verdict: the grids of data/grids, and a table for each (make verdict)."""

import argparse
import sys
from pathlib import Path

import pandas as pd

from helpers import store
from helpers.errors import exit_status
from helpers.running import sweep
from helpers.tables import TABLES
from helpers.verdict.claims import Tables
from helpers.verdict.judge import quantities

# Table -> grid file in data/grids.
GRIDS = {"quantities": "seeds", "outputs": "outputs", "multiverse": "multiverse", "parts": "parts"}


def collect(tables: Tables) -> pd.DataFrame:
    """The quantities of a sweep's finished runs, named by width, seed and variant.

    Args:
        tables: of sweep.run.
    """
    found = quantities(tables)
    return found.assign(variant=found["run"].map(_variants(tables))).drop(columns="run")


def _variants(tables: Tables) -> pd.Series:
    """The variant of each run of a sweep, in words."""
    return tables["runs"].set_index("run")["variant"].fillna("").replace("", "default")


def save_grid(name: str, made: Tables, folder: Path, grid: str = "") -> None:
    """Write what the finished runs of one grid give: its table, its part of alternatives_grids.csv and of verdict.json.

    Args:
        name: of GRIDS.
        made: of `sweep.run` or `sweep.tables`.
        folder: data/<profile>/tables; what other grids gave stays there.
        grid: name of the grid file, where it is not that of GRIDS.
    """
    grid = grid or GRIDS[name]
    store.write_table(folder / f"{name}.csv", collect(made)[TABLES[name].split()])
    path = folder / "alternatives_grids.csv"
    before = pd.DataFrame(columns=TABLES["alternatives_grids"].split())
    if path.exists():
        before = store.read_table(path, "restore it, or delete it")
    found = made["alternatives"].assign(grid=grid, variant=made["alternatives"]["run"].map(_variants(made)))
    both = [t for t in (before[before["grid"] != grid], found[list(before)]) if len(t)]
    store.write_table(path, pd.concat(both, ignore_index=True))
    facts = (store.known_json(folder / "verdict.json") or {}) | {grid: _facts(made)}
    store.write_json(folder / "verdict.json", facts)


def _facts(made: Tables) -> dict:
    """What made a grid's results: runs, commits, hours of training (by the median epoch: pauses do not count)."""
    runs, epochs = made["runs"], made["training"].groupby("run")["seconds"]
    hours = epochs.median() * (epochs.size() - 1) / 3600
    return {
        "runs": len(runs),
        "hours": {run: round(float(h), 3) for run, h in hours.items()},
        "epochs": {str(w): int(e) for w, e in runs.groupby("width")["epochs"].max().dropna().items()},
        "commits": sorted(runs["commit"].dropna().unique()),
        "computed": sorted(runs["computed"].dropna().unique()),
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line: run the sweeps behind the verdict and write a table for each."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.running.verdict_grids",
        description="Train and measure the runs behind the verdict; what exists is not run again. Then run notebook 07 "
        "(make reproduce). Writes " + ", ".join(f"{name}.csv" for name in (*GRIDS, "alternatives_grids")),
    )
    parser.add_argument("--profile", default="laptop", help="whose tables to write to (default: %(default)s)")
    parser.add_argument("--only", choices=list(GRIDS), action="append", help="this grid alone (repeatable)")
    parser.add_argument("--finished", action="store_true", help="run nothing: write what the finished runs give")
    parser.add_argument("--scheduler", default="", help="as for make sweep")
    parser.add_argument("--workers", type=int, help="as for make sweep")
    given = parser.parse_args(arguments)
    stopped = "stopped; the same command goes on from the last finished epochs"
    return exit_status(lambda: _bring(given), stopped)


def _bring(given: argparse.Namespace) -> None:
    for name in given.only or GRIDS:
        wanted = sweep.read_grid(store.DATA / "grids" / f"{GRIDS[name]}.yaml")
        connection = {"scheduler": given.scheduler, "workers": given.workers}
        made = sweep.tables(wanted) if given.finished else sweep.run(wanted, GRIDS[name], **connection)
        if "training" in made:
            save_grid(name, made, store.DATA / given.profile / "tables")
        counts = made["runs"]["status"].value_counts()
        print(f"{name}: {', '.join(f'{n} {status}' for status, n in counts.items())}")


if __name__ == "__main__":
    from helpers.running import verdict_grids  # under its own name, by which workers find its functions

    sys.exit(verdict_grids.main())
