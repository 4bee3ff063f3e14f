"""The tables of a profile's folder, read when asked for; what is missing is said with the command that makes it."""

from pathlib import Path

import pandas as pd

from helpers import store

# Tables that take hours; every other is made by `make reproduce`.
BY_GRIDS = (
    "alternatives_grids", "course_grids", "multiverse", "outputs", "parts", "quantities", "readings_confirmed",
)  # fmt: skip


def made_by(name: str) -> str:
    """The command that makes a table."""
    if name in ("bench", "latency"):
        return "make bench"
    return "make readings" if name == "readings" else "make verdict" if name in BY_GRIDS else "make reproduce"


class TableFolder:
    """The tables of a folder.

    Args:
        path: data/<profile>/tables.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, name: str) -> pd.DataFrame:
        """A table; raises store.ArtefactError where it is missing or was changed since it was written."""
        return store.read_table(self.path / f"{name}.csv", self._remedy(name))

    def __contains__(self, name: str) -> bool:
        return (self.path / f"{name}.csv").exists()

    def get(self, name: str) -> pd.DataFrame | None:
        """A table, or None where it is not there: not every profile has all."""
        if name not in self:
            return None
        return self[name]

    def provenance(self) -> dict:
        """Notebook -> what made its tables; raises store.ArtefactError where that is not known."""
        return store.read_json(self.path / "provenance.json", self._remedy("provenance"))

    def _remedy(self, name: str) -> str:
        """The command that makes a table in this folder."""
        command, (profile, _, changed) = made_by(name), self.path.parent.name.partition("--")
        if command == "make reproduce":
            command += f" PROFILE={profile}" * (profile in ("smoke", "paper"))
            command += " with the READING and SET that this folder is named by" * bool(changed)
        return f"run {command}"
