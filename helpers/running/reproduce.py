"""The main job: bring a profile's notebooks up to date, and put all of it on one page."""

import argparse
import sys
import time
from pathlib import Path

import joblib
import psutil

from helpers import store
from helpers.errors import exit_status
from helpers.profiles import command_line, count, output_name, resolve
from helpers.running.board import clock
from helpers.running.job import Job
from helpers.running.stages import STAGES, wanted
from helpers.settings import Settings, SettingsError, digest
from helpers.tables import WHOLE

MOST = 4  # notebooks side by side
MEMORY = 3 * 2**30  # bytes that one may need


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
        Refused: this machine lacks a device that is asked for, or words for the probe are not there.
        ArtefactError: another process does the same for this profile.
        NotebookError: notebooks that failed; all that do not need them have run.
    """
    settings = resolve(profile, overrides)
    _refuse_late_failures(settings)
    folder = store.DATA / output_name(profile, overrides)
    with store.locked(folder / "logs"):
        job = Job(settings, folder, profile, overrides, force)
        began, together = time.monotonic(), together or _room()
        ran = job.run(wanted(only), together)
        if ran == list(STAGES):
            _note_whole(settings, folder, time.monotonic() - began, together)
        if only is None and (ran or not (folder / "report.html").exists()):
            from helpers.verdict import report  # takes seconds to import

            report.write(profile, overrides)
    return ran


def _refuse_late_failures(settings: Settings) -> None:
    """Refuse what only a later notebook would meet. What the profile leaves at its default is not looked at, for torch
    takes seconds to load, and with nothing to do this job takes one."""
    clustering, probe, usual = settings.clustering, settings.probe, resolve(settings.profile).probe
    if missing := [space for space in Settings().clustering.spaces if space not in clustering.spaces]:
        raise SettingsError(
            f"clustering.spaces={','.join(clustering.spaces)}: the notebooks compare these with {' and '.join(missing)}"
            "; leave clustering.spaces out (make sweep takes fewer)"
        )
    for asked in {settings.training.device, probe.device} - {"auto", "cpu"}:
        from helpers import device

        device.choose(device=asked)
    if probe.model_copy(update={"device": usual.device}) != usual:
        from helpers.pretrained import natural

        tasks = natural.load(store.located(probe.data) if probe.data else natural.FOLDER)
        natural.draw(tasks, probe.pairs_per_task, probe.instructions_per_task, probe.seed)


def _room() -> int:
    """How many notebooks this machine can run side by side, by its cores and free memory; device.cores loads torch."""
    return max(1, min(MOST, joblib.cpu_count(), int(psutil.virtual_memory().available / MEMORY)))


def _note_whole(settings: Settings, folder: Path, seconds: float, together: int) -> None:
    """Write down how long all notebooks took, so many side by side, on this kind of processor.

    The longest time is that of a run from nothing. Times of other settings, such as more epochs, are forgotten.
    """
    from helpers.device import processor  # loads torch

    path, kind, mine = folder / "tables" / WHOLE, processor()["instructions"], digest(settings.model_dump(mode="json"))
    every = store.read_json(path, "delete it") if path.exists() else {}
    known = {name: facts for name, facts in every.items() if facts.get("settings") == mine}
    if seconds >= known.get(kind, {"seconds": 0.0})["seconds"]:
        this = {"seconds": round(seconds, 1), "together": together, "settings": mine, "commit": store.commit()}
        store.write_json(path, known | {kind: this})


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = command_line(
        "helpers.running.reproduce",
        "Run the notebooks of a profile, each only if something that it depends on has changed.",
    )
    parser.add_argument("--only", choices=list(STAGES), help="this notebook and those it needs")
    parser.add_argument("--force", action="store_true", help="run notebooks that are up to date as well")
    parser.add_argument(
        "--together", type=count, metavar="N", help="notebooks side by side (default: by cores and memory)"
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
