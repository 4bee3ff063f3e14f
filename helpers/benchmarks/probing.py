"""Speed and memory of the probe, on the default model and all 8,800 prompts."""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import store
from helpers.benchmarks.harness import apart, memory, peak_memory, row, wait
from helpers.device import choose
from helpers.pretrained import default_model, loading, natural, probe
from helpers.settings import PROMPT


def probe_throughput() -> list[dict]:
    """Prompts a second in both precisions, against a plain loop of transformers."""
    rows = []
    for dtype in ("auto", "float32"):
        seconds, above, precision = apart(_our_probe, dtype)
        if any(row["name"].startswith(f"probe in {precision},") for row in rows):
            break  # this machine has nothing faster
        for theirs in dict.fromkeys((precision, "float32")):
            for batch, count, how in ((1, 48, "one prompt at a time"), (32, 480, "padded batches of 32")):
                name = f"transformers, {theirs}, {how}, output_hidden_states=True"
                baseline = apart(_plain_probe, batch, count, theirs)
                rows.append(row(f"probe in {precision}, {how}, {theirs}", seconds, baseline, name, "s/prompt", True))
        rows.append(row(f"probe in {precision}, memory above weights", above, 1536.0, "1.5 GB allowed", "MiB", True))
    return rows


def _our_probe(dtype: str) -> tuple[float, float, str]:
    instances = natural.draw(natural.load())
    model = loading.load(dtype=dtype)
    before = memory()
    with tempfile.TemporaryDirectory() as folder:
        store.DATA = Path(folder)
        start = time.perf_counter()
        probe.observe(model, instances)
        seconds = time.perf_counter() - start
    precision = str(next(model.body.parameters()).dtype).removeprefix("torch.")
    return seconds / len(instances), peak_memory() - before, precision


def _plain_probe(batch: int, count: int, dtype: str) -> float:
    device = choose().device  # where the probe itself computes
    model = AutoModelForCausalLM.from_pretrained(default_model.default_folder(), dtype=getattr(torch, dtype)).to(device)
    tokens, texts = _default_prompts(count)

    def observe(part: list[str]) -> None:
        model(**tokens(part, return_tensors="pt", padding=True).to(device), output_hidden_states=True)
        wait(device)

    return _seconds_per_prompt(observe, texts, batch)


def _default_prompts(count: int):
    """The default model's tokenizer, and some of the 8,800 prompts."""
    instances = natural.draw(natural.load()).sample(count, random_state=0)
    tokens = AutoTokenizer.from_pretrained(default_model.default_folder())
    tokens.padding_side = "right"
    texts = zip(instances["instruction"], instances["input"], strict=True)
    return tokens, [PROMPT.format(instruction=i, input=x) for i, x in texts]


def _seconds_per_prompt(observe, texts: list[str], batch: int) -> float:
    """Median over batches, but for the first."""
    times = []
    with torch.no_grad():
        for start in range(0, len(texts), batch):
            begun = time.perf_counter()
            observe(texts[start : start + batch])
            times.append((time.perf_counter() - begun) / batch)
    return statistics.median(times[1:])


def transformer_lens() -> list[dict]:
    """The probe against TransformerLens, which keeps every position of the layers asked for (extra `bench`)."""
    try:
        import transformer_lens  # noqa: F401
    except ImportError:
        print("TransformerLens is not installed, so not measured: pip install -e '.[bench]'", flush=True)
        return []
    ours, _, precision = apart(_our_probe, "auto")
    theirs = apart(_lens_probe, 32, 480, precision)
    name = f"TransformerLens, {precision}, padded batches of 32, run_with_cache of every layer's residual stream"
    return [row(f"probe in {precision}, TransformerLens", ours, theirs, name, "s/prompt", True)]


def _lens_probe(batch: int, count: int, dtype: str) -> float:
    from transformer_lens.model_bridge import TransformerBridge

    device = choose().device
    bridge = TransformerBridge.boot_transformers(
        str(default_model.default_folder()), device=device.type, dtype=getattr(torch, dtype)
    )
    tokens, texts = _default_prompts(count)

    def observe(part: list[str]) -> None:
        encoded = tokens(part, return_tensors="pt", padding=True).to(device)
        bridge.run_with_cache(
            encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            names_filter=lambda name: name.endswith(("hook_resid_pre", "hook_resid_post", "hook_in", "hook_out")),
        )
        wait(device)

    return _seconds_per_prompt(observe, texts, batch)
