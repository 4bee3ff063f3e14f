"""Hidden states of any causal language model at the input word of natural instructions, on disk (section 3.4).

What an interrupted probe finished is kept, a part of the instructions at a time. Before the work, `trial` finds out how
the model can be observed rightly; that goes into the manifest, and every part is made the same way.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from helpers import fingerprint, store
from helpers.pretrained import answers
from helpers.pretrained.failures import ModelError, ModelFailed, is_out_of_memory
from helpers.pretrained.loading import Loaded
from helpers.pretrained.observe import PLAIN, Way, observe_rows
from helpers.pretrained.prompts import Prompts, Row, shared_rows, tokenise
from helpers.pretrained.trial import check_numbers, single, spread, try_out
from helpers.settings import PROMPT, digest

TOKENS_PER_BATCH = 2048
# Modules whose code fixes a probe's states and answers.
CODE = tuple(f"pretrained.{name}" for name in ("loading", "prompts", "observe", "trial", "answers", "probe"))
INSTANCES = "instances.parquet"
AGAIN = "delete its folder and probe the model again (make probe, or notebook 05)"
PART = 50  # instructions kept on disk at a time


@dataclass(frozen=True)
class Probe:
    """The recorded states of one model on a set of instances, on disk.

    Attributes:
        folder: holds manifest.json and part-*.safetensors.
        instances: what was observed, one row an instance.
        manifest: model, revision, template, layers, whether prefixes were shared, what made it.
    """

    folder: Path
    instances: pd.DataFrame
    manifest: dict

    @cached_property
    def parts(self) -> list[Path]:
        """Files of the states; raises store.ArtefactError where one is missing or was changed."""
        done = store.read_json(self.folder / "progress.json", AGAIN)
        return [store.check_file(path, done.get(path.name, ""), AGAIN) for path in _parts(self.folder, self.instances)]

    @property
    def layers(self) -> int:
        """Number of layers, 0 included: the embedding output, or the first block's where manifest has no embedding."""
        return self.manifest["layers"]

    def states(self, layer: int) -> np.ndarray:
        """(K, D) float32 states of one layer at the last token of the inputs."""
        parts, width = [], self.manifest["widths"][layer]
        for path in self.parts:
            with safe_open(path, "np") as file:
                scale = file.get_tensor("scale")[layer]
                parts.append(file.get_slice("states")[layer][:, :width].astype(np.float32) * scale)
        return np.concatenate(parts)

    def solved(self) -> np.ndarray:
        """(K,) whether the model solves an instance, by the manifest's `solved`: see answers."""
        return np.concatenate([load_file(path)["solved"] for path in self.parts])


def observe(
    model: Loaded,
    instances: pd.DataFrame,
    template: str = PROMPT,
    solved: str = "first",
    layers: list[int] | None = None,
    progress=tqdm,
) -> Probe:
    """Record the states and answers of a model on every instance; what an earlier call finished is kept.

    Args:
        model: from loading.load.
        instances: from natural.draw.
        template: see prompts.tokenise.
        solved: first or full; see answers.
        layers: that the caller needs; a model that lacks one is refused before the work.
        progress: makes a progress bar, as tqdm does.

    Raises:
        ModelError: the model cannot be observed rightly on these prompts, a template cannot be used, or a layer that
            it does not have.
        ModelFailed: no memory even for one instruction at a time.
    """
    content = instances[["instruction", "input", "output"]].to_csv(index=False)
    made_by = [model.identity, content, template, solved, fingerprint.of_code(*CODE)]
    folder = store.DATA / "probes" / f"{Path(model.name).name}-{digest(made_by)}"
    prompts = tokenise(model.tokenizer, instances, template)
    expected = answers.expect(model.tokenizer, prompts, instances["output"].tolist(), solved)
    groups = [g.to_numpy() for _, g in instances.reset_index(drop=True).groupby("instruction_id").groups.items()]
    manifest, remedy = folder / "manifest.json", f"delete {folder} and probe again"
    with store.locked(folder), torch.inference_mode():
        if not manifest.exists():
            with store.replacing(folder / INSTANCES) as temporary:
                instances.to_parquet(temporary)
            _begin(manifest, model, prompts, groups, template, expected)
        facts = store.read_json(manifest, remedy)
        if layers and not all(0 <= n < facts["layers"] for n in layers):
            raise ModelError(f"layers {layers}: {model.name} has layers 0 to {facts['layers'] - 1}")
        done = store.read_json(folder / "progress.json", remedy) if (folder / "progress.json").exists() else {}
        work = _Work(model, Way(**facts["way"]), prompts, expected, facts["rounding_error"])
        with progress(total=len(instances), desc=f"probing {model.name}", unit="prompt") as bar:
            for first, path in enumerate(_parts(folder, instances)):
                part = groups[first * PART : (first + 1) * PART]
                if path.name not in done or not path.exists():
                    _write(path, *work.observe(part))
                    done[path.name] = store.sha256(path)
                    store.write_json(folder / "progress.json", done)
                else:
                    store.check_file(path, done[path.name], remedy)
                bar.update(sum(map(len, part)))
    return Probe(folder, instances, facts)


def open_probe(folder: Path) -> Probe:
    """The probe in a folder, whole.

    Raises:
        store.ArtefactError: it is missing, unfinished, or an older version made it.
    """
    manifest = store.read_json(folder / "manifest.json", AGAIN)
    instances = pd.read_parquet(store.check_file(folder / INSTANCES, manifest.get("instances", ""), AGAIN))
    if missing := [path for path in _parts(folder, instances) if not path.exists()]:
        raise store.ArtefactError(f"{missing[0]} is missing: the probe was not finished; {AGAIN}")
    return Probe(folder, instances, manifest)


def _begin(
    manifest: Path, model: Loaded, prompts: Prompts, groups: list, template: str, expected: answers.Expected
) -> None:
    """Find out how the model is observed rightly, and write down how this probe is made."""
    found = try_out(model, prompts, groups, room=expected.tokens)
    print(f"{type(model.whole).__name__}: {found}")
    if expected.untold:
        print(f"{expected.untold} of {len(prompts.tokens)} answers cannot be written by this tokenizer: never solved")
    facts = {
        "model": model.name,
        "instances": store.sha256(manifest.with_name(INSTANCES)),
        "revision": model.revision,
        "computed": model.reason,
        "template": template,
        "solved": expected.mode,
        "layers": len(found.widths),
        "widths": found.widths,
        "way": asdict(found.way),
        "sharing_error": found.sharing if np.isfinite(found.sharing) else None,
        "rounding_error": found.rounding,
        "embedding": found.embedding,
    }
    store.write_json(manifest, facts | store.provenance())


class _Work:
    """Observes parts of a probe; remembers how large a batch fitted into memory."""

    def __init__(self, model: Loaded, way: Way, prompts: Prompts, expected: answers.Expected, rounding: float) -> None:
        self.model, self.way, self.prompts, self.expected = model, way, prompts, expected
        # The RMS difference from a plain pass that a state may have, in standard deviations of its layer.
        self.most = max(10 * rounding, 1e-3)
        self.budget = TOKENS_PER_BATCH

    def observe(self, groups: list[np.ndarray]) -> tuple[torch.Tensor, np.ndarray]:
        """States (layers, M, D) in float32 and solved (M,) of the prompts of some instructions, in their order.

        Layers narrower than the widest are filled up with zeros.
        """
        order, found = self._in_batches(self.prompts, groups, self._states_and_tokens)
        widest = max(h.shape[-1] for h in found[0][0])
        layers = [
            torch.cat([torch.nn.functional.pad(h, (0, widest - h.shape[-1])) for h in layer]).float()
            for layer in zip(*(states for states, _ in found), strict=True)
        ]
        first = np.concatenate([tokens for _, tokens in found])
        chosen = np.sort(np.concatenate(groups))
        back = _places(order, chosen)
        solved = answers.solve(
            self.model.tokenizer, self.expected, chosen, first[back], partial(self._next_tokens, groups)
        )
        states = torch.stack(layers)[:, back]
        self._check_one(states, chosen)
        return states, solved

    def _check_one(self, states: torch.Tensor, chosen: np.ndarray) -> None:
        """Run the longest of some prompts alone, without batching: raises where the trial met no such fault."""
        place = int(np.argmax([len(self.prompts.tokens[i]) for i in chosen]))
        plain = observe_rows(self.model, PLAIN, [single(self.prompts, int(chosen[place]))]).states
        for layer, (ours, theirs) in enumerate(zip(states, plain, strict=True)):
            own = ours[:, : theirs.shape[-1]]
            error = float((own[place] - theirs[0].float()).pow(2).mean().sqrt()) / spread(own, self.model.dtype)
            if error > self.most:
                raise ModelError(
                    f"{self.model.name}: states of layer {layer} differ from a plain pass by {error:.2g} of their "
                    "spread, though a trial on other prompts agreed: this architecture cannot be observed; report it"
                )

    def _next_tokens(self, groups: list[np.ndarray], chosen: np.ndarray, written: list[list[int]]) -> np.ndarray:
        """The most probable token after each of the chosen prompts and what was written behind it."""
        prompts = answers.continued(self.prompts, chosen, written)
        groups = [left for group in groups if len(left := group[np.isin(group, chosen)])]
        order, found = self._in_batches(prompts, groups, lambda rows: self._states_and_tokens(rows)[1])
        return np.concatenate(found)[_places(order, chosen)]

    def _states_and_tokens(self, rows: list[Row]) -> tuple[list[torch.Tensor], np.ndarray]:
        seen = observe_rows(self.model, self.way, rows)
        for states in seen.states:
            check_numbers(self.model, states)
        return seen.states, seen.logits.argmax(-1).cpu().numpy()

    def _in_batches(self, prompts: Prompts, groups: list[np.ndarray], run: Callable) -> tuple[np.ndarray, list]:
        """Run rows in batches, the short ones first; where memory runs out, in smaller ones from there on.

        Returns:
            The prompts in the order in which they ran, and what each batch gave.
        """
        if not self.way.row_tokens:
            groups = [np.array([i]) for group in groups for i in group]
        rows = sorted(shared_rows(prompts, groups, self.way.row_tokens), key=lambda r: len(r.tokens))
        found, done = [], 0
        while done < len(rows):
            batch = rows[done : done + self._batch_size(rows, done)]
            try:
                found.append(run(batch))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(batch, error)
                continue
            done += len(batch)
        return np.concatenate([r.prompts for r in rows]), found

    def _batch_size(self, rows: list[Row], done: int) -> int:
        """How many rows from here on make a batch: of one length where nothing may be padded."""
        size = 1
        while done + size < len(rows) and (self.way.row_tokens or self.way.batched):
            length = len(rows[done + size].tokens)
            fits = (size + 1) * length <= self.budget
            if not fits or (not self.way.row_tokens and length > len(rows[done].tokens)):
                break
            size += 1
        return size

    def _shrink(self, batch: list[Row], error: Exception) -> None:
        if len(batch) == 1:
            raise ModelFailed(
                f"{self.model.name}: no memory for one instruction; use a smaller dtype or device"
            ) from error
        self.budget = sum(len(r.tokens) for r in batch) // 2
        print(f"out of memory: batches of {self.budget} tokens from here on", flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _places(order: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Where in `order` each of the chosen numbers stands: order[places] == chosen."""
    inverse = np.empty(order.max() + 1, dtype=np.int64)
    inverse[order] = np.arange(len(order))
    return inverse[chosen]


def _write(path: Path, states: torch.Tensor, solved: np.ndarray) -> None:
    """Write a part: states in float16 with a power of two for each layer, since some exceed what float16 holds."""
    scale = torch.exp2(torch.ceil(torch.log2(states.abs().amax((1, 2)).clamp_min(1e-9) / 2**14)).clamp_min(0))
    arrays = {"states": (states / scale[:, None, None]).half().numpy(), "scale": scale.numpy(), "solved": solved}
    with store.replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, temporary)


def _parts(folder: Path, instances: pd.DataFrame) -> list[Path]:
    count = -(-instances["instruction_id"].nunique() // PART)
    return [folder / f"part-{i:04d}.safetensors" for i in range(count)]
