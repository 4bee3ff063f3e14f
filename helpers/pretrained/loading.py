"""Pretrained causal language models: found, checked and loaded, from a hub, a folder, a GGUF file or the default.

Nothing that a checkpoint lacks is made up: a weight, a tokenizer or a shard that is missing is named, and the model
refused.
"""

import inspect
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from helpers import store
from helpers.device import choose
from helpers.errors import Failed, Refused
from helpers.pretrained.default_model import DEFAULT, converted, default_folder
from helpers.pretrained.failures import ModelError, ModelFailed, is_out_of_memory
from helpers.settings import digest

# Files of which a tokenizer saved by transformers has at least one.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.*", "merges.txt", "*.spm", "*.bpe.model", "*.tiktoken")
TOKENIZER_FILES += ("spiece.model", "tekken.json", "vocab*.json", "*.vocab")


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
    if name.endswith(".gguf") and not path.is_dir():
        if not path.exists():
            raise ModelError(f"{path} does not exist")
        return str(path.parent), {"gguf_file": path.name}, name
    if path.is_file():
        raise ModelError(f"{path} is a file: name the folder that holds it, or a file that ends in .gguf")
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{path} holds no config.json, so it is not a model saved by transformers")
        return str(path), {}, name
    if name.startswith((".", "/", "~")):
        raise ModelError(f"{path} does not exist")
    return name, {"revision": revision} if revision else {}, name


def _check_files(folder: Path, gguf: str | None, allow_pickle: bool) -> None:
    """Refuse a folder whose weights or tokenizer are not whole, before anything is built from them."""
    if gguf:
        with open(folder / gguf, "rb") as file:
            begins = file.read(4)
        if begins != b"GGUF":
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
        listed = store.read_foreign_json(index, "download it again")
        files = listed.get("weight_map", {}) if isinstance(listed, dict) else None
        if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
            raise ModelError(f"{index} lists no files of weights (weight_map): download it again")
        shards = set(files.values())
        if missing := sorted(name for name in shards if not (folder / name).exists()):
            raise ModelError(f"{folder} lacks {missing[0]} of its {len(shards)} files of weights: download it again")
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights:
        try:
            with safe_open(file, "np"):
                pass
        except OSError as error:  # a link that leads nowhere, a folder
            raise ModelError(f"{file} cannot be read ({_first_line(error)}): download it again") from None
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


def _folder_digest(folder: Path) -> str:
    """What a local model's files hold, where we converted them; else their names, sizes and dates."""
    if folder == converted():
        return store.sha256(folder / store.SUMS)
    facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.glob("*")) if p.is_file()]
    return digest(facts)
