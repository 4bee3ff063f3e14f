"""The main job: run the notebooks, each when those it needs are done, and only if what it depends on has changed.

A notebook depends on its own cells, on the helper modules that it imports (comments and docstrings aside),
on the values of the settings listed here, and on the notebooks before it. All of that goes into one hash,
kept beside the executed notebook; equal hash and present outputs mean up to date, whatever the files' dates.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib
import psutil

from helpers import fingerprint, store, timing
from helpers.errors import Failed, Refused, exit_status
from helpers.profiles import command_line, output_name, resolve
from helpers.running import copies, execute
from helpers.running.board import Board, clock
from helpers.running.crew import Crew
from helpers.settings import Settings, digest
from helpers.tables import WHOLE

NOTEBOOKS = store.REPOSITORY / "notebooks"
GRID = ("widths", "seeds", "epochs_by_width")
MOST = 4  # notebooks side by side
MEMORY = 3 * 2**30  # bytes that one may need
UNKNOWN = 60.0  # seconds of a notebook that was never timed


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


def reproduce(
    profile: str, overrides: str = "", only: str | None = None, force: bool = False, together: int | None = None
) -> list[str]:
    """Bring the notebooks of a profile up to date; returns the names of those that ran.

    Args:
        profile, overrides: as for `profiles.resolve`.
        only: this notebook and those that it needs, and no other.
        force: run notebooks that are up to date as well.
        together: how many notebooks may run side by side; as many as this machine can hold by default.

    Raises:
        SettingsError: a profile or an override that cannot be.
        ArtefactError: another process does the same for this profile.
        NotebookError: notebooks that failed; all that do not need them have run.
    """
    settings = resolve(profile, overrides)
    folder = store.DATA / output_name(profile, overrides)
    with store.locked(folder / "logs"):
        job = Job(settings, folder, profile, overrides, force)
        began, together = time.monotonic(), together or _room()
        ran = job.run(_wanted(only), together)
        if ran == list(STAGES):
            _note_whole(folder, time.monotonic() - began, together)
        if only is None and (ran or not (folder / "report.html").exists()):
            from helpers.verdict import page  # takes seconds to import

            page.write(profile, overrides)
    return ran


def _room() -> int:
    """How many notebooks this machine can run side by side, by its cores and free memory; device.cores loads torch."""
    return max(1, min(MOST, joblib.cpu_count(), int(psutil.virtual_memory().available / MEMORY)))


@dataclass
class Job:
    """The notebooks of a profile, run as soon as those that they need are up to date."""

    settings: Settings
    folder: Path
    profile: str
    overrides: str
    force: bool

    def __post_init__(self) -> None:
        self.keys = keys(self.settings, self.folder)
        self.expected = _expected(self.folder, self.profile)

    def run(self, wanted: list[str], together: int) -> list[str]:
        """Bring these notebooks up to date, several side by side; returns the names of those that ran.

        Raises:
            NotebookError: some failed; the others have run.
        """
        waiting, ran, failed = list(wanted), [], {}
        with Board(lambda running: self._left(waiting, running, together)) as board, Crew(together) as crew:
            while waiting or crew.running:
                for stage in self._ready(waiting, crew.running, failed):
                    if not self.force and _up_to_date(stage, self._manifest(stage), self.keys[stage], board.say):
                        board.say(f"{stage}: up to date")
                        waiting.remove(stage)
                        break  # others may be ready now
                    if crew.has_room:
                        waiting.remove(stage)
                        self._begin(stage, crew, board)
                else:
                    if not crew.running:
                        break  # what waits needs what failed
                    ended = crew.wait()
                    if ended.error:
                        failed[ended.name] = ended.error
                        board.end(ended.name, "failed")
                    else:
                        board.end(ended.name, self._note(ended.name, ended.value))
                        ran.append(ended.name)
        if failed:
            raise _all_of(failed, waiting)
        return [stage for stage in STAGES if stage in ran]

    def _ready(self, waiting: list[str], running: list[str], failed: dict) -> list[str]:
        """Those whose needs are met, the ones first on which most work waits."""
        unmet = {*waiting, *running, *failed}
        ready = [stage for stage in waiting if not unmet & set(STAGES[stage].needs)]
        return sorted(ready, key=lambda stage: -self._chain(stage, set(waiting)))

    def _chain(self, stage: str, among: set[str]) -> float:
        """Seconds of the longest chain of notebooks that begins with this one."""
        after = [self._chain(s, among) for s in among if stage in STAGES[s].needs]
        return self.expected.get(stage, UNKNOWN) + max(after, default=0)

    def _left(self, waiting: list[str], running: dict[str, float], together: int) -> float | None:
        """Seconds that are left, where all that waits has been timed before."""
        among = [*waiting, *running]
        if not all(stage in self.expected for stage in among):
            return None
        rest = {stage: self.expected[stage] - running.get(stage, 0) for stage in among}
        chains = [self._chain(stage, set(among)) - running.get(stage, 0) for stage in among]
        return max(sum(max(s, 0) for s in rest.values()) / together, *chains, 0)

    def _manifest(self, stage: str) -> Path:
        return self.folder / "notebooks" / f"{stage}.json"

    def _begin(self, stage: str, crew: Crew, board: Board) -> None:
        self._manifest(stage).unlink(missing_ok=True)
        board.begin(stage, self.folder / "logs" / f"{stage}.log", self.expected.get(stage))
        crew.start(stage, _run, stage, self.folder, {"profile": self.profile, "overrides": self.overrides})

    def _note(self, stage: str, facts: dict) -> str:
        """Write down what made a notebook's results; returns what to say of it."""
        facts |= {"key": self.keys[stage], "seeds": list(self.settings.seeds), **store.provenance()}
        store.write_json(self._manifest(stage), {"outputs": _outputs(self.folder, stage, facts), **facts})
        _note_provenance(self.folder, stage, facts)
        return f"done in {clock(facts['seconds'])}{_in_words(facts['work'])}"


def _all_of(failed: dict[str, Exception], waiting: list[str]) -> Exception:
    """One error for all that failed, with what was not run for that; an error of ours that came alone is itself."""
    for error in failed.values():
        if not isinstance(error, (Failed, Refused)):
            raise error
    said = [str(error) for error in failed.values()]
    return execute.NotebookError("\n".join([*said, *([f"not run: {', '.join(waiting)}"] if waiting else [])]))


def _run(stage: str, folder: Path, parameters: dict) -> dict:
    """Run one notebook; seconds that it took, and seconds of each kind of work in all of its processes."""
    with timing.collected(folder / "logs" / f"{stage}.work") as work:
        seconds = execute.run(
            NOTEBOOKS / f"{stage}.ipynb",
            folder / "notebooks" / f"{stage}.ipynb",
            folder / "logs" / f"{stage}.log",
            parameters,
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
    return f" ({', '.join(f'{kind} {clock(s)}' for s, kind in most)})" if most else ""


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


def _up_to_date(stage: str, manifest: Path, key: str, say: Callable[[str], None]) -> bool:
    known = store.known_json(manifest)
    if known is None or known["key"] != key:
        return False
    if gone := lost(known):
        say(f"{stage}: {gone[0]} is missing or was changed, so it runs again")
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


def _note_whole(folder: Path, seconds: float, together: int) -> None:
    """Write down how long all notebooks took, so many side by side: the longest time is that of a run from nothing."""
    path = folder / "tables" / WHOLE
    known = store.read_json(path, "delete it") if path.exists() else {"seconds": 0.0}
    if seconds >= known["seconds"]:
        store.write_json(path, {"seconds": round(seconds, 1), "together": together, "commit": store.commit()})


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
    parser.add_argument(
        "--together", type=int, metavar="N", help="notebooks side by side (default: by cores and memory)"
    )
    parser.add_argument("--settings", action="store_true", help="print the settings that would be used, and stop")
    given = parser.parse_args(arguments)
    return exit_status(lambda: _bring(given), "stopped; the same command continues from the last finished epoch")


def _bring(given: argparse.Namespace) -> None:
    if given.settings:
        print(resolve(given.profile, given.set).model_dump_json(indent=1))
        return
    start = time.monotonic()
    ran = reproduce(given.profile, given.set, given.only, given.force, given.together)
    name = output_name(given.profile, given.set)
    took = f"in {clock(time.monotonic() - start)}" if ran else "nothing to do"
    print(f"{took}: tables in data/{name}/tables, figures in figures/{name}, notebooks in data/{name}/notebooks")
    if given.only is None:
        print(f"report: data/{name}/report.html")


if __name__ == "__main__":
    sys.exit(main())
