"""The notebooks of `make reproduce`: what each depends on, and whether its results are up to date.

A notebook depends on its own cells, on the helper modules that it imports (comments and docstrings aside),
on the values of the settings listed here, and on the notebooks before it. All of that goes into one hash,
kept beside the executed notebook; equal hash and present outputs mean up to date, whatever the files' dates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers import fingerprint, store
from helpers.settings import Settings, digest

NOTEBOOKS = store.REPOSITORY / "notebooks"
GRID = ("widths", "seeds", "epochs_by_width")


@dataclass(frozen=True)
class Stage:
    """A notebook, the notebooks it builds on, and the settings it reads itself."""

    needs: tuple[str, ...]
    settings: tuple[str, ...]


STAGES = {
    "01_generate_data": Stage((), ("data", "seeds")),
    "02_train": Stage(("01_generate_data",), ("model", "training", *GRID)),
    "03_clustering": Stage(("02_train",), ("clustering", "tsne")),
    "04_knn": Stage(("02_train",), ("neighbours",)),
    "05_probe_llms": Stage((), ("probe",)),
    "06_explore": Stage(("03_clustering", "05_probe_llms"), ()),
    "07_controls": Stage(("03_clustering",), ("clustering",)),
    "08_interventions": Stage(("02_train",), ()),
    "09_readings": Stage(("03_clustering",), ("clustering", "tsne")),
    "10_verdict": Stage(("03_clustering", "04_knn", "05_probe_llms", "08_interventions", "09_readings"), ()),
}
# Tables that make verdict and make readings write, and the notebooks that read them.
FROM_SWEEPS = {
    "09_readings": (
        "alternatives_grids",
        "course_grids",
        "multiverse",
        "parts",
        "outputs",
        "readings",
        "readings_confirmed",
    ),
    "10_verdict": ("quantities", "parts"),
}


def _files(stage: str, settings: Settings, folder: Path) -> object:
    """What a notebook reads beside settings and other notebooks' results, as hashes."""
    if stage in FROM_SWEEPS:
        paths = [folder / "tables" / f"{name}.csv" for name in FROM_SWEEPS[stage]]
        return [store.sha256(p) if p.exists() else None for p in paths]
    return _words_and_models(settings) if stage == "05_probe_llms" else None


def _words_and_models(settings: Settings) -> object:
    data = store.located(settings.probe.data) if settings.probe.data else store.NATURAL
    words = {str(p.relative_to(data)): store.sha256(p) for p in sorted(data.rglob("*")) if p.is_file()}
    models = [p for name in settings.probe.models if (p := store.located(name)).exists()]
    facts = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for m in models for f in sorted([m, *m.rglob("*")])]
    return [words, facts]


def keys(settings: Settings, folder: Path) -> dict[str, str]:
    """The hash of all that each notebook depends on; `folder` is where the profile's tables lie."""
    values = settings.model_dump(mode="json")
    found: dict[str, str] = {}
    for name, stage in STAGES.items():
        parts = [
            fingerprint.of_notebook(NOTEBOOKS / f"{name}.ipynb"),
            {key: values[key] for key in stage.settings},
            [found[need] for need in stage.needs],
            _files(name, settings, folder),
        ]
        found[name] = digest(parts, 16)
    return found


def wanted(only: str | None) -> list[str]:
    """The notebooks to bring up to date: one and those that it needs, or all."""
    if only is None:
        return list(STAGES)
    found, waiting = set(), [only]
    while waiting:
        stage = waiting.pop()
        found.add(stage)
        waiting += STAGES[stage].needs
    return [s for s in STAGES if s in found]


def lost(known: dict) -> list[Path]:
    """What a notebook wrote, by its manifest, and is missing now or was changed since; a table whose hash is no longer
    beside it counts as well, for whoever reads it refuses it."""
    paths = {store.ROOT / path: expected for path, expected in known["outputs"].items()}
    listed = {folder: store.sums(folder) for folder in {path.parent for path in paths if path.suffix == ".csv"}}
    return [path for path, expected in paths.items() if not path.exists() or store.sha256(path) != expected
            or (path.suffix == ".csv" and listed[path.parent].get(path.name) != expected)]  # fmt: skip


def up_to_date(stage: str, manifest: Path, key: str, say: Callable[[str], None]) -> bool:
    """Whether a notebook's results are of this key and still there; says what is not."""
    known = store.known_json(manifest)
    if known is None or known["key"] != key:
        return False
    made = store.known_json(manifest.parents[1] / "tables" / "provenance.json") or {}
    if stage not in made:
        say(f"{stage}: provenance.json does not say what made its tables, so it runs again")
        return False
    if gone := lost(known):
        say(f"{stage}: {gone[0]} is missing or was changed, so it runs again")
    return not gone
