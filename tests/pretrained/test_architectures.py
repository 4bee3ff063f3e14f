"""The probe against plain passes for a handful of architectures here, for all of them by `make test-architectures`."""

import json
import warnings

import architectures
import pytest
import transformers

from helpers import store
from helpers.pretrained import default_model, loading, natural

# Learned, rotary and no positions; local attention, experts, parallel and post norm; an encoder's relative; recurrence.
HANDFUL = ("bloom", "falcon_mamba", "gemma3", "gpt_neo", "mixtral", "opt", "phi", "qwen3_next", "roberta", "xlnet")


@pytest.fixture(scope="module")
def drawn():
    return natural.draw(natural.load()[:2], pairs=4, instructions=3)


def probed(kind, tmp_path, drawn):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an architecture's own, of its sizes and versions
        return architectures.probed(kind, tmp_path, drawn)


@pytest.mark.parametrize("kind", HANDFUL)
def test_a_handful_of_architectures(kind, tmp_path, drawn):
    row = probed(kind, tmp_path, drawn)
    known = {"xlnet": "refused", "mixtral": "shared prefixes", "opt": "shared prefixes", "phi": "shared prefixes"}
    assert row.outcome == known.get(kind, row.outcome)
    assert row.outcome in ("shared prefixes", "one prompt a row", "refused")


@pytest.mark.architectures
def test_the_default_model_with_its_own_weights(tmp_path, monkeypatch):
    """Gemma-3-270M: states of all 19 layers and solved answers of 20 prompts, within 0.001 of a layer's spread."""
    monkeypatch.setattr(store, "DATA", store.REPOSITORY / "data")  # converted once, where `make probe` keeps it
    folder, model = default_model.default_folder(), loading.load(device="cpu", dtype="float32")
    drawn = natural.draw(natural.load()[:2], pairs=5, instructions=2)
    result, error = architectures.compared(model, folder, drawn, tmp_path)
    assert result.layers == 19
    assert len(drawn) == 20
    print(f"{model.name}: largest error {error:.1g} of the spread; solved {result.solved().sum()} of 20")


@pytest.mark.architectures
@pytest.mark.parametrize("kind", architectures.kinds())
def test_every_architecture(kind, tmp_path, drawn):
    row = probed(kind, tmp_path, drawn)
    assert row.outcome in ("shared prefixes", "one prompt a row", "refused", "not built"), row
    architectures.note(row)


def test_the_table_is_of_the_installed_version():
    text = architectures.TABLE.read_text()
    assert f"transformers {transformers.__version__}" in text, "run make test-architectures"
    listed = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert [name.strip("`") for name in listed] == architectures.kinds()


def test_sizes_are_found_by_the_names_of_fields():
    plain = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
             "layer_types": ["a"] * 31 + ["b"], "bos_token_id": 7, "rope_parameters": {"rope_theta": 1e4},
             "text": {"d_model": 512, "n_layer": 12}}  # fmt: skip
    small = architectures.shrunk(plain, 600, architectures.Recipe())
    assert small["hidden_size"] == architectures.WIDTH
    assert small["vocab_size"] == 600
    assert small["layer_types"] == ["a", "a", "a", "b"]
    assert small["text"] == {"d_model": architectures.WIDTH, "n_layer": architectures.LAYERS}
    assert small["rope_parameters"] == plain["rope_parameters"]
    assert json.dumps(small)
