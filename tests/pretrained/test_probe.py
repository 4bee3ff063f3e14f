import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import KINDS, quiet

from helpers import store
from helpers.pretrained import failures, loading, observe, paper_models, probe, trial


def one_at_a_time(folder, instances):
    """States and answers as a user would compute them: one prompt, no padding, output_hidden_states."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = AutoTokenizer.from_pretrained(folder)
    found = []
    for row in instances.itertuples():
        upto = f"{row.instruction}\nInput: {row.input}"
        text = upto + "\nOutput:"
        ids = tokens(text, return_tensors="pt", return_offsets_mapping=True)
        last = [i for i, (a, b) in enumerate(ids["offset_mapping"][0].tolist()) if a < len(upto) and b > a][-1]
        with torch.no_grad():
            output = net(ids["input_ids"], output_hidden_states=True)
        found.append(torch.stack([h[0, last] for h in output.hidden_states]))
    return torch.stack(found, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_the_inputs_last_token_one_prompt_at_a_time(kind, saved, instances, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    model = loading.load(str(saved[kind]), dtype="float32")
    result = probe.observe(model, instances, progress=quiet)
    assert result.manifest["way"]["row_tokens"], "the fast way is exact for this architecture"
    assert result.manifest["way"]["blocks"], "and layers keep one position"
    assert result.manifest["way"]["head_cut"], "and the head sees only the answers' positions"
    theirs = one_at_a_time(saved[kind], instances)
    assert result.layers == len(theirs)
    prompts = probe.tokenise(model.tokenizer, instances)
    groups = [g.to_numpy() for _, g in instances.reset_index().groupby("instruction_id")["index"]]
    with torch.inference_mode():
        way = observe.Way(**result.manifest["way"])
        ours = observe.observe_rows(model, way, probe.shared_rows(prompts, groups)).states
    torch.testing.assert_close(torch.stack(ours).float(), theirs, atol=1e-4, rtol=1e-4)
    for layer in range(result.layers):  # what is kept on disk is rounded to float16
        kept = torch.from_numpy(result.states(layer))
        torch.testing.assert_close(kept, theirs[layer], atol=2e-3 * theirs[layer].abs().max().item(), rtol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_observed_token_ends_the_input(kind, saved, instances):
    model = loading.load(str(saved[kind]), dtype="float32")
    prompts = probe.tokenise(model.tokenizer, instances)
    for tokens, place, row in zip(prompts.tokens, prompts.at_input, instances.itertuples(), strict=True):
        upto = model.tokenizer.decode(tokens[: place + 1], skip_special_tokens=True)
        assert upto.strip().endswith(row.input), (upto, row.input)
    starts_with_bos = {tokens[0] == model.tokenizer.bos_token_id for tokens in prompts.tokens}
    assert starts_with_bos == {kind in ("llama", "gemma")}


def test_an_architecture_that_cannot_share_prefixes_goes_one_prompt_a_row_and_says_so(
    saved, instances, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(store, "DATA", tmp_path)
    model = loading.load(str(saved["llama"]), dtype="float32")
    real = observe._masks

    def blind(config, positions, tails, dtype):
        return torch.zeros_like(real(config, positions, tails, dtype))  # every token sees every other

    monkeypatch.setattr(observe, "_masks", blind)
    result = probe.observe(model, instances, progress=quiet)
    assert "one prompt a row instead" in capsys.readouterr().out, "it says so"
    assert not result.manifest["way"]["row_tokens"]
    theirs = one_at_a_time(saved["llama"], instances)
    torch.testing.assert_close(torch.from_numpy(result.states(2)), theirs[2], atol=5e-3, rtol=5e-3)


def test_blocks_that_cannot_be_watched_are_not(saved, instances, tmp_path, monkeypatch, capsys):
    model = loading.load(str(saved["gptj"]), dtype="float32")
    kept = {}
    real = trial._watched
    wrong = observe.Way(blocks="transformer.h", top="transformer.h.0.mlp")
    for name, ways in (("watched", real), ("wrong", lambda *_, **__: [wrong]), ("none", lambda *_, **__: [])):
        monkeypatch.setattr(store, "DATA", tmp_path / name)
        monkeypatch.setattr(trial, "_watched", ways)
        result = probe.observe(model, instances, progress=quiet)
        assert bool(result.manifest["way"]["blocks"]) == (name == "watched")
        assert ("for want of blocks to watch" in capsys.readouterr().out) == (name != "watched")
        kept[name] = [result.states(layer) for layer in range(result.layers)]
    for name in ("wrong", "none"):
        for ours, theirs in zip(kept["watched"], kept[name], strict=True):
            assert (ours == theirs).all()


def test_a_killed_probe_goes_on_where_it_stopped(saved, instances, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    monkeypatch.setattr(probe, "PART", 4)
    model = loading.load(str(saved["gpt2"]), dtype="float32")
    first = probe.observe(model, instances, progress=quiet)
    states = first.states(3)
    parts = sorted(first.folder.glob("part-*"))
    assert len(parts) == 4
    parts[2].unlink()
    kept = {p: p.stat().st_mtime_ns for p in parts if p.exists()}
    again = probe.observe(model, instances, progress=quiet)
    assert (again.states(3) == states).all()
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    parts[1].write_bytes(parts[1].read_bytes()[:-1])
    with pytest.raises(store.ArtefactError, match=r"part-0001\.safetensors was changed"):
        probe.observe(model, instances, progress=quiet)


def test_out_of_memory_halves_the_batch_and_goes_on(saved, instances, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "DATA", tmp_path)
    model = loading.load(str(saved["gpt2"]), dtype="float32")
    real, sizes = probe.observe_rows, []

    def small(model, way, rows):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return real(model, way, rows)

    whole = probe.observe(model, instances, progress=quiet).states(1)
    monkeypatch.setattr(store, "DATA", tmp_path / "again")
    monkeypatch.setattr(probe, "observe_rows", small)
    assert (abs(probe.observe(model, instances, progress=quiet).states(1) - whole) < 1e-2).all()
    assert "out of memory: batches of" in capsys.readouterr().out
    assert min(sizes) <= 2 < max(sizes)


def test_a_model_larger_than_memory_is_offloaded_to_disk(saved, instances, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    model = loading.load(str(saved["llama"]), dtype="float32", max_memory={"cpu": "60KB"})
    assert "disk" in model.placement
    result = probe.observe(model, instances, progress=quiet)
    theirs = one_at_a_time(saved["llama"], instances)
    torch.testing.assert_close(torch.from_numpy(result.states(4)), theirs[4], atol=5e-3, rtol=5e-3)


def test_rows_are_put_back_in_order():
    order = np.array([4, 0, 3, 1])
    assert order[probe._places(order, np.array([0, 1, 3, 4]))].tolist() == [0, 1, 3, 4]


def test_layers_that_a_model_lacks_are_refused_before_the_work(saved, instances, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    model = loading.load(str(saved["gpt2"]), dtype="float32")
    with pytest.raises(failures.ModelError, match="has layers 0 to 3"):
        probe.observe(model, instances, layers=[4], progress=quiet)
    assert not list(tmp_path.rglob("part-*"))


def test_the_papers_models_are_listed_with_published_scores():
    assert [m.name for m in paper_models.PAPER_MODELS] == [
        "LLaMa-7B",
        "LLaMa-13B",
        "GPT-J-6B",
        "LLaMa-2-7B-Instruct",
        "Instruct-GPT-J-6B",
    ]
    table = pd.DataFrame([m.task for m in paper_models.PAPER_MODELS], columns=["f1", "ari", "ami"])
    assert table["f1"].between(0.88, 0.96).all()
