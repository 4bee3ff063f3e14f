"""What a folder lacks is named, and nothing is made up for it."""

import json
import re
import shutil
import socket
import struct
import time

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make
from transformers import BertConfig, BertForMaskedLM

from helpers import device
from helpers.errors import Refused
from helpers.pretrained import default_model, failures, loading, paper_models


def message(name, **options) -> str:
    """The one sentence with which a model is refused."""
    with pytest.raises((Refused, failures.ModelFailed)) as error:
        loading.load(str(name), dtype="float32", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def folder(tmp_path):
    """A tiny GPT-2 with its weights in one file, to be broken."""
    net, tokens = make("gpt2")
    net.save_pretrained(tmp_path / "gpt2")
    tokens.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def change(folder, keys) -> None:
    """Rewrite the weights; `keys` gives a key's new name, or None to leave it out."""
    weights = load_file(folder / "model.safetensors")
    kept = {new: value for key, value in weights.items() if (new := keys(key))}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def test_what_is_not_there_or_not_causal(tmp_path):
    assert "does not exist" in message(tmp_path / "nothing")
    assert "does not exist" in message(tmp_path / "nothing.gguf")
    assert "no config.json" in message(tmp_path)
    encoder = tmp_path / "bert"
    BertForMaskedLM(
        BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ).save_pretrained(encoder)
    make("gpt2")[1].save_pretrained(encoder)
    assert "not a causal language model" in message(encoder)


def test_files_that_cannot_be_read_as_what_they_should_be(folder, tmp_path):
    assert "is a file: name the folder that holds it" in message(folder / "model.safetensors")
    (tmp_path / "folder.gguf").mkdir()
    assert "no config.json" in message(tmp_path / "folder.gguf")
    index = folder / "model.safetensors.index.json"
    for wrong in ("[]", '{"weight_map": null}', '{"weight_map": {"a": 1}}'):
        index.write_text(wrong)
        assert f"{index} lists no files of weights" in message(folder)
    index.unlink()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("nowhere")
    assert re.search(r"model\.safetensors cannot be read \(.*\): download it again", message(folder))


def test_a_revision_of_what_has_none(folder):
    assert "has no revision 'step1'" in message(folder, revision="step1")
    assert "has no revision 'step1'" in message(default_model.DEFAULT, revision="step1")
    assert loading.load(str(folder), "main", dtype="float32").revision == "main"


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module."])
def test_keys_under_another_name_are_not_drawn_at_random(folder, prefix):
    change(folder, lambda key: prefix + key)
    assert f"its keys begin with {prefix!r}" in message(folder)


def test_half_of_the_layers_or_the_head_missing(folder, saved, tmp_path):
    change(folder, lambda key: None if ".h.2." in key else key)
    assert re.search(r"lacks transformer\.h\.2\..* and \d+ more weights of GPT2LMHeadModel", message(folder))
    headless = tmp_path / "llama"
    shutil.copytree(saved["llama"], headless)
    for index in headless.glob("*.index.json"):
        index.unlink()
    weights = {k: v for f in sorted(headless.glob("*.safetensors")) for k, v in load_file(f).items()}
    for file in headless.glob("*.safetensors"):
        file.unlink()
    del weights["lm_head.weight"]
    save_file(weights, headless / "model.safetensors", {"format": "pt"})
    assert "lacks lm_head.weight of LlamaForCausalLM" in message(headless)


def test_a_configuration_with_fewer_layers_than_the_weights(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layer": 2}))
    found = message(folder)
    assert "h.2." in found
    assert "leaves no place" in found


def test_a_folder_without_tokenizer_files(folder):
    (folder / "tokenizer.json").unlink()
    assert "holds no tokenizer" in message(folder)
    assert (folder / "tokenizer_config.json").exists(), "which is none"


def test_a_shard_is_missing(saved, tmp_path):
    shutil.copytree(saved["llama"], tmp_path / "llama")
    shard = sorted((tmp_path / "llama").glob("*.safetensors"))[1]
    shard.unlink()
    found = message(tmp_path / "llama")
    assert f"lacks {shard.name} of its" in found
    assert "pickle" not in found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer; run `git lfs pull`"),
        (b"", "is cut or damaged"),
        (struct.pack("<Q", 100) + b"{}", "is cut or damaged"),
        (None, "is cut or damaged"),
    ],
)
def test_weights_that_are_no_weights(folder, content, words):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000] if content is None else content)
    assert words in message(folder)
    assert "model.safetensors" in message(folder)


def test_a_tokenizer_that_is_a_pointer_or_newer_than_the_library(folder):
    file = folder / "tokenizer.json"
    made = json.loads(file.read_text())
    file.write_text(json.dumps(made | {"model": {"type": "NotYetKnown", "vocab": {}}}))
    assert "tokenizer" in message(folder)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "git-lfs pointer" in message(folder)


def test_an_unknown_kind_of_rotary_positions(saved, tmp_path):
    shutil.copytree(saved["llama"], tmp_path / "llama")
    file = tmp_path / "llama" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"rope_parameters": {"rope_type": "spiral", "rope_theta": 1e4}}))
    assert "spiral" in message(tmp_path / "llama")


def test_a_gguf_file_that_is_none_or_cut(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"hello")
    assert "is no GGUF file" in message(tmp_path / "a.gguf")
    (tmp_path / "b.gguf").write_bytes(b"GGUF\3\0\0\0" + b"\1" * 40)
    assert "b.gguf cannot be read" in message(tmp_path / "b.gguf")


def test_pickled_weights_are_read_only_when_allowed(tmp_path):
    net, tokens = make("gpt2")
    net.config.architectures = ["GPT2LMHeadModel"]
    net.config.save_pretrained(tmp_path)
    tokens.save_pretrained(tmp_path)
    assert "it has none at all" in message(tmp_path)
    torch.save(net.state_dict(), tmp_path / "pytorch_model.bin")
    assert "--allow-pickle" in message(tmp_path)
    assert loading.load(str(tmp_path), allow_pickle=True).body


def test_an_adapter_alone(folder):
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter alone" in message(folder)


def test_a_device_that_this_machine_lacks(saved):
    assert "has no device 'cuda:99'" in message(saved["gpt2"], device="cuda:99")
    assert "none that torch knows" in message(saved["gpt2"], device="gpu")
    assert "not supported" in message(saved["gpt2"], device="meta")
    if not torch.backends.mps.is_available():
        assert "has no device 'mps'" in message(saved["gpt2"], device="mps")


def test_an_apple_gpu_is_taken_when_asked_for_and_never_by_itself(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    chosen = device.choose(device="mps")
    assert (chosen.device.type, chosen.precision) == ("mps", "float32")
    assert "tested" in chosen.reason
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose().device.type == "cpu"


def no_address(*_, **__):
    raise socket.gaierror("no network")


@pytest.mark.parametrize("offline", [True, False])
def test_no_network_is_said_in_one_sentence(monkeypatch, offline):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between attempts
    assert "some-one/some-model is not cached here" in message("some-one/some-model")


def test_two_loads_are_one_identity_and_one_set_of_weights(folder):
    first, second = (loading.load(str(folder), dtype="float32") for _ in range(2))
    assert first.identity == second.identity
    for a, b in zip(first.whole.parameters(), second.whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_names_say_whether_a_model_is_instruction_tuned():
    assert paper_models.is_instruction_tuned("google/gemma-3-270m-it")
    assert not paper_models.is_instruction_tuned("bigscience/bloom")
