"""The search for the reading of the paper that fits it best (make readings): successive halving over a declared grid.

A plan is a grid file of `make sweep` with two entries more:

    rungs: [20, 60, 200]  # epochs after which readings are compared
    keep: 3               # the best one in so many goes on to the next rung, and at least two

Every reading is trained to the first rung; the best go on from where they are. What they are compared by is
helpers/verdict/reading_fit.py, which knows nothing of clusters.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers import store
from helpers.errors import exit_status
from helpers.profiles import reading_of, resolve
from helpers.running import grid_files, pool, sweep
from helpers.tables import checked, columns
from helpers.verdict import reading_fit

PLANS = store.REPOSITORY / "data" / "grids"


@dataclass(frozen=True)
class Plan:
    """What is searched, and how.

    Attributes:
        name: of the file.
        grid: profile, common, grid and variants of grid_files.points.
        rungs: epochs, rising.
        keep: one in so many goes on.
    """

    name: str
    grid: dict
    rungs: tuple[int, ...]
    keep: int


def read_plan(path: Path) -> Plan:
    """The plan of a file.

    Raises:
        grid_files.GridError: the file is missing, or not of the form above.
    """
    content = grid_files.read_yaml(path, {"rungs", "keep"})
    rungs, keep = content.pop("rungs", None), content.pop("keep", 3)
    if not isinstance(rungs, list) or not rungs or not all(isinstance(e, int) and e > 0 for e in rungs):
        raise grid_files.GridError(f"{path}: rungs must be a list of epochs, such as [20, 60, 200]")
    if rungs != sorted(set(rungs)):
        raise grid_files.GridError(f"{path}: rungs={rungs} must rise")
    if not isinstance(keep, int) or keep < 2:
        raise grid_files.GridError(f"{path}: keep={keep!r} must be a number from 2 on")
    plan = Plan(Path(path).stem, content, tuple(rungs), keep)
    grid_files.with_file_in_errors(path, lambda: [grid_files.points(**_at(plan, epochs)) for epochs in rungs])
    if any("training.stop_epoch" in some for some in (content.get("grid", {}), *content.get("variants", ()))):
        raise grid_files.GridError(f"{path}: training.stop_epoch is what rungs say; leave it out of grid and variants")
    return plan


def _at(plan: Plan, epochs: int, readings: list[dict] | None = None) -> dict:
    """Arguments of grid_files.points for one rung: of all readings, or of those that went on."""
    grid = {**plan.grid, "common": f"{plan.grid.get('common', '')} training.stop_epoch={epochs}"}
    return grid if readings is None else grid | {"grid": {}, "variants": readings}


def search(plan: Plan, bring=sweep.run, keep=lambda found: None) -> pd.DataFrame:
    """Train the readings of a plan, rung by rung.

    Args:
        bring: (points, label) -> tables, as sweep.run; what it finds done is not run again.
        keep: is given what is returned, as far as it is known, after each rung.

    Returns:
        readings.csv: one row a reading and rung. A reading that fails counts 0 and does not go on.
    """
    rows, readings = [], None
    for n, epochs in enumerate(plan.rungs):
        points = grid_files.points(**_at(plan, epochs, readings))
        tables = bring(points, f"{plan.name}, {len(points)} readings to epoch {epochs}")
        rung = pd.DataFrame([_row(plan.name, n, epochs, point, tables) for point in points])
        rung = rung.sort_values("fit", ascending=False, kind="stable")
        count = max(2, math.ceil(len(rung) / plan.keep)) if n + 1 < len(plan.rungs) else 0
        rung["kept"] = [i < count and row.fit > 0 for i, row in enumerate(rung.itertuples())]
        rows.append(rung)
        keep(_table(rows))
        by_key = {point.key: point.values for point in points}
        readings = [by_key[key] for key in rung.loc[rung["kept"], "run"]]
        if not readings:
            break
    return _table(rows)


def _table(rungs: list[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(rungs, ignore_index=True)
    return checked("readings", table.reindex(columns=columns("readings")))  # no rung of some plans ends a schedule


def _row(plan: str, rung: int, epochs: int, point: grid_files.Point, tables: dict[str, pd.DataFrame]) -> dict:
    facts = tables["runs"].set_index("run").loc[point.key]
    place = {"plan": plan, "rung": rung, "epochs": epochs, "run": point.key, "reading": reading_of(point.run)}
    place |= {"width": facts["width"], "seed": facts["seed"], "status": facts["status"], "commit": facts["commit"]}
    if facts["status"] != "done":
        return place | {"fit": 0.0}
    return place | reading_fit.of_run(tables, point.key, point.run)


def save(found: pd.DataFrame, folder: Path) -> None:
    """Write a plan's rows into readings.csv; those of other plans stay."""
    store.add_rows(folder / "readings.csv", found, ["plan"])  # its rungs belong together


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.running.readings",
        description="Search for the reading of the paper that fits it best. Writes readings.csv after every rung.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plans", nargs="*", type=Path, help="plan files (default: data/grids/readings_*.yaml)")
    parser.add_argument("--profile", default="laptop", help="whose tables to write to (default: %(default)s)")
    pool.add_options(parser)
    given = parser.parse_args(arguments)
    return exit_status(lambda: _bring(given), "stopped; the same command goes on from the last finished epochs")


def _bring(given: argparse.Namespace) -> int:
    resolve(given.profile)  # one that is unknown is refused before hours of work
    failed = False
    plans = [read_plan(path) for path in given.plans or sorted(PLANS.glob("readings_*.yaml"))]
    for plan in plans:
        folder = store.DATA / given.profile / "tables"
        found = search(
            plan,
            lambda points, label: sweep.run(points, label, **pool.options(given)),
            lambda known, folder=folder: save(known, folder),
        )
        last = found[(found["rung"] == found["rung"].max()) & (found["status"] == "done")]
        said = "these fit best:" if len(last) else "none came to the end"
        print(f"{plan.name}: of {found['reading'].nunique()} readings {said}")
        for row in last.head(5).itertuples():
            print(f"  {row.fit:.2f}  reading={row.reading}")
        failed |= (found["status"] == "failed").any()
    return int(failed)


if __name__ == "__main__":
    from helpers.running import readings  # under its own name, by which workers find its functions

    sys.exit(readings.main())
