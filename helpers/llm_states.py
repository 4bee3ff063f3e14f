"""Hidden states of any causal language model at the input word of natural instructions (section 3.4).

The prompts of one instruction differ only in the input. They run as one row: the shared prefix once, then one
tail a prompt, each seeing the prefix and itself at the positions it would have alone. Before any long work,
a few prompts are run both ways; where the results differ (an architecture that takes no such mask), prompts
run one a row, and the probe says so. The language-model head sees one position a prompt.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from helpers import fingerprint, store
from helpers.llms import Loaded, ModelError
from helpers.settings import PROMPT, digest

CHAT = "chat"  # this template is the tokenizer's own chat template around the default one
TOKENS_PER_BATCH = 2048
# Sharing prefixes may change states by this many times what rounding alone does, and rounding itself must be small.
TOLERANCE = 4
MOST_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.05}
PART = 50  # instructions kept on disk at a time


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts of K instances.

    Attributes:
        tokens: token numbers of each prompt, special tokens included.
        at_input: index of the last token of the input in each prompt: the position that is observed.
        first_answer: the first token of each right answer, as it would follow the prompt.
    """

    tokens: list[list[int]]
    at_input: np.ndarray  # (K,)
    first_answer: np.ndarray  # (K,)


def tokenise(tokenizer, instances: pd.DataFrame, template: str = PROMPT) -> Prompts:
    """Write out and tokenise every prompt, and find the last token of each input by its character offsets.

    Args:
        tokenizer: a fast tokenizer; its own beginning-of-sequence token is added as it would be.
        instances: columns instruction, input and output.
        template: text with {instruction} and {input}, or "chat".

    Raises:
        ModelError: a template without both fields, or "chat" for a tokenizer that has none.
    """
    if template == CHAT and not tokenizer.chat_template:
        raise ModelError("this tokenizer has no chat template; use a text template")
    if template != CHAT and not all(field in template for field in ("{instruction}", "{input}")):
        raise ModelError(f"the template {template!r} must hold {{instruction}} and {{input}}")
    texts, ends = zip(*(_text_and_end(tokenizer, row, template) for row in instances.itertuples()), strict=True)
    special = template != CHAT  # a chat template writes its special tokens itself
    encoded = tokenizer(list(texts), add_special_tokens=special, return_offsets_mapping=True)
    at_input = [_token_at(offsets, end) for offsets, end in zip(encoded["offset_mapping"], ends, strict=True)]
    tokens = [_without_end(tokenizer, ids) for ids in encoded["input_ids"]]
    answers = [text + _gap(text) + output for text, output in zip(texts, instances["output"], strict=True)]
    full = tokenizer(answers, add_special_tokens=special)["input_ids"]
    first = [ids[len(prompt)] if len(ids) > len(prompt) else -1 for ids, prompt in zip(full, tokens, strict=True)]
    return Prompts(tokens, np.array(at_input), np.array(first))


def _text_and_end(tokenizer, row, template: str) -> tuple[str, int]:
    """The prompt, and the character at which its input ends."""
    body = PROMPT if template == CHAT else template
    before, after = body.split("{input}")
    before = before.replace("{instruction}", row.instruction)
    if template == CHAT:
        mark = "\u2063"  # finds the input again in whatever the chat template wraps around it
        message = [{"role": "user", "content": before + mark + row.input + mark + after.removesuffix("\nOutput:")}]
        text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        head, _, tail = text.split(mark)
        return head + row.input + tail, len(head) + len(row.input)
    return before + row.input + after.replace("{instruction}", row.instruction), len(before) + len(row.input)


def _token_at(offsets: list[tuple[int, int]], end: int) -> int:
    return max(i for i, (start, stop) in enumerate(offsets) if start < end and stop > start)


def _without_end(tokenizer, ids: list[int]) -> list[int]:
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids


def _gap(text: str) -> str:
    return "" if text[-1].isspace() else " "


@dataclass(frozen=True)
class Row:
    """Prompts that share a prefix, as one row."""

    tokens: np.ndarray  # (S,)
    positions: np.ndarray  # (S,) place of each token in its own prompt
    tail: np.ndarray  # (S,) which prompt a token belongs to alone; -1 in the prefix
    at_input: np.ndarray  # (M,) index in the row
    at_answer: np.ndarray  # (M,) index of each prompt's last token
    prompts: np.ndarray  # (M,) which prompts these are


def shared_rows(prompts: Prompts, groups: list[np.ndarray]) -> list[Row]:
    """One row for each group of prompts, its longest common prefix written once."""
    return [_row(prompts, np.asarray(group)) for group in groups]


def _row(prompts: Prompts, group: np.ndarray) -> Row:
    sequences = [prompts.tokens[i] for i in group]
    shared = min(int(prompts.at_input[i]) for i in group)  # the observed token stays in the tail
    shared = min(shared, *(len(s) - 1 for s in sequences))
    while any(s[:shared] != sequences[0][:shared] for s in sequences):
        shared -= 1
    tokens, positions, tail = list(sequences[0][:shared]), list(range(shared)), [-1] * shared
    at_input, at_answer = [], []
    for k, (i, sequence) in enumerate(zip(group, sequences, strict=True)):
        start = len(tokens) - shared
        tokens += sequence[shared:]
        positions += range(shared, len(sequence))
        tail += [k] * (len(sequence) - shared)
        at_input.append(start + prompts.at_input[i])
        at_answer.append(len(tokens) - 1)
    return Row(*(np.array(a) for a in (tokens, positions, tail, at_input, at_answer)), group)


def observe_rows(model: Loaded, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """States at the inputs of every prompt of the rows, and the most probable token after each prompt.

    Returns:
        (layers, prompts, D) in the model's precision, on the CPU, in the order of the rows; (prompts,).
    """
    length = max(len(r.tokens) for r in rows)
    ids = torch.tensor(np.stack([_pad(r.tokens, length, 0) for r in rows]), device=model.device)
    positions = torch.tensor(np.stack([_pad(r.positions, length, 0) for r in rows]), device=model.device)
    tails = torch.tensor(np.stack([_pad(r.tail, length, -2) for r in rows]), device=model.device)
    mask = _masks(model.body.config, positions, tails, next(model.body.parameters()).dtype)
    row = np.concatenate([[i] * len(r.prompts) for i, r in enumerate(rows)])
    at_input = np.concatenate([r.at_input for r in rows])
    at_answer = np.concatenate([r.at_answer for r in rows])
    return _forward(model, row, at_input, at_answer, input_ids=ids, attention_mask=mask, position_ids=positions)


def _masks(config, positions: torch.Tensor, tails: torch.Tensor, dtype: torch.dtype):
    """Additive attention masks (B, 1, S, S): a token sees the prefix before it and its own tail before it."""
    query, key = positions[:, :, None], positions[:, None, :]
    same = tails[:, :, None] == tails[:, None, :]
    prefix = tails[:, None, :] == -1
    order = torch.arange(positions.shape[1], device=positions.device)
    seen = (prefix | same) & (order[:, None] >= order[None, :])
    full = _additive(seen, dtype)
    types = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    near = _additive(seen & (query - key < window), dtype) if window else full
    if "sliding_attention" in types:
        return {"full_attention": full, "sliding_attention": near}
    return near if window and getattr(config, "use_sliding_window", True) else full


def _additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill(~seen, torch.finfo(dtype).min)[:, None]


def observe_plainly(model: Loaded, prompts: Prompts, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as `observe_rows`, one prompt a row, padded on the right, with the plain attention mask."""
    sequences = [prompts.tokens[i] for i in chosen]
    length = max(map(len, sequences))
    ids = torch.tensor(np.stack([_pad(np.array(s), length, 0) for s in sequences]), device=model.device)
    mask = torch.tensor([[1] * len(s) + [0] * (length - len(s)) for s in sequences], device=model.device)
    row, last = np.arange(len(chosen)), np.array([len(s) - 1 for s in sequences])
    return _forward(model, row, prompts.at_input[chosen], last, input_ids=ids, attention_mask=mask)


def _forward(model: Loaded, row, at_input, at_answer, **inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """States of every layer at (row, at_input), and the most probable token after (row, at_answer).

    Blocks are watched as they run, so that a layer keeps one position a prompt and not the whole row.
    """
    if model.blocks is None:
        output = model.body(**inputs, use_cache=False, output_hidden_states=True)
        kept = [h[row, at_input] for h in output.hidden_states]
    else:
        kept = []

        def keep(_, arguments, named) -> None:
            kept.append((arguments[0] if arguments else named["hidden_states"])[row, at_input])

        with ExitStack() as hooks:
            for block in model.blocks:
                hooks.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
            output = model.body(**inputs, use_cache=False)
        kept.append(output.last_hidden_state[row, at_input])
    states = torch.stack([h.cpu() for h in kept])
    return states, model.head(output.last_hidden_state[row, at_answer]).argmax(-1).cpu()


def watching_is_exact(model: Loaded, prompts: Prompts) -> bool:
    """Whether watching the blocks gives the states that `output_hidden_states=True` gives, on one prompt."""
    if model.blocks is None:
        return False
    watched, plain = (observe_plainly(m, prompts, np.array([0]))[0] for m in (model, replace(model, blocks=None)))
    return watched.shape == plain.shape and torch.allclose(watched, plain, rtol=1e-3, atol=1e-3 * float(plain.std()))


@dataclass(frozen=True)
class SharingCheck:
    """What sharing prefixes changes in states, and what rounding alone does, relative to how far states lie apart.

    Attributes:
        error: of shared prefixes; inf where the architecture refuses them.
        rounding: of what must not matter: padding in a batch, our own masks and positions around single prompts, and
            embeddings changed in their last digit.
        exact: whether the first is no more than the second explains.
    """

    error: float
    rounding: float
    exact: bool


def check_sharing(model: Loaded, prompts: Prompts, groups: list[np.ndarray]) -> SharingCheck:
    """Observe a few prompts of the first, the middle and the last instruction one by one, and in the other ways.

    Differences are root mean squares over prompts, at the worst layer.
    """
    chosen = [groups[i][:3] for i in (0, len(groups) // 2, -1)]
    singles = [np.array([i]) for group in chosen for i in group]
    alone = torch.cat([observe_plainly(model, prompts, one)[0] for one in singles], 1).float()
    apart = (alone - alone.mean(1, keepdim=True)).pow(2).mean((1, 2)).sqrt().clamp_min(1e-9)

    def error(states: torch.Tensor) -> float:
        return float(((alone - states.float()).pow(2).mean((1, 2)).sqrt() / apart).max())

    def by_rows(of: list[np.ndarray]) -> float:
        try:
            return error(torch.cat([observe_rows(model, [row])[0] for row in shared_rows(prompts, of)], 1))
        except Exception as problem:  # whatever an architecture raises that takes no such mask or positions
            if _is_out_of_memory(problem):
                raise
            return float("inf")

    padded = error(observe_plainly(model, prompts, np.concatenate(chosen))[0])
    with _last_digit_changed(model):
        changed = error(torch.cat([observe_plainly(model, prompts, one)[0] for one in singles], 1))
    shared, rounding = by_rows(chosen), max(padded, by_rows(singles), changed)
    most = MOST_ROUNDING.get(next(model.body.parameters()).dtype, 1e-3)
    return SharingCheck(shared, rounding, rounding <= most and shared <= max(TOLERANCE * rounding, 1e-5))


@contextmanager
def _last_digit_changed(model: Loaded):
    """Embeddings are multiplied by 1 plus or minus half the precision's epsilon, at random with a fixed seed."""
    generator = torch.Generator().manual_seed(0)

    def change(_module, _arguments, output: torch.Tensor) -> torch.Tensor:
        sign = torch.randint(0, 2, output.shape, generator=generator).to(output.device) * 2 - 1
        return (output.double() * (1 + sign * torch.finfo(output.dtype).eps / 2)).to(output.dtype)

    hook = model.body.get_input_embeddings().register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; a CPU's allocator says so in words alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error) for words in ("allocate memory", "not enough memory", "out of memory")
    )


def _pad(values: np.ndarray, length: int, with_: int) -> np.ndarray:
    return np.concatenate([values, np.full(length - len(values), with_, dtype=np.int64)])


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
        model: from llms.load.
        instances: from natural.draw.
        template: see `tokenise`.
        progress: makes a progress bar, as tqdm does.

    Raises:
        ModelError: no memory even for one instruction at a time, or a template that cannot be used.
    """
    content = instances[["instruction", "input", "output"]].to_csv(index=False)
    code = fingerprint.of_code("llm_states", "llms")
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
            if not _is_out_of_memory(error):
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
