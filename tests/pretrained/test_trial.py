"""Models whose fast ways are wrong, and models that cannot be observed: each against one plain prompt at a time."""

import dataclasses

import architectures
import pytest
import torch
from tiny_models import quiet, tokenizer
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    ModernBertDecoderConfig,
    ModernBertDecoderForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    RobertaConfig,
    RobertaForCausalLM,
    XLNetConfig,
    XLNetLMHeadModel,
)

from helpers import store
from helpers.pretrained import loading, natural, probe, table1, trial
from helpers.pretrained.failures import ModelError

TOKENS = tokenizer("metaspace")
SIZE = len(TOKENS)
SMALL = {"vocab_size": SIZE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
BETWEEN = 28  # tokens: more than the shortest of the prompts drawn here, fewer than the longest
LLAMA = SMALL | {"intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": 0.1}
BERT = SMALL | {"intermediate_size": 64, "initializer_range": 0.1, "max_position_embeddings": 256}


def saved(net, folder, tokens=TOKENS) -> str:
    net.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return str(folder)


def made(kind, config, folder) -> str:
    torch.manual_seed(0)
    return saved(kind(config).eval(), folder)


def long_rows(pairs: int):
    """One task whose rows are long: several instructions with many pairs each."""
    return natural.draw(natural.load()[:1], pairs=pairs, instructions=3)


def check(folder, drawn, tmp_path) -> dict:
    """Probe a model and compare states and answers with plain prompts; returns the way that was found."""
    model = loading.load(folder, device="cpu", dtype="float32")
    result, _ = architectures.compared(model, folder, drawn, tmp_path / "data")
    assert result.solved().any()
    return result.manifest["way"]


def refused(folder, drawn, tmp_path, monkeypatch, dtype="float32") -> str:
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    with pytest.raises(ModelError) as error:
        probe.observe(loading.load(folder, device="cpu", dtype=dtype), drawn, progress=quiet)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("part-*")), "before any long work"
    return str(error.value)


@pytest.fixture
def drawn():
    return natural.draw(natural.load()[:2], pairs=4, instructions=3)


def test_a_window_by_place_in_the_row_is_seen_on_rows_as_long_as_they_will_be(tmp_path):
    """GPT-Neo's local attention: rows of 30 pairs reach over its window, rows of three do not."""
    types = [[["global", "local"], 1]]
    config = GPTNeoConfig(vocab_size=SIZE, hidden_size=32, num_layers=2, num_heads=4, window_size=64,
                          max_position_embeddings=512, attention_types=types, initializer_range=0.1)  # fmt: skip
    way = check(made(GPTNeoForCausalLM, config, tmp_path / "m"), long_rows(30), tmp_path)
    assert way["row_tokens"] < 256


def test_rows_are_cut_to_learned_positions(tmp_path):
    config = GPT2Config(vocab_size=SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=100, initializer_range=0.1)
    way = check(made(GPT2LMHeadModel, config, tmp_path / "m"), long_rows(30), tmp_path)
    assert 0 < way["row_tokens"] <= 100


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
        {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [8.0] * 4,
         "original_max_position_embeddings": BETWEEN, "factor": 4.0},
    ],
    ids=lambda rope: rope["rope_type"],
)  # fmt: skip
def test_positions_that_depend_on_the_length_of_a_batch(rope, drawn, tmp_path):
    """Some prompts are shorter than the original positions, some longer: no two lengths may share a batch."""
    config = LlamaConfig(**LLAMA, max_position_embeddings=BETWEEN, rope_parameters=rope)
    if rope["rope_type"] == "longrope":
        config.max_position_embeddings = 4 * BETWEEN
    lengths = [len(TOKENS(f"{r.instruction}\nInput: {r.input}\nOutput:")["input_ids"]) for r in drawn.itertuples()]
    assert min(lengths) < BETWEEN < max(lengths)
    way = check(made(LlamaForCausalLM, config, tmp_path / "m"), drawn, tmp_path)
    assert not way["row_tokens"]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (ModernBertDecoderForCausalLM, lambda: ModernBertDecoderConfig(
            **(SMALL | {"intermediate_size": 64, "pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2,
                        "cls_token_id": 1, "sep_token_id": 2, "local_attention": 16}))),
        (BertLMHeadModel, lambda: BertConfig(**BERT, is_decoder=True)),
        (RobertaForCausalLM, lambda: RobertaConfig(**BERT, is_decoder=True, pad_token_id=3)),
    ],
    ids=["modernbert", "bert", "roberta"],
)  # fmt: skip
def test_heads_with_a_transform(kind, config, drawn, tmp_path):
    way = check(made(kind, config(), tmp_path / "m"), drawn, tmp_path)
    assert way["head_cut"]


def test_logits_that_are_capped(drawn, tmp_path):
    types = ["sliding_attention", "full_attention"]
    text = SMALL | {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16,
                    "layer_types": types, "final_logit_softcapping": 1.0, "max_position_embeddings": 512}  # fmt: skip
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, boi_token_index=590,
                          eoi_token_index=591, image_token_index=592)  # fmt: skip
    way = check(made(Gemma3ForConditionalGeneration, config, tmp_path / "m"), drawn, tmp_path)
    assert "language_model" in way["blocks"], "not the blocks of the vision model, of which there are as many"


def test_a_projected_embedding_has_layers_of_two_widths(drawn, tmp_path):
    config = OPTConfig(vocab_size=SIZE, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
                       word_embed_proj_dim=16, max_position_embeddings=256, init_std=0.1, do_layer_norm_before=True,
                       bos_token_id=1, eos_token_id=2, pad_token_id=3)  # fmt: skip
    check(made(OPTForCausalLM, config, tmp_path / "m"), drawn, tmp_path)
    (folder,) = [p for p in (tmp_path / "data" / "probes").iterdir() if p.is_dir()]
    result = probe.open_probe(folder)
    widths = [result.states(layer).shape[1] for layer in range(result.layers)]
    assert widths == result.manifest["widths"]
    assert len(set(widths)) == 2


def test_models_that_see_what_comes_after(drawn, tmp_path, monkeypatch):
    folder = made(BertLMHeadModel, BertConfig(**BERT), tmp_path / "bert")
    assert "depends on the words after it" in refused(folder, drawn, tmp_path, monkeypatch)
    config = XLNetConfig(vocab_size=SIZE, d_model=32, n_layer=2, n_head=4, d_inner=64, initializer_range=0.1)
    folder = made(XLNetLMHeadModel, config, tmp_path / "xlnet")
    assert "depends on the words after it" in refused(folder, drawn, tmp_path, monkeypatch)


@pytest.mark.parametrize(("dtype", "words"), [
    ("float16", "states are not numbers in float16; use bfloat16 or float32"),
    ("float32", "states are not numbers in float32; its weights hold no numbers"),
])  # fmt: skip
def test_states_that_are_not_numbers(dtype, words, drawn, tmp_path, monkeypatch):
    torch.manual_seed(0)
    net = LlamaForCausalLM(LlamaConfig(**LLAMA))
    with torch.no_grad():
        net.model.layers[0].mlp.down_proj.weight[:] = 6e4 if dtype == "float16" else float("nan")
    assert words in refused(saved(net, tmp_path / "m"), drawn, tmp_path, monkeypatch, dtype)


def test_numbers_that_overflow_on_one_prompt_alone(drawn, tmp_path, monkeypatch):
    """Not among the prompts that are tried first."""
    folder = made(LlamaForCausalLM, LlamaConfig(**LLAMA), tmp_path / "m")
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    model, real = loading.load(folder, dtype="float32"), probe.observe_rows

    def broken(model, way, rows):
        seen = real(model, way, rows)
        seen.states[1][-1, 0] = float("inf")
        return seen

    monkeypatch.setattr(probe, "observe_rows", broken)
    with pytest.raises(ModelError, match="not numbers"):
        probe.observe(model, drawn, progress=quiet)


def test_prompts_longer_than_the_positions(drawn, tmp_path, monkeypatch):
    config = GPT2Config(vocab_size=SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=BETWEEN)
    folder = made(GPT2LMHeadModel, config, tmp_path / "gpt2")
    assert f"more than the model's {BETWEEN} positions" in refused(folder, drawn, tmp_path, monkeypatch)
    short = BERT | {"max_position_embeddings": 44}  # enough for all, but RoBERTa leaves 4 of them unused
    folder = made(RobertaForCausalLM, RobertaConfig(**short, is_decoder=True, pad_token_id=3), tmp_path / "roberta")
    assert "gives no hidden states and logits" in refused(folder, drawn, tmp_path, monkeypatch)


def test_a_vocabulary_larger_than_the_embedding(drawn, tmp_path, monkeypatch):
    config = GPT2Config(vocab_size=SIZE // 2, n_embd=32, n_layer=2, n_head=4, n_positions=256)
    folder = made(GPT2LMHeadModel, config, tmp_path / "m")
    assert "they do not belong together" in refused(folder, drawn, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("config", "embedding"),
    [(MambaConfig(vocab_size=SIZE, hidden_size=32, num_hidden_layers=2, state_size=8), False),
     (GPT2Config(vocab_size=SIZE, n_embd=32, n_layer=2, n_head=4), True)],
)  # fmt: skip
def test_a_layer_0_that_is_no_embedding_is_said(config, embedding, drawn, tmp_path, monkeypatch, capsys):
    """Mamba hands out states after each block alone: its first one knows the words before the input."""
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    folder = made(AutoModelForCausalLM.from_config, config, tmp_path / "m")
    result = probe.observe(loading.load(folder, device="cpu", dtype="float32"), drawn, progress=quiet)
    assert result.manifest["embedding"] == embedding
    said = [line for line in (capsys.readouterr().out, *table1.remarks(drawn, [result])) if trial.NO_EMBEDDING in line]
    assert len(said) == (0 if embedding else 2), "when the model is tried, and beside Table 1"


def test_a_model_that_draws_at_random(drawn, tmp_path, monkeypatch):
    folder = made(LlamaForCausalLM, LlamaConfig(**LLAMA), tmp_path / "m")
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    model = loading.load(folder, dtype="float32")
    model.whole.model.layers[0].register_forward_hook(lambda _m, _a, out: out + 0.1 * torch.randn_like(out))
    with pytest.raises(ModelError, match="a second time"):
        probe.observe(model, drawn, progress=quiet)


def test_a_model_that_gives_no_hidden_states(drawn, tmp_path, monkeypatch):
    folder = made(LlamaForCausalLM, LlamaConfig(**LLAMA), tmp_path / "m")
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    model = loading.load(folder, dtype="float32")
    real = type(model.whole).forward

    def silent(self, *arguments, **named):
        output = real(self, *arguments, **named)
        output.hidden_states = None
        return output

    monkeypatch.setattr(type(model.whole), "forward", silent)
    with pytest.raises(ModelError, match="gives no hidden states and logits"):
        probe.observe(model, drawn, progress=quiet)


def test_mixed_lengths_of_rows_where_sharing_works_for_single_prompts_alone(tmp_path):
    """Linear attention takes no mask: a row of one prompt is right, and says nothing of rows of two."""
    folder = tmp_path / "m"
    architectures.build("qwen3_next", folder)
    assert AutoModelForCausalLM.from_pretrained(folder)
    drawn = natural.draw(natural.load()[:2], pairs=4, instructions=3)
    assert not check(str(folder), drawn, tmp_path)["row_tokens"]


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_what_the_trial_did_not_meet_is_found_in_the_work(off, drawn, tmp_path, monkeypatch):
    folder = made(LlamaForCausalLM, LlamaConfig(**LLAMA), tmp_path / "m")
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    model, real = loading.load(folder, dtype="float32"), probe.observe_rows

    def shifted(model, way, rows):
        seen = real(model, way, rows)
        return seen if way == probe.PLAIN else dataclasses.replace(seen, states=[h + off for h in seen.states])

    monkeypatch.setattr(probe, "observe_rows", shifted)
    if not off:
        probe.observe(model, drawn, progress=quiet)
        return
    with pytest.raises(ModelError, match="differ from a plain pass"):
        probe.observe(model, drawn, progress=quiet)
    assert not list(tmp_path.rglob("part-*"))
