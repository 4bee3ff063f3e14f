"""Hidden states of any causal language model at the input word of natural instructions (section 3.4).

The prompts of one instruction differ only in the input. They run as one row: the shared prefix once, then one
tail a prompt, each seeing the prefix and itself at the positions it would have alone. Before any long work,
a few prompts are run both ways; where the results differ (an architecture that takes no such mask), prompts
run one a row, and the probe says so. The language-model head sees one position a prompt.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from helpers import fingerprint, store
from helpers.pretrained.loading import Loaded, ModelError
from helpers.pretrained.observe import (
    check_sharing,
    is_out_of_memory,
    observe_plainly,
    observe_rows,
    watching_is_exact,
)
from helpers.pretrained.prompts import Prompts, shared_rows, tokenise
from helpers.settings import PROMPT, digest

TOKENS_PER_BATCH = 2048
# Modules whose code fixes a probe's states.
CODE = tuple(f"pretrained.{name}" for name in ("loading", "prompts", "observe", "probe"))
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

    @property
    def layers(self) -> int:
        """Number of layers, the embedding output (0) included."""
        return self.manifest["layers"]

    def states(self, layer: int) -> np.ndarray:
        """(K, D) float32 states of one layer at the last token of the inputs."""
        parts = []
        for path in _parts(self.folder, self.instances):
            with safe_open(path, "np") as file:
                scale = file.get_tensor("scale")[layer]
                parts.append(file.get_slice("states")[layer].astype(np.float32) * scale)
        return np.concatenate(parts)

    def solved(self) -> np.ndarray:
        """(K,) whether the most probable next token starts the right answer."""
        return np.concatenate([load_file(path)["solved"] for path in _parts(self.folder, self.instances)])


def observe(model: Loaded, instances: pd.DataFrame, template: str = PROMPT, progress=tqdm) -> Probe:
    """Record the states and answers of a model on every instance; what an earlier call finished is kept.

    Args:
        model: from loading.load.
        instances: from natural.draw.
        template: see `tokenise`.
        progress: makes a progress bar, as tqdm does.

    Raises:
        ModelError: no memory even for one instruction at a time, or a template that cannot be used.
    """
    content = instances[["instruction", "input", "output"]].to_csv(index=False)
    code = fingerprint.of_code(*CODE)
    folder = store.DATA / "probes" / f"{Path(model.name).name}-{digest([model.identity, content, template, code])}"
    prompts = tokenise(model.tokenizer, instances, template)
    groups = [g.to_numpy() for _, g in instances.reset_index().groupby("instruction_id")["index"]]
    manifest, remedy = folder / "manifest.json", f"delete {folder} and probe again"
    with store.locked(folder):
        if not manifest.exists():
            with store.replacing(folder / "instances.parquet") as temporary:
                instances.to_parquet(temporary)
            _begin(manifest, model, prompts, groups, template)
        facts = store.read_json(manifest, remedy)
        model = model if facts["blocks_watched"] else replace(model, blocks=None)
        done = store.read_json(folder / "progress.json", remedy) if (folder / "progress.json").exists() else {}
        budget = TOKENS_PER_BATCH
        with torch.inference_mode(), progress(total=len(instances), desc=f"probing {model.name}", unit="prompt") as bar:
            for first, path in enumerate(_parts(folder, instances)):
                part = groups[first * PART : (first + 1) * PART]
                if path.name not in done or not path.exists():
                    budget = _observe_part(model, prompts, part, path, facts["shared_prefixes"], budget)
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
    remedy = "probe the model again (make probe, or notebook 05)"
    manifest = store.read_json(folder / "manifest.json", remedy)
    if not (folder / "instances.parquet").exists():
        raise store.ArtefactError(f"{folder} does not say which instances were observed: an older version; {remedy}")
    instances = pd.read_parquet(folder / "instances.parquet")
    if missing := [path for path in _parts(folder, instances) if not path.exists()]:
        raise store.ArtefactError(f"{missing[0]} is missing: the probe was not finished; {remedy}")
    return Probe(folder, instances, manifest)


def _begin(manifest: Path, model: Loaded, prompts: Prompts, groups, template: str) -> None:
    """Check whether prefixes can be shared, and write down how this probe is made."""
    with torch.inference_mode():
        watched = watching_is_exact(model, prompts)
        model = model if watched else replace(model, blocks=None)
        check = check_sharing(model, prompts, groups)
        states, _ = observe_plainly(model, prompts, groups[0][:1])
    print(
        f"{type(model.body).__name__}: sharing prefixes changes states by {check.error:.1g} of their spread, rounding "
        f"alone by {check.rounding:.1g}; {'prefixes are shared' if check.exact else 'one prompt a row instead'}; "
        f"layers keep {'the observed position alone' if watched else 'every position, for want of blocks to watch'}"
    )
    facts = {
        "model": model.name,
        "revision": model.revision,
        "computed": model.reason,
        "template": template,
        "layers": len(states),
        "shared_prefixes": check.exact,
        "sharing_error": check.error if np.isfinite(check.error) else None,
        "rounding_error": check.rounding if np.isfinite(check.rounding) else None,
        "blocks_watched": watched,
    }
    store.write_json(manifest, facts | store.provenance())


def _observe_part(model: Loaded, prompts: Prompts, groups, path: Path, shared: bool, budget: int) -> int:
    """Observe some instructions and write their file; returns the tokens a batch that fitted into memory."""
    order = np.concatenate(groups)
    if not shared:
        groups = [np.array([i]) for i in order]
    rows = sorted(shared_rows(prompts, groups), key=lambda r: len(r.tokens))
    states: list[torch.Tensor] = []
    answers: list[torch.Tensor] = []
    done = 0
    while done < len(rows):
        size = 1
        while done + size < len(rows) and (size + 1) * len(rows[done + size].tokens) <= budget:
            size += 1
        batch = rows[done : done + size]
        try:
            if shared:
                found = observe_rows(model, batch)
            else:
                found = observe_plainly(model, prompts, np.concatenate([r.prompts for r in batch]))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise ModelError(
                    f"{model.name}: no memory for one instruction; use a smaller dtype or device"
                ) from error
            budget = sum(len(r.tokens) for r in batch) // 2
            print(f"out of memory: batches of {budget} tokens from here on", flush=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        states.append(found[0])
        answers.append(found[1])
        done += size
    place = np.argsort(np.concatenate([r.prompts for r in rows]))
    whole = torch.cat(states, 1).float()[:, place]  # (layers, prompts, D), in the order of the instances
    solved = torch.cat(answers)[place].numpy() == prompts.first_answer[np.sort(order)]
    # float16 with a power of two a layer: some models' states exceed what float16 holds.
    scale = torch.exp2(torch.ceil(torch.log2(whole.abs().amax((1, 2)).clamp_min(1e-9) / 2**14)).clamp_min(0))
    with store.replacing(path) as temporary:
        arrays = {"states": (whole / scale[:, None, None]).half().numpy(), "scale": scale.numpy(), "solved": solved}
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, temporary)
    return budget


def _parts(folder: Path, instances: pd.DataFrame) -> list[Path]:
    count = -(-instances["instruction_id"].nunique() // PART)
    return [folder / f"part-{i:04d}.safetensors" for i in range(count)]
