"""Training runs on disk: what identifies one, how far it is, what it recorded.

A run is a folder under data/runs, named by the hash of all that fixes it: settings, data set, code. Any
profile or sweep that needs the same run finds it there.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

from helpers import fingerprint, store
from helpers.device import choose
from helpers.gpt import batches, records
from helpers.gpt import model as gpt
from helpers.profiles import reading_of
from helpers.rows import best_epoch
from helpers.settings import RunSettings, Settings, digest
from helpers.task import synthetic
from helpers.task.synthetic import Dataset

# Modules whose code is part of a run's identity.
CODE = ("gpt.train", "gpt.model", "gpt.batches", "gpt.observe", "gpt.records")


@dataclass(frozen=True)
class Run:
    """A training run on disk, finished or not."""

    settings: RunSettings
    dataset: Dataset
    folder: Path

    @property
    def name(self) -> str:
        """Short name for people: width, seed and identity."""
        return f"width {self.settings.model.hidden_dimension}, seed {self.settings.seed} ({self.folder.name})"

    @property
    def point(self) -> dict[str, int | str]:
        """The run's place in its grid, the first columns of its tables: width, seed and reading."""
        model = self.settings.model
        return {"width": model.hidden_dimension, "seed": self.settings.seed, "reading": reading_of(self.settings)}

    @property
    def progress(self) -> dict:
        """What progress.json says; raises store.ArtefactError if the run was never begun."""
        return store.read_json(
            self.folder / "progress.json", f"delete {self.folder} and run notebook 02 (make reproduce) to train it"
        )

    @property
    def epoch(self) -> int:
        """Epochs finished; -1 if the run was never begun."""
        return self.progress["epoch"] if (self.folder / "progress.json").exists() else -1

    @property
    def complete(self) -> bool:
        """Whether the run has reached the epoch at which its settings stop."""
        return self.epoch >= self.settings.training.last_epoch

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch: epoch, loss, output_loss, accuracy_subset, accuracy_validation, learning_rate, seconds."""
        frame = pd.DataFrame(self.progress["history"])
        return frame[frame["epoch"] <= self.settings.training.last_epoch]

    @property
    def logged_epochs(self) -> list[int]:
        """Epochs whose hidden states were recorded, up to the one at which the settings stop."""
        recorded = sorted(int(e) for e in self.progress["logged"])  # JSON has them as text, 10 before 9
        return [e for e in recorded if e <= self.settings.training.last_epoch]

    @property
    def best_epoch(self) -> int:
        """First epoch with the highest validation task accuracy: where the paper stops early."""
        return best_epoch(self.history)

    @cached_property
    def rows(self) -> dict[str, batches.Rows]:
        """The splits, ready to batch."""
        return batches.train_and_evaluation_rows(self.dataset)

    def record_path(self, epoch: int) -> Path:
        """File of a logged epoch."""
        return self.folder / "epochs" / f"{epoch:04d}.safetensors"

    def record(self, epoch: int) -> records.EpochRecord:
        """What was recorded at a logged epoch; raises store.ArtefactError if it was not, or the file was changed."""
        remedy = f"delete {self.folder} and run notebook 02 (make reproduce) to train it again"
        expected = self.progress["logged"].get(str(epoch))
        if expected is None:
            raise store.ArtefactError(f"{self.name} has no record of epoch {epoch}; it has {self.logged_epochs}")
        return records.load_record(store.check_file(self.record_path(epoch), expected, remedy))

    def model(self, which: str = "best"):
        """The transformers model at the best or the last epoch trained, float32, on the CPU, in evaluation mode.

        Where another call with a later training.stop_epoch has trained the run further, the best epoch is that until
        the one at which these settings stop, if some call stopped there.

        Raises:
            store.ArtefactError: the weights are lost or changed, or of an epoch after the one at which these settings
                stop.
        """
        entry = self.progress[which]
        if which == "best":
            entry = self.progress["stops"].get(str(self.settings.training.last_epoch), entry)
        epoch = entry.get("epoch", self.epoch)
        if epoch > self.settings.training.last_epoch:
            raise store.ArtefactError(
                f"{self.name} was trained further, and its {which} weights are of epoch {epoch}, after "
                f"training.stop_epoch={self.settings.training.last_epoch}; raise that, or delete {self.folder}"
            )
        path = store.check_file(self.folder / entry["file"], entry["sha256"], f"delete {self.folder} and train again")
        model = gpt.build(self.settings.model, len(self.dataset.vocabulary), seed=0)
        gpt.load_weights(model, load_file(path))
        return model.eval()


def open_run(settings: RunSettings, dataset: Dataset) -> Run:
    """The run that these settings, this data set and this code fix; it need not have begun.

    The precision counts as it is on this machine: a run made elsewhere is found with training.precision set. The device
    does not count by itself.
    """
    asked = settings.training
    fixed = asked.model_dump(mode="json", exclude={"stop_epoch", "device"})
    fixed["precision"] = choose(asked.precision, settings.model.hidden_dimension, asked.device).precision
    identity = digest(
        {
            "model": settings.model.model_dump(mode="json"),
            "training": fixed,
            "data": dataset.content,
            "code": fingerprint.of_code(*CODE),
        }
    )
    width, seed = settings.model.hidden_dimension, settings.seed
    return Run(settings, dataset, store.DATA / "runs" / f"w{width}-s{seed}-{identity}")


def open_grid(settings: Settings) -> list[Run]:
    """The runs of every width and seed, with their data sets.

    Raises:
        store.ArtefactError: a data set was never made, or a run has not reached its last epoch; says which.
    """
    found = []
    for one in settings.runs():
        run = open_run(one, synthetic.load(one.data))
        if not run.complete:
            raise store.ArtefactError(
                f"{run.folder} has {max(run.epoch, 0)} of {one.training.last_epoch} epochs; "
                f"run notebook 02 (make reproduce PROFILE={settings.profile}) to go on"
            )
        found.append(run)
    return found


def histories(runs: list[Run]) -> pd.DataFrame:
    """The history of every run, with its width and seed (training.csv)."""
    return pd.concat([run.history.assign(**run.point) for run in runs], ignore_index=True)


def best_epochs(runs: list[Run]) -> dict[int, dict[int, int]]:
    """The early-stopping epoch of every run: {width: {seed: epoch}}."""
    found: dict[int, dict[int, int]] = {}
    for run in runs:
        found.setdefault(run.point["width"], {})[run.point["seed"]] = run.best_epoch
    return found
