"""The main job: run the notebooks in order, each only if something that it depends on has changed.

A notebook depends on its own cells, on the helper modules that it imports (comments and docstrings aside),
on the values of the settings listed here, and on the notebooks before it. All of that goes into one hash,
kept beside the executed notebook; equal hash and present outputs mean up to date, whatever the files' dates.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from helpers import fingerprint, store, timing
from helpers.errors import exit_status
from helpers.profiles import command_line, output_name, resolve
from helpers.running import copies, execute
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
    "09_readings": ("alternatives_grids", "course_grids", "multiverse", "parts", "outputs", "readings"),
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


def reproduce(profile: str, overrides: str = "", only: str | None = None, force: bool = False) -> list[str]:
    """Bring the notebooks of a profile up to date; returns the names of those that ran.

    Args:
        profile, overrides: as for `profiles.resolve`.
        only: stop after this notebook; it and what it needs are brought up to date.
        force: run notebooks that are up to date as well.

    Raises:
        SettingsError: a profile or an override that cannot be.
        ArtefactError: another process does the same for this profile.
        NotebookError: a notebook that failed.
    """
    settings = resolve(profile, overrides)
    folder = store.DATA / output_name(profile, overrides)
    with store.locked(folder / "logs"):
        return _reproduce(settings, folder, profile, overrides, only, force)


def _reproduce(settings: Settings, folder: Path, profile: str, overrides: str, only, force: bool) -> list[str]:
    expected = _expected(folder, profile)
    ran = []
    current = keys(settings, folder)
    for stage in _wanted(only):
        manifest = folder / "notebooks" / f"{stage}.json"
        if not force and _up_to_date(stage, manifest, current[stage]):
            print(f"{stage}: up to date")
            continue
        manifest.unlink(missing_ok=True)
        facts = _run(stage, folder, {"profile": profile, "overrides": overrides}, expected.get(stage))
        facts |= {"key": current[stage], "seeds": list(settings.seeds), **store.provenance()}
        store.write_json(manifest, {"outputs": _outputs(folder, stage, facts), **facts})
        _note_provenance(folder, stage, facts)
        print(f"{stage}: done in {execute.clock(facts['seconds'])}{_in_words(facts['work'])}", flush=True)
        ran.append(stage)
    if only is None and (ran or not (folder / "report.html").exists()):
        from helpers.verdict import page  # takes seconds to import

        page.write(profile, overrides)
    return ran


def _run(stage: str, folder: Path, parameters: dict, expected: float | None) -> dict:
    """Run one notebook; seconds that it took, and seconds of each kind of work in all of its processes."""
    with timing.collected(folder / "logs" / f"{stage}.work") as work:
        seconds = execute.run(
            NOTEBOOKS / f"{stage}.ipynb",
            folder / "notebooks" / f"{stage}.ipynb",
            folder / "logs" / f"{stage}.log",
            parameters,
            expected,
        )
    return {"seconds": round(seconds, 1), "work": {kind: round(s, 1) for kind, s in work.items()}}


def _outputs(folder: Path, stage: str, facts: dict) -> dict[str, str]:
    """Path -> SHA-256 of what a notebook wrote, its executed copy too, which is told what made it."""
    listed = store.read_json(folder / "notebooks" / f"{stage}.outputs.json", "run the notebook again")["outputs"]
    hashes = {path: store.sha256(store.ROOT / path) for path in listed}
    copy = folder / "notebooks" / f"{stage}.ipynb"
    tables = {
        Path(p).name: digest for p, digest in hashes.items() if store.ROOT / p == folder / "tables" / Path(p).name
    }
    copies.stamp(copy, facts["key"], facts["commit"], tables)
    return hashes | {str(copy.relative_to(store.ROOT)): store.sha256(copy)}


def _in_words(work: dict[str, float]) -> str:
    """Kinds of work that took a second or more, the longest first."""
    most = sorted(((s, kind) for kind, s in work.items() if s >= 1), reverse=True)
    return f" ({', '.join(f'{kind} {execute.clock(s)}' for s, kind in most)})" if most else ""


def _wanted(only: str | None) -> list[str]:
    if only is None:
        return list(STAGES)
    wanted, waiting = set(), [only]
    while waiting:
        stage = waiting.pop()
        wanted.add(stage)
        waiting += STAGES[stage].needs
    return [s for s in STAGES if s in wanted]


def lost(known: dict) -> list[Path]:
    """What a notebook wrote, by its manifest, and is missing now or was changed since."""
    paths = {store.ROOT / path: expected for path, expected in known["outputs"].items()}
    return [path for path, expected in paths.items() if not path.exists() or store.sha256(path) != expected]


def _up_to_date(stage: str, manifest: Path, key: str) -> bool:
    known = store.known_json(manifest)
    if known is None or known["key"] != key:
        return False
    if gone := lost(known):
        print(f"{stage}: {gone[0]} is missing or was changed, so it runs again")
    return not gone


def _note_provenance(folder: Path, stage: str, facts: dict) -> None:
    path = folder / "tables" / "provenance.json"
    known = store.read_json(path, "") if path.exists() else {}
    known = {name: of for name, of in known.items() if name in STAGES}  # a notebook may have had another name
    # A notebook that finds its run trained is quick; the longest time says what a fresh one takes.
    before = known.get(stage, {})
    if facts["seconds"] >= before.get("longest_seconds", 0):
        longest = {"longest_seconds": facts["seconds"], "longest_work": facts["work"]}
    else:
        longest = {name: before[name] for name in ("longest_seconds", "longest_work") if name in before}
    store.write_json(path, known | {stage: facts | longest})


def _expected(folder: Path, profile: str) -> dict[str, float]:
    """Seconds that each notebook took at most, here or in the committed tables of the profile."""
    for place in (folder, store.DATA / profile):
        path = place / "tables" / "provenance.json"
        if path.exists():
            known = store.read_json(path, "delete it")
            return {stage: facts.get("longest_seconds", facts["seconds"]) for stage, facts in known.items()}
    return {}


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = command_line(
        "helpers.running.reproduce",
        "Run the notebooks of a profile, each only if something that it depends on has changed.",
    )
    parser.add_argument("--only", choices=list(STAGES), help="this notebook and those it needs")
    parser.add_argument("--force", action="store_true", help="run notebooks that are up to date as well")
    parser.add_argument("--settings", action="store_true", help="print the settings that would be used, and stop")
    given = parser.parse_args(arguments)
    return exit_status(lambda: _bring(given), "stopped; the same command continues from the last finished epoch")


def _bring(given: argparse.Namespace) -> None:
    if given.settings:
        print(resolve(given.profile, given.set).model_dump_json(indent=1))
        return
    start = time.monotonic()
    ran = reproduce(given.profile, given.set, given.only, given.force)
    name = output_name(given.profile, given.set)
    took = f"in {execute.clock(time.monotonic() - start)}" if ran else "nothing to do"
    print(f"{took}: tables in data/{name}/tables, figures in figures/{name}, notebooks in data/{name}/notebooks")
    if given.only is None:
        print(f"report: data/{name}/report.html")


if __name__ == "__main__":
    sys.exit(main())
