"""The notebooks of one profile, run side by side: what runs next, what each of them wrote, and how long it took."""

from dataclasses import dataclass
from pathlib import Path

from helpers import store, timing
from helpers.errors import Failed, Refused
from helpers.running import copies, execute
from helpers.running.board import Board, clock
from helpers.running.crew import Crew
from helpers.running.stages import NOTEBOOKS, STAGES, keys, up_to_date
from helpers.settings import Settings, digest

UNKNOWN = 60.0  # seconds of a notebook that was never timed


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
                    if not self.force and up_to_date(stage, self._manifest(stage), self.keys[stage], board.say):
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
        _note_provenance(self.folder, stage, facts, self.settings)
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


def _note_provenance(folder: Path, stage: str, facts: dict, settings: Settings) -> None:
    """Write down what made a notebook's results, and the longest time that it took.

    A notebook that finds its run trained is quick; the longest time says what a fresh one takes. Times of other
    settings, such as more epochs, are forgotten.
    """
    path, mine = folder / "tables" / "provenance.json", digest(settings.model_dump(mode="json"))
    known = store.read_json(path, "") if path.exists() else {}
    before = known.get(stage, {})
    longest = {name: before.get(name) for name in ("longest_seconds", "longest_work", "longest_settings")}
    if longest["longest_settings"] != mine or facts["seconds"] >= longest["longest_seconds"]:
        longest = {"longest_seconds": facts["seconds"], "longest_work": facts["work"], "longest_settings": mine}
    store.write_json(path, known | {stage: facts | longest})


def _expected(folder: Path, profile: str) -> dict[str, float]:
    """Seconds that each notebook took at most, here or in the committed tables of the profile."""
    for place in (folder, store.DATA / profile):
        path = place / "tables" / "provenance.json"
        if path.exists():
            known = store.read_json(path, "delete it")
            return {stage: facts.get("longest_seconds", facts["seconds"]) for stage, facts in known.items()}
    return {}
