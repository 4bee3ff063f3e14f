"""Runs and probes on disk, found and opened for the explorer."""

from pathlib import Path

from pydantic import ValidationError

from helpers import store
from helpers.explorer.probe_source import ProbeSource
from helpers.explorer.run_source import RunSource
from helpers.explorer.source import Source
from helpers.gpt.runs import Run
from helpers.pretrained.probe import open_probe
from helpers.settings import RunSettings
from helpers.task import synthetic

NOTHING = "nothing to explore under {folder}: `make reproduce` trains the paper's model (PROFILE=smoke takes minutes)"


def open_folder(folder: Path) -> Source:
    """The source in a folder under data/runs or data/probes.

    Raises:
        store.ArtefactError: something is missing, or was made by another version; the message has the remedy.
    """
    folder = Path(folder)
    if not (folder / "manifest.json").exists():
        raise store.ArtefactError(f"{folder} is no run and no probe: it has no manifest.json; `newest()` lists some")
    manifest = store.read_json(folder / "manifest.json", f"delete {folder}")
    if "settings" in manifest:
        return _open_run(folder, manifest)
    return ProbeSource([open_probe(folder)])


def _open_run(folder: Path, manifest: dict) -> RunSource:
    again = "train it again (make reproduce), or look at it with the version that made it"
    try:
        settings = RunSettings(**manifest["settings"])
    except ValidationError as error:
        first = error.errors()[0]
        raise store.ArtefactError(
            f"{folder} was made with settings that this version does not know "
            f"({'.'.join(map(str, first['loc']))}: {first['msg']}); {again}"
        ) from None
    try:
        dataset = synthetic.load(settings.data)
    except store.ArtefactError:
        dataset = synthetic.generate(settings.data)  # a second's work, and checked below
    if dataset.content != manifest["data"]:
        raise store.ArtefactError(f"{folder} was trained on data that this version no longer draws; {again}")
    return RunSource(Run(settings, dataset, folder))


def found_folders() -> list[Path]:
    """Folders of runs and probes that recorded something, the newest first."""
    begun = [*store.DATA.glob("runs/*/progress.json"), *store.DATA.glob("probes/*/progress.json")]
    recorded = [p for p in begun if p.parent.parent.name == "probes" or (store.known_json(p) or {}).get("logged")]
    return [p.parent for p in sorted(recorded, key=lambda p: p.stat().st_mtime, reverse=True)]


def newest(kind: str = "runs") -> Source:
    """The run (or probe, with kind="probes") that was worked on last.

    Raises:
        store.ArtefactError: there is none; the message has the command that makes one.
    """
    for folder in found_folders():
        if folder.parent.name == kind:
            return open_folder(folder)
    raise store.ArtefactError(NOTHING.format(folder=store.DATA / kind))
