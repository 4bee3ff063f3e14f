"""The runs behind the verdict: the grids of data/grids, and a table for each (make verdict)."""

import argparse
import sys
from pathlib import Path

import pandas as pd

from helpers import store
from helpers.analysis import course
from helpers.errors import exit_status
from helpers.profiles import resolve
from helpers.rows import assignments
from helpers.running import grid_files, pool, sweep
from helpers.tables import RUN, checked, columns
from helpers.verdict import reading_fit
from helpers.verdict.claims import Tables
from helpers.verdict.judge import quantities

# Table -> grid file in data/grids.
GRIDS = {"quantities": "seeds", "outputs": "outputs", "multiverse": "multiverse", "parts": "parts"}
NO_CHANGE = {
    "width", "seed", "reading", "training.stop_epoch", "training.log_every", "training.log_also",
}  # fmt: skip
OF_GRID = ("variant", *RUN)  # what tells apart the runs of a grid, whatever code made them


def collect(tables: Tables) -> pd.DataFrame:
    """The quantities of a sweep's finished runs, named by width, seed and variant.

    Args:
        tables: of sweep.run.
    """
    found = quantities(tables)
    return found.assign(variant=found["run"].map(_variants(tables))).drop(columns="run")


def _variants(tables: Tables) -> pd.Series:
    """Run -> its variant, without settings that have a column of their own or say how far the run goes."""
    return tables["runs"].set_index("run")["variant"].fillna("").map(changes)


def changes(variant: str) -> str:
    """The settings of a variant that make it another run: not those of columns, nor where it stops and is recorded."""
    settings = [s for s in assignments(variant) if s.partition("=")[0] not in NO_CHANGE]
    return " ".join(settings) or "default"


def confirmed(tables: Tables) -> pd.DataFrame:
    """How well each finished run shows what `make readings` compares readings by (readings_confirmed.csv).

    Args:
        tables: of sweep.run.
    """
    runs = tables["runs"]
    rows = [_confirmed(row, tables) for row in runs[runs["status"] == "done"].itertuples()]
    return pd.DataFrame(rows, columns=columns("readings_confirmed"))


def _confirmed(row, tables: Tables) -> dict:
    until = f"training.stop_epoch={int(row.epochs)}"
    settings = resolve("laptop", f"reading={row.reading} width={row.width} seed={row.seed} {until}").runs()[0]
    place = {name: getattr(row, name) for name in ("run", "reading", "width", "seed", "epochs", "commit")}
    return place | reading_fit.of_run(tables, row.run, settings)


def save_grid(name: str, made: Tables, folder: Path, grid: str = "") -> None:
    """Write what the finished runs of one grid give: its table, its part of alternatives_grids.csv, of
    course_grids.csv and of verdict.json, and how the main grid's runs confirm their readings.

    Rows of a run give way to those of the same variant, width, seed and reading. Those of runs that are not finished
    here stay, and what other grids gave.

    Args:
        name: of GRIDS.
        made: of `sweep.run` or `sweep.tables`.
        folder: data/<profile>/tables.
        grid: name of the grid file, where it is not that of GRIDS.
    """
    grid = grid or GRIDS[name]
    found = checked(name, collect(made))
    store.add_rows(folder / f"{name}.csv", found, [column for column in OF_GRID if column in found])
    if name == "quantities":
        store.add_rows(folder / "readings_confirmed.csv", checked("readings_confirmed", confirmed(made)), list(RUN))
    for table, rows in (("alternatives", made["alternatives"]), ("course", course.highest(made["course"]))):
        path = folder / f"{table}_grids.csv"
        rows = rows.assign(grid=grid, variant=rows["run"].map(_variants(made)))
        store.add_rows(path, checked(path.stem, rows), ["grid", *OF_GRID])
    path = folder / "alternatives_grids.csv"
    table = store.read_table(path, "restore it, or delete it")
    facts = store.known_json(folder / "verdict.json") or {}
    mine = _facts(made, facts.get(grid, {}), set(table.loc[table["grid"] == grid, "run"].astype(str)))
    store.write_json(folder / "verdict.json", facts | {grid: mine})


def _facts(made: Tables, before: dict, runs_in_table: set[str]) -> dict:
    """What made a grid's results: commits, each run's hours of training, and the last epoch by reading and width.

    Hours are by the median epoch: pauses do not count.

    Args:
        made: the grid's tables.
        before: the facts that stand there; they hold for those of `runs_in_table` that `made` has not.
    """
    runs, epochs = made["runs"], made["training"].groupby("run")["seconds"]
    found = {run: round(float(h), 3) for run, h in (epochs.median() * (epochs.size() - 1) / 3600).items()}
    others = {run: h for run, h in before.get("hours", {}).items() if run in runs_in_table - set(found)}
    facts = {name: set(runs[column].dropna()) for name, column in (("commits", "commit"), ("computed", "computed"))}
    if others:
        facts = {name: values | set(before[name]) for name, values in facts.items()}
    longest = {reading: dict(old) for reading, old in before["epochs"].items()} if others else {}
    for (reading, width), last in made["training"].groupby(["reading", "width"])["epoch"].max().items():
        longest.setdefault(reading, {})[str(width)] = int(last)
    return {
        "hours": others | found,
        "epochs": longest,
        **{name: sorted(values) for name, values in facts.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line: run the sweeps behind the verdict and write a table for each."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.running.verdict_grids",
        description="Train and measure the runs behind the verdict; what exists is not run again. Then run "
        "make reproduce, whose notebooks 09 and 10 read them. Writes "
        + ", ".join(f"{name}.csv" for name in (*GRIDS, "readings_confirmed", "alternatives_grids", "course_grids")),
    )
    parser.add_argument("--profile", default="laptop", help="whose tables to write to (default: %(default)s)")
    parser.add_argument("--only", choices=list(GRIDS), action="append", help="this grid alone (repeatable)")
    parser.add_argument("--finished", action="store_true", help="run nothing: write what the finished runs give")
    pool.add_options(parser)
    given = parser.parse_args(arguments)
    stopped = "stopped; the same command goes on from the last finished epochs"
    return exit_status(lambda: _bring(given), stopped)


def _bring(given: argparse.Namespace) -> int:
    resolve(given.profile)  # one that is unknown is refused before days of work
    failed = False
    for name in given.only or GRIDS:
        wanted = grid_files.read_grid(store.REPOSITORY / "data" / "grids" / f"{GRIDS[name]}.yaml")
        made = sweep.tables(wanted) if given.finished else sweep.run(wanted, GRIDS[name], **pool.options(given))
        if "training" in made:
            save_grid(name, made, store.DATA / given.profile / "tables")
        counts = made["runs"]["status"].value_counts()
        print(f"{name}: {', '.join(f'{n} {status}' for status, n in counts.items())}")
        failed |= "failed" in counts
    return int(failed)


if __name__ == "__main__":
    from helpers.running import verdict_grids  # under its own name, by which workers find its functions

    sys.exit(verdict_grids.main())
