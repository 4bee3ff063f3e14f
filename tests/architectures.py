"""Every causal architecture that transformers lists, built tiny with random weights, probed, and checked on its own.

`make test-architectures` runs all of them and writes docs/architectures.md. The list is the library's mapping; sizes
are made small by the names of a configuration's fields, so that an architecture that comes with a new version is
tried as it is. The check computes states and answers as a user would: one prompt, float32, output_hidden_states=True.
"""

import copy
import inspect
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
import torch
import transformers
from tiny_models import quiet, tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from helpers import store
from helpers.pretrained import loading, probe
from helpers.pretrained.failures import ModelError

LAYERS, WIDTH, HEADS, HEAD, INNER, POSITIONS, WINDOW = 4, 32, 4, 8, 64, 512, 16

# Names of fields, as a regular expression that must fit the whole name -> size. The first that fits counts.
SIZES = (
    (r".*vocab.*", None),  # the tokenizer's
    (
        r"(n_|num_)?(hidden_|decoder_|encoder_|xlstm_)?(layers?|blocks)|n_layers?|num_hidden_layers|.*_num_layers"
        r"|num_.*_layers|.*_num_hidden_layers|num_blocks",
        LAYERS,
    ),
    (r".*(kv|key_value)_heads.*|n_head_kv|multi_query_group_num", 2),
    (r"mamba_(n|num)_heads|mamba_num_heads", 8),
    (r"mamba_d_ssm", INNER),
    (r".*n_?groups", 1),
    (r"qk_head_dim", 2 * HEAD),  # of a part with positions and one without
    (r"num_heads|n_heads?|.*attention_heads|.*_num_heads|num_.*_heads|.*_n_heads|.*_heads", HEADS),
    (r".*(d_head|head_dim|d_kv|head_size|head_qk_dim|head_v_dim)", HEAD),
    (r"rotary_dim", HEAD // 2),
    (r".*lora_rank.*|.*_lora_dim", 16),
    (r"(num|n)_.*experts|num_experts|moe_num_experts|ffn_num_experts", 4),
    (r".*(experts_per_tok|_top_?k|experts_per_token|topk|moe_k)", 2),
    (r".*n_group|.*topk_group", 1),
    (r".*(ffn|intermediate|inner|mlp_hidden|feed_?forward).*(size|dim|hidden)?|ffn_dim|dff|n_inner|mlp_dim", INNER),
    (r"state_size|.*d_state|.*ssm_state_size|.*state_dim", HEAD),
    (r"sliding_window|window_size|.*local_window.*|attention_chunk_size|.*_window_size", WINDOW),
    (
        r"max_position_embeddings|n_positions|n_ctx|max_seq_len|.*max_position.*|block_size|seq_len.*|max_length",
        POSITIONS,
    ),
    (r"hidden_size|d_model|n_embd|.*hidden_size.*|.*embed.*dim.*|.*embedding_size|dim|.*_dim|hidden_dim|width", WIDTH),
)


def kinds() -> list[str]:
    """Model types of every causal language model that transformers lists."""
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


@dataclass(frozen=True)
class Recipe:
    """What a first attempt may lack: tried in turn until a model can be built."""

    layers: int = LAYERS
    fill: bool = False  # sizes that are left open get a number
    expand: bool = False  # inner widths are those of the outside
    equal: bool = False  # as many heads for keys as for queries


RECIPES = (
    Recipe(),
    Recipe(fill=True),
    Recipe(equal=True),
    Recipe(expand=True),
    Recipe(layers=8),
    Recipe(layers=8, fill=True, expand=True),
)


def shrunk(values: dict, vocabulary: int, recipe: Recipe) -> dict:
    """A configuration's fields with sizes made small, nested ones too."""
    depths = {v for k, v in values.items() if isinstance(v, int) and _size(k) == LAYERS}
    shared = len({v for k, v in values.items() if k in ("num_attention_heads", "num_key_value_heads")}) == 2
    found = {}
    for name, value in values.items():
        if isinstance(value, dict) and value and all(str(key).isdigit() for key in value):
            value = {key: one for key, one in value.items() if int(key) < recipe.layers}
        elif isinstance(value, dict) and not name.startswith(("rope", "id2label", "label2id")):
            value = shrunk(value, vocabulary, recipe)
        elif isinstance(value, list) and name.endswith("_dim") and sum(value) == values.get("hidden_size"):
            value = [WIDTH // len(value)] * len(value)
        elif isinstance(value, list) and len(value) in depths and len(value) > recipe.layers:
            value = _each_kind(value, recipe.layers)
        elif name == "is_decoder":
            value = True  # a configuration that may be an encoder's is a decoder's
        elif isinstance(value, float) and re.fullmatch("initializer_range|init_std|initializer_factor", name):
            value = 0.1  # large enough for attention to count beside the embeddings
        elif isinstance(value, int) and not isinstance(value, bool):
            value = (
                HEADS
                if name == "num_key_value_heads" and (recipe.equal or not shared)
                else _small(name, value, vocabulary, recipe)
            )
        elif value is None and recipe.fill:
            value = _size(name) or None
        found[name] = value
    return found


def _each_kind(values: list, layers: int) -> list:
    """So many entries of a list with one a layer: each kind at its first place, and from the start what is left."""
    firsts = sorted({str(v): values.index(v) for v in values}.values())[:layers]
    more = [i for i in range(len(values)) if i not in firsts][: layers - len(firsts)]
    return [values[i] for i in sorted(firsts + more)]


def _size(name: str) -> int | None:
    return next((size for pattern, size in SIZES if re.fullmatch(pattern, name)), 0)


def _small(name: str, value: int, vocabulary: int, recipe: Recipe) -> int:
    if name.endswith(("_token_id", "_token_index", "_id", "_index")):
        known = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
        return known.get(name, min(value, vocabulary - 1 - len(name) % 7))
    if name.endswith("shared_layers"):
        return 0
    if recipe.expand and name.endswith("expand"):
        return 1
    size = _size(name)
    if size is None:
        return min(value, vocabulary) if "vocab_size" not in name else vocabulary
    return min(value, recipe.layers if size == LAYERS else size) if size and value > 0 else value


@dataclass(frozen=True)
class Row:
    """One line of docs/architectures.md."""

    kind: str
    model: str  # the class
    outcome: str  # shared prefixes, one prompt a row, refused, not built
    why: str
    error: float | None = None  # of states, relative to their spread


def build(kind: str, folder: Path, recipes=RECIPES) -> str:
    """Save a tiny model of an architecture, with a tokenizer; returns its class's name.

    Raises:
        Exception: what the last recipe raised; the model cannot be built here.
    """
    tokens = tokenizer("metaspace")
    config_class = CONFIG_MAPPING[kind]
    built, problem = [], None
    for recipe in recipes:
        try:
            config = config_class.from_dict(shrunk(config_class().to_dict(), len(tokens), recipe))
            torch.manual_seed(0)
            built.append(AutoModelForCausalLM.from_config(config).float().eval())
            with torch.no_grad():
                built[-1](torch.arange(10, 70)[None])  # does it run at these sizes?
            break
        except Exception as error:
            problem = error
    if not built:
        raise problem
    model = built[-1] if recipe is not recipes[-1] else built[0]
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return type(model).__name__


def plainly(folder: Path, instances) -> tuple[list, list[str], object]:
    """States and answers as a user would compute them: (a prompt's states by layer, its continuation as text, tokens).

    One prompt at a time, float32, output_hidden_states=True; greedy until a visible character is whole.
    """
    fresh = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    fresh.config.use_cache = False
    options = {"use_cache": False} if "use_cache" in inspect.signature(fresh.forward).parameters else {}
    tokens = AutoTokenizer.from_pretrained(folder)
    states, written = [], []
    for row in instances.itertuples():
        upto = f"{row.instruction}\nInput: {row.input}"
        made = tokens(upto + "\nOutput:", return_tensors="pt", return_offsets_mapping=True)
        last = [i for i, (a, b) in enumerate(made["offset_mapping"][0].tolist()) if a < len(upto) and b > a][-1]
        ids, answer = made["input_ids"], []
        net = copy.deepcopy(fresh)  # positions that grow with the prompt remember the longest one
        with torch.no_grad():
            output = net(ids, output_hidden_states=True, **options)
            states.append([h[0, last] for h in output.hidden_states])
            while True:
                answer.append(int(output.logits[0, -1].argmax()))
                text = tokens.decode(answer).strip()
                if (text and not text.endswith("\ufffd")) or len(answer) > 6:
                    break
                output = net(torch.cat([ids, torch.tensor([answer])], 1), **options)
        written.append(text)
    return states, written, tokens


def with_answers(folder: Path, drawn):
    """(instances, states of each, whether each is solved), by plain passes.

    Every other answer becomes what the model writes, so that some are solved; the rest stay what they are.
    """
    states, written, tokens = plainly(folder, drawn)
    mine = [w if i % 2 and w.isalnum() else o for i, (w, o) in enumerate(zip(written, drawn["output"], strict=True))]
    made = drawn.assign(output=mine)

    before = tokens("Output:", add_special_tokens=False)["input_ids"]

    def first_pieces(answer: str) -> set[str]:
        """The first token with a visible character, after nothing, a space and a line break."""
        found = set()
        for gap in ("", " ", "\n"):
            ids = tokens(f"Output:{gap}{answer}", add_special_tokens=False)["input_ids"]
            rest = ids[len(before) :] if ids[: len(before)] == before and tokens.unk_token_id not in ids else []
            found.add(next((t for n in range(1, len(rest) + 1) if (t := tokens.decode(rest[:n]).strip())), None))
        return found

    solved = [w in first_pieces(o) for w, o in zip(written, mine, strict=True)]
    return made, states, solved


def probed(kind: str, folder: Path, drawn) -> Row:
    """Build one architecture in a folder and probe it: a row of the table.

    Raises:
        AssertionError: it is not refused in a sentence, or states or answers differ from plain passes.
    """
    try:
        name = build(kind, folder)
    except Exception as error:
        return Row(kind, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind], "not built", _line(error))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "DATA", folder / "data")
            model = loading.load(str(folder), device="cpu", dtype="float32")
            probe.observe(model, drawn, progress=quiet)  # refused here, before the plain passes, if at all
    except ModelError as refused:
        why = str(refused).replace(str(folder), "it")
        return Row(kind, name, "not one sentence" if "\n" in why else "refused", why)
    result, error = compared(model, folder, drawn, folder / "compared")  # anew, also where no answer was changed
    way = result.manifest["way"]
    return Row(kind, name, "shared prefixes" if way["row_tokens"] else "one prompt a row", _how(way, result), error)


def compared(model: loading.Loaded, folder: Path, drawn, data: Path) -> tuple[probe.Probe, float]:
    """Probe a model and compare it with plain passes: (the probe, the largest error of a state).

    Args:
        folder: what the model was loaded from.
        data: where the probe is written.

    Raises:
        AssertionError: a state is off by a thousandth of the spread of its layer, or a solved answer differs.
    """
    kept: list[torch.Tensor] = []
    made, plain, right = with_answers(folder, drawn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "DATA", data)
        write = probe._write
        patch.setattr(probe, "_write", lambda path, states, solved: (kept.append(states), write(path, states, solved)))
        result = probe.observe(model, made, progress=quiet)
    way, error = result.manifest["way"], difference(torch.cat(kept, 1), result.manifest["widths"], plain)
    assert error < 1e-3, f"{model.name}: states differ by {error:.2g} of their spread; {way}"
    assert result.solved().tolist() == right, f"{model.name}: solved {result.solved().tolist()}, plainly {right}"
    return result, error


def difference(ours: torch.Tensor, widths: list[int], plain: list[list[torch.Tensor]]) -> float:
    """Largest root mean square error of a state, relative to the spread of its layer."""
    worst = 0.0
    for layer, width in enumerate(widths):
        theirs = torch.stack([states[layer] for states in plain])
        spread = (theirs - theirs.mean(0)).pow(2).mean().sqrt().clamp_min(1e-9)
        worst = max(worst, float(((ours[layer, :, :width] - theirs).pow(2).mean(1).sqrt() / spread).max()))
    return worst


def _how(way: dict, result) -> str:
    found = result.manifest["sharing_error"]
    shared = "" if way["row_tokens"] else (
        "it takes no such masks or positions" if found is None else f"sharing changes states by {found:.1g}"
    )  # fmt: skip
    rest = [] if way["row_tokens"] or way["batched"] else ["one row at a time"]
    rest += [] if way["blocks"] else ["every position kept"]
    rest += [] if way["head_cut"] else ["logits of every position"]
    return "; ".join(filter(None, [shared, *rest]))


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:140]}"


ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "architectures.md"
NOTES = ROOT / ".pytest_cache" / "architectures"  # a file for each architecture, from every worker
OUTCOMES = ("shared prefixes", "one prompt a row", "refused", "not built")


def note(row: Row) -> None:
    """Keep a row for the table."""
    store.write_json(NOTES / f"{row.kind}.json", asdict(row))


def table(rows: list[Row]) -> str:
    """docs/architectures.md."""
    counts = ", ".join(f"{sum(r.outcome == o for r in rows)} {o}" for o in OUTCOMES)
    lines = [
        "# Architectures that the probe was checked on",
        "",
        f"`make test-architectures` writes this page: every causal language model in the mapping of transformers "
        f"{transformers.__version__}, built tiny with random weights. States and answers were compared with plain "
        "passes (one prompt, float32, `output_hidden_states=True`); a difference fails the run.",
        "",
        "- *shared prefixes*: prompts of one instruction run as one row. *one prompt a row*: they do not, for the "
        "reason given.",
        "- *refused*: before any work, in this sentence; one that speaks of shapes may be of these tiny sizes alone. "
        "*not built*: not at these sizes, or not with what is "
        "installed; the probe itself would try such a model, and check it.",
        "- *error*: the largest of a state, relative to how far the states of a layer lie apart.",
        "",
        f"Of {len(rows)}: {counts}.",
        "",
        "| type | class | outcome | why | error |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        error = "" if r.error is None else f"{r.error:.0e}" if r.error else "0"
        lines.append(f"| `{r.kind}` | {r.model} | {r.outcome} | {_cell(r.why)} | {error} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").strip()


if __name__ == "__main__":
    found = [Row(**store.read_json(path, "run make test-architectures")) for path in sorted(NOTES.glob("*.json"))]
    if missing := sorted(set(kinds()) - {row.kind for row in found}):
        sys.exit(f"no result for {', '.join(missing)}: their tests failed or did not run; the table is not written")
    TABLE.write_text(table(sorted((row for row in found if row.kind in kinds()), key=lambda row: row.kind)))
    print(f"written: {TABLE}")
