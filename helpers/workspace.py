"""Settings and output folders of a notebook.

One output folder a profile: data/<profile> and figures/<profile>. Overridden settings get a folder of
their own (data/laptop--seed-7), so that trying something never overwrites committed results. Data sets and
training runs are shared by all of them, under data/datasets and data/runs.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from IPython.display import Image
from matplotlib.figure import Figure

from helpers import store, timing
from helpers.profiles import output_name, resolve
from helpers.settings import Settings
from helpers.table_folder import TableFolder
from helpers.tables import checked


@dataclass
class Workspace:
    """Settings and output folders of one notebook.

    Args:
        stage: the notebook's name, as in "03_clustering".
        profile, overrides: as for `profiles.resolve`.

    Raises:
        settings.SettingsError: a profile, name or value that cannot be.
    """

    stage: str
    profile: str = "laptop"
    overrides: str = ""
    outputs: list[str] = field(default_factory=list, init=False)
    settings: Settings = field(init=False)
    tables: TableFolder = field(init=False)

    def __post_init__(self) -> None:
        timing.note_start()
        self.settings = resolve(self.profile, self.overrides)
        name = output_name(self.profile, self.overrides)
        self.data, self.figures = store.DATA / name, store.FIGURES / name
        self.tables = TableFolder(self.data / "tables")

    def save_table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Write data/<profile>/tables/<name>.csv; floats keep six significant digits.

        Raises:
            column_types.TableError: the table is not as `tables` declares it.
        """
        path = self.tables.path / f"{name}.csv"
        table = checked(name, table)
        store.write_table(path, table)
        self._note(path)
        return table

    def read_table(self, name: str) -> pd.DataFrame:
        """Read data/<profile>/tables/<name>.csv; raises store.ArtefactError where it is missing or was changed."""
        return self.tables[name]

    def known_table(self, name: str) -> pd.DataFrame | None:
        """As read_table, but None where there is no such table: another command makes it."""
        return self.tables.get(name)

    def save_figure(self, name: str, figure: Figure) -> Image:
        """Write a figure as figures/<profile>/<name>.svg and .png; returns the latter, drawn once, to show."""
        with timing.timed("figures"):
            written = store.write_pictures(self.figures / name, figure)
        for path in written:
            self._note(path)
        return Image(filename=written[-1], width=round(90 * figure.get_figwidth()), alt=figure.get_suptitle())

    def uses(self, folder: Path) -> Path:
        """Note a data set, run or probe that this notebook made, so that losing it reruns the notebook."""
        for name in ("manifest.json", "progress.json"):
            if (folder / name).exists():
                self._note(folder / name)
        return folder

    def path(self, text: str) -> Path:
        """A path from the settings; relative ones start at the repository, not at the notebook."""
        return store.located(text)

    def _note(self, path: Path) -> None:
        name = str(path.relative_to(store.ROOT))
        if name not in self.outputs:
            self.outputs.append(name)
        store.write_json(self.data / "notebooks" / f"{self.stage}.outputs.json", {"outputs": self.outputs})
