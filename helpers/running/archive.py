"""Tables and figures of a sweep's runs in a profile's folders, and both in one archive to be carried elsewhere."""

import tarfile
from pathlib import Path

from helpers import store
from helpers.errors import Failed
from helpers.running import sweep, verdict_grids
from helpers.settings import Settings
from helpers.verdict import judge, redraw
from helpers.verdict.claims import Tables
from helpers.workspace import Workspace

MOST = 60 * 10**6  # bytes of an archive


class PackingError(Failed):
    """Results that are too large for one archive; the message names the largest files."""


def write(profile: str, made: Tables, grid: str) -> None:
    """Write the tables of a sweep's finished runs as those of a profile, the verdict on them, and their figures.

    A profile has one reading, and its widths: tables and figures are of those runs, the verdict is on all.

    Args:
        made: of `sweep.run` or `sweep.tables`.
        grid: name of the grid file.
    """
    work = Workspace("gpu", profile)
    mine = _of_profile(made, work.settings)
    for name in sweep.TABLES:
        if len(mine[name]):
            work.save_table(name, mine[name])
    verdict_grids.save_grid("quantities", made, work.data / "tables", grid)
    measured = work.read_table("quantities")
    widths = tuple(sorted(set(measured["width"])))
    work.save_table("claims", judge.judge(measured, widths))
    work.save_table("thresholds", judge.at_thresholds(measured, widths))
    for name, figure in redraw.drawn(work.tables):
        store.write_pictures(work.figures / name, figure)


def _of_profile(made: Tables, settings: Settings) -> Tables:
    """The rows of the runs that a profile asks for, of whatever seed."""
    runs = made["runs"]
    own = runs[(runs["reading"] == settings.reading) & runs["width"].isin(settings.widths)]
    return {name: table[table["run"].isin(own["run"])] for name, table in made.items()}


def pack(profile: str, most: int = MOST) -> Path:
    """One archive of a profile's tables and figures, to be unpacked over a checkout; returns its path.

    States and checkpoints are not in it.

    Raises:
        PackingError: it would be larger than `most` bytes; nothing is left of it.
    """
    folders = (store.DATA / profile / "tables", store.FIGURES / profile)
    files = [p for folder in folders for p in sorted(folder.glob("*")) if p.is_file() and not p.name.startswith(".")]
    path = store.DATA / f"gpu-results-{store.commit()}.tar.gz"
    with store.replacing(path) as temporary:
        with tarfile.open(temporary, "w:gz") as archive:
            for file in files:
                archive.add(file, file.relative_to(store.ROOT))
        size = temporary.stat().st_size
        if size > most:
            largest = sorted(files, key=lambda p: p.stat().st_size, reverse=True)[:5]
            named = ", ".join(f"{p.relative_to(store.ROOT)} {p.stat().st_size / 1e6:.1f} MB" for p in largest)
            raise PackingError(
                f"the results take {size / 1e6:.1f} MB, and one archive may have {most / 1e6:g}; the largest: {named}. "
                "Move some elsewhere, and run the same command again"
            )
    return path
