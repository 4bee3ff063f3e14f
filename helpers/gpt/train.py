"""Training from scratch (section 3.1, Table 4), resumable to the bit, recording hidden states on the way.

A checkpoint ends by replacing `progress.json`, which names the files that belong to it; whatever a killed
process left half-done is not named there and is overwritten. Dropout and order draw from generators seeded
by (order_seed, epoch), so no random state needs saving. Every epoch has its checkpoint, unless that would take
a large part of the time, as with wide models on a GPU; after a kill the epochs since the last one are trained
again, to the same bits.

Within an epoch nothing waits for a GPU: batches are there before they are used, and the loss is read at the end. Its
steps are CUDA graphs (gpt/graphs.py), since launching a step's many small kernels one by one takes longer than they do.
"""

import contextlib
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from helpers import store, timing
from helpers.device import Device, choose, keep_freed_memory
from helpers.errors import Failed
from helpers.gpt import batches, observe, records
from helpers.gpt import model as gpt
from helpers.gpt.graphs import StepGraphs
from helpers.gpt.runs import Run, open_run
from helpers.settings import RunSettings
from helpers.tables import SPLITS
from helpers.task.synthetic import Dataset

QUICK = 0.5  # seconds; a checkpoint that takes no longer is written after every epoch
SHARE = 0.1  # of the time, for checkpoints that take longer


class TrainingError(Failed):
    """A run that cannot start or go on; the message names the run, the cause and the remedy."""


def train(settings: RunSettings, dataset: Dataset, where: Device | None = None, progress=tqdm) -> Run:
    """Train until settings.training.last_epoch, from where an earlier call stopped.

    Args:
        where: device and precision; chosen by settings.training.precision and .device if None.
        progress: makes a progress bar over epochs, as tqdm does.

    Raises:
        TrainingError: the run's manifest tells of other settings than its name, or the loss diverged.
        store.ArtefactError: an artefact is missing, changed or cannot be written.
        Refused: this machine lacks the device that is asked for.
    """
    run = open_run(settings, dataset)
    if run.complete:
        return run
    asked = settings.training
    with store.locked(run.folder):
        _train(run, where or choose(asked.precision, settings.model.hidden_dimension, asked.device), progress)
    return run


def _train(run: Run, where: Device, progress) -> None:
    _begin(run, where)
    keep_freed_memory()
    trainer = _Trainer(run, where)
    first = trainer.restore()
    last = run.settings.training.last_epoch
    bar = progress(range(first, last + 1), initial=first, total=last + 1, desc=f"training {run.name}", unit="epoch")
    for epoch in bar:
        row = trainer.epoch(epoch)
        if hasattr(bar, "set_postfix_str"):
            bar.set_postfix_str(f"loss {row['loss']:.3f}, validation accuracy {row['accuracy_validation']:.3f}")


class _Trainer:
    """Model, optimiser and the files of one run."""

    def __init__(self, run: Run, where: Device) -> None:
        self.run, self.where, self.settings = run, where, run.settings.training
        self.vocabulary_size = len(run.dataset.vocabulary)
        model = gpt.build(run.settings.model, self.vocabulary_size, self.settings.init_seed)
        self.model = model.to(where.device).train()
        s = self.settings
        cuda = where.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=torch.tensor(s.learning_rate, device=where.device) if cuda else s.learning_rate,
            betas=(s.beta1, s.beta2),
            weight_decay=s.weight_decay,
            fused=True,
            capturable=cuda,
        )
        self.half = gpt.HalfWeights(self.model) if where.bfloat16 and where.device.type == "cpu" else None
        self.generator = torch.Generator(where.device)
        self.graphs = None
        if cuda:
            self._begin_moments()
            self.graphs = StepGraphs(self._losses, self._update, self._forget, self.generator)
        self.steps = math.ceil(run.rows["train"].inputs.size / s.batch_size)
        self.saved = {"epoch": -1, "history": [], "logged": {}, "best": None, "last": None, "stops": {}}
        self.best: dict[str, torch.Tensor] = {}  # weights of the best epoch, where no checkpoint has them yet
        self.saved_at, self.cost = time.perf_counter(), 0.0  # of the last checkpoint, and the seconds that it took

    def restore(self) -> int:
        """Load the last checkpoint, if there is one; returns the epoch to do next."""
        if self.run.epoch < 0:
            return 0
        self.saved = self.run.progress
        entry = self.saved["last"]
        remedy = f"delete {self.run.folder} to train again from the start"
        tensors = load_file(store.check_file(self.run.folder / entry["file"], entry["sha256"], remedy))
        gpt.load_weights(self.model, tensors)
        for name, parameter in self.model.named_parameters():
            if f"exp_avg.{name}" in tensors:
                self.optimizer.state[parameter] = {
                    "step": tensors["step"].clone().to(parameter.device),  # each counts by itself
                    "exp_avg": tensors[f"exp_avg.{name}"].to(parameter.device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(parameter.device),
                }
        if self.half:
            self.half.begin_step()
        return self.saved["epoch"] + 1

    def epoch(self, epoch: int) -> dict:
        """One epoch (0: the untrained model is measured, not trained); returns its row of the history."""
        start = time.perf_counter()
        with timing.timed("training"):
            loss, output_loss = self._pass(epoch)
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self.run.name}: the loss diverged in epoch {epoch}; epochs up to {self.run.epoch} are kept. "
                f"Lower training.learning_rate={self.settings.learning_rate:g} or set training.precision=float32"
            )
        with timing.timed("recording"):
            seen, logged = self._observed(epoch)
        row = {
            "epoch": epoch,
            "loss": loss,
            "output_loss": output_loss,
            "accuracy_subset": float(seen["subset"].correct.mean()),
            "accuracy_validation": float(seen["validation"].correct.mean()),
            "learning_rate": self._learning_rate(epoch * self.steps),
            "seconds": time.perf_counter() - start,
        }
        self._note(epoch, row, logged)
        if self._checkpoint_is_due(epoch):
            with timing.timed("checkpoints"):
                self._save(epoch)
        return row

    def _observed(self, epoch: int) -> tuple[dict[str, observe.Observation], str | None]:
        """What the model does on both evaluation sets, and the hash of its record if the epoch is logged."""
        rows = self.run.rows
        if not self.settings.is_logged(epoch):
            return {name: observe.observe(self.model, rows[name], self.where, self.half) for name in SPLITS}, None
        kept = records.record(self.model, rows, self.settings.neighbours, self.vocabulary_size, self.where, self.half)
        path = self.run.record_path(epoch)
        records.save_record(path, kept)
        return {name: getattr(kept, name) for name in SPLITS}, store.sha256(path)

    def _pass(self, epoch: int) -> tuple[float, float]:
        """Train for one epoch, or measure the loss at epoch 0; mean (loss, output loss) over its steps."""
        rows = self.run.rows["train"]
        self.generator.manual_seed(_seed(self.settings.order_seed, epoch))
        s = self.settings
        order = batches.epoch_order(rows, s.batch_size, s.order_seed, epoch, s.batches == "instructions")
        totals = torch.zeros(2, device=self.where.device)
        self.model.train(epoch > 0)
        made = batches.ahead(rows, order, self.where.device, fixed=self.graphs is not None)
        with torch.no_grad() if epoch == 0 else contextlib.nullcontext():
            for i, batch in enumerate(made):
                totals += batch.outputs.numel() * self._step(batch, (epoch - 1) * self.steps + i)
        self.model.train()
        if self.half:  # what is observed next sees the last update
            self.half.begin_step()
        loss, output_loss = (totals / rows.inputs.size).tolist()
        return loss, output_loss

    def _step(self, batch: batches.Batch, step: int) -> torch.Tensor:
        """Loss and output loss (2,) of a batch; in training mode, one update as well."""
        if not self.model.training:
            return self._losses(batch)
        self._set_rate(self._learning_rate(step))
        if self.graphs:
            return self.graphs.step(batch)
        self._forget()
        found = self._losses(batch)
        self._update()
        return found

    def _forget(self) -> None:
        """Forget the gradients of the last step."""
        if self.half:
            self.half.begin_step()
        else:
            self.optimizer.zero_grad(set_to_none=True)

    def _losses(self, batch: batches.Batch) -> torch.Tensor:
        """Loss and output loss (2,) of a batch; in training mode, the gradients as well."""
        with observe.autocast(self.where):
            output = gpt.forward(self.model, batch, self.generator, half=self.half)
            logits = gpt.logits(self.model, output.hidden[batch.predictors])
        loss, output_loss = losses(logits, batch)
        if self.model.training:
            (loss if self.settings.loss_on == "sequence" else output_loss).backward()
        return torch.stack([loss.detach(), output_loss.detach()])

    def _update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_gradient_norm)
        self.optimizer.step()

    def _set_rate(self, rate: float) -> None:
        (group,) = self.optimizer.param_groups
        if isinstance(group["lr"], torch.Tensor):  # a graph reads it where it stands
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def _begin_moments(self) -> None:
        """What AdamW makes in its first step, which must be there before a graph is recorded."""
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                self.optimizer.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }

    def _learning_rate(self, step: int) -> float:
        """Cosine annealing from the learning rate to zero over all epochs, step by step (Table 4)."""
        progress = min(step / (self.settings.number_of_epochs * self.steps), 1.0)
        return 0.5 * self.settings.learning_rate * (1 + math.cos(math.pi * progress))

    def _note(self, epoch: int, row: dict, logged: str | None) -> None:
        """What the next checkpoint will say of the epoch; `logged` is the hash of its record, if it has one."""
        old, accuracy = self.saved, row["accuracy_validation"]
        best = old["best"]
        if best is None or accuracy > best["accuracy_validation"]:
            best = {"epoch": epoch, "accuracy_validation": accuracy}
            self.best = {name: weight.clone() for name, weight in _weights(self.model).items()}
        if logged and self.settings.keep_checkpoints:
            _save_tensors(self.run.folder, f"checkpoints/epoch-{epoch:04d}.safetensors", _weights(self.model))
        self.saved = {
            "epoch": epoch,
            "history": [*old["history"], row],
            "logged": old["logged"] | ({str(epoch): logged} if logged else {}),
            "best": best,
            "last": old["last"],
            "stops": old["stops"],
        }

    def _checkpoint_is_due(self, epoch: int) -> bool:
        """After the last epoch, and every one if checkpoints are quick; else so that they take SHARE of the time."""
        wait = self.cost / SHARE if self.cost > QUICK else 0.0
        return epoch >= self.settings.last_epoch or time.perf_counter() - self.saved_at >= wait

    def _save(self, epoch: int) -> None:
        """Write a checkpoint of this epoch, and the best epoch's weights where they are not on disk.

        Of each epoch at which a call stopped, the best weights until then are kept: who asks for no more finds them.
        """
        start, folder = time.perf_counter(), self.run.folder
        moments = {}
        for name, parameter in self.model.named_parameters():
            if state := self.optimizer.state.get(parameter):
                moments |= {
                    "step": state["step"],
                    f"exp_avg.{name}": state["exp_avg"],
                    f"exp_avg_sq.{name}": state["exp_avg_sq"],
                }
        last = _save_tensors(folder, f"checkpoints/last-{epoch:04d}.safetensors", _weights(self.model) | moments)
        best = self.saved["best"]
        if self.best:
            best |= _save_tensors(folder, f"checkpoints/best-{best['epoch']:04d}.safetensors", self.best)
            self.best = {}
        stops = {str(epoch): dict(best)} if epoch >= self.settings.last_epoch else {}
        self.saved |= {"last": last, "stops": self.saved["stops"] | stops}
        store.write_json(folder / "progress.json", self.saved)
        current = {last["file"], best["file"], *(stop["file"] for stop in self.saved["stops"].values())}
        for path in (folder / "checkpoints").glob("*.safetensors"):
            if not path.name.startswith("epoch-") and f"checkpoints/{path.name}" not in current:
                path.unlink()
        self.saved_at = time.perf_counter()
        self.cost = self.saved_at - start


def losses(logits: torch.Tensor, batch: batches.Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss over whole sequences, loss over outputs alone), as means over the instances' predicted tokens.

    Args:
        logits: (T, V) at `batch.predictors`.
    """
    each = F.cross_entropy(logits, batch.targets, reduction="none")  # (T,)
    outputs = batch.outputs.numel()  # the last of the T predictions are those of the outputs
    return (each * batch.weights).sum() / batch.weights.sum(), each[-outputs:].mean()


def _begin(run: Run, where: Device) -> None:
    """Write the run's manifest, or check that it was begun the same way."""
    if where.bfloat16 and where.device.type not in ("cpu", "cuda"):
        raise TrainingError(
            f"training in bfloat16 is not written for {where.device.type}: set training.precision=float32"
        )
    path = run.folder / "manifest.json"
    settings = run.settings.model_dump(mode="json")
    if not path.exists():
        facts = {"settings": settings, "data": run.dataset.content, "precision": where.precision, "reason": str(where)}
        store.write_json(path, facts | store.provenance())
        return
    begun = store.read_json(path, f"delete {run.folder} to train again")
    if begun["precision"] != where.precision:
        raise TrainingError(f"{run.folder} was begun in {begun['precision']} and cannot go on in {where.precision}")
    for section in ("model", "training"):
        for name, value in settings[section].items():
            was = begun["settings"][section].get(name, value)
            if was != value and name not in ("stop_epoch", "precision", "device"):
                raise TrainingError(
                    f"{run.folder} was begun with {section}.{name}={was}, not {value}: "
                    "its manifest was changed; restore it, or delete the folder to start again"
                )


def _weights(model) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}  # tied weights appear once


def _save_tensors(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> dict:
    with store.replacing(folder / name) as temporary:
        save_file({k: t.cpu().contiguous() for k, t in tensors.items()}, temporary)
    return {"file": name, "sha256": store.sha256(folder / name)}


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
