"""Speed and memory against named baselines, each pair measured in one run on this machine (`make bench`).

Every measurement runs in a process of its own, so that threads, caches and memory of one do not touch the
next. Times are medians. Ratios say how many times better ours is; they travel between machines, times do not.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import store
from helpers.analysis import clustering, spaces
from helpers.device import choose, cores, keep_freed_memory
from helpers.gpt import model as gpt
from helpers.gpt import runs, train
from helpers.pretrained import loading, natural, probe
from helpers.running import sweep
from helpers.settings import PROMPT, resolve
from helpers.tables import SPLITS, TABLES
from helpers.task import synthetic

STEPS = 12  # timed training steps, after two that warm up
TRAINER_STEPS = 4  # the baseline's are long


def training_throughput() -> list[dict]:
    """Instances a second of the laptop profile's training step against transformers' Trainer."""
    ours, share = _ours_in_own_process()
    rows = []
    for precision in ("float32", "bfloat16"):
        theirs = _apart(_trainer_instances_per_second, precision)
        name = f"transformers Trainer, padded rows, {precision}, default collator"
        rows.append(_row(f"training against {precision}", ours, theirs, name, "instances/s"))
    return [*rows, share]


def _ours_in_own_process() -> tuple[float, dict]:
    throughput, achieved, peak, precision = _apart(_our_instances_per_second)
    share = _row("share of matmul peak", achieved, peak, f"4096 x 4096 {precision} matmul", "GFLOP/s")
    return throughput, share | {"ratio": achieved / peak}


def _our_instances_per_second() -> tuple[float, float, float, str]:
    import torch

    run, where = _laptop_run()
    trainer = train._Trainer(run, where)
    rows = run.rows["train"]
    order = train.batches.epoch_order(len(rows), run.settings.training.instructions_per_step, 0, 1)[: STEPS + 2]
    times, tokens = [], []
    for i, part in enumerate(order):
        start = time.perf_counter()
        batch = rows.batch(part).to(where.device)
        trainer._step(batch, i)
        _wait(where.device)
        times.append(time.perf_counter() - start)
        tokens.append(int((rows.lengths[part] + rows.inputs.shape[1]).sum()))
    seconds = statistics.median(times[2:])
    matrices = sum(p.numel() for p in trainer.model.transformer.h.parameters() if p.dim() == 2)
    achieved = 6 * matrices * statistics.median(tokens[2:]) / seconds / 1e9
    dtype = getattr(torch, where.precision)
    a = torch.randn(4096, 4096, device=where.device, dtype=dtype)
    peak = 2 * 4096**3 / _median_seconds(lambda: (a @ a, _wait(where.device)), 5) / 1e9
    return len(order[0]) * rows.inputs.shape[1] / seconds, achieved, peak, where.precision


def _trainer_instances_per_second(precision: str) -> float:
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    run, where = _laptop_run()
    rows, m = run.rows["train"], run.rows["train"].inputs.shape[1]
    longest = int(rows.lengths.max()) + 2
    examples = []
    for r in range(len(rows)):
        for j in range(m):
            tokens = [*rows.symbols[r][: rows.lengths[r]], rows.inputs[r, j], rows.outputs[r, j]]
            padding = [0] * (longest - len(tokens))
            examples.append(
                {
                    "input_ids": [int(t) for t in tokens] + padding,
                    "attention_mask": [1] * len(tokens) + padding,
                    "labels": [int(t) for t in tokens] + [-100] * len(padding),
                }
            )

    class Clock(TrainerCallback):
        """Notes when each step ends."""

        def __init__(self) -> None:
            self.ends = []

        def on_step_end(self, *_, **__) -> None:
            _wait(where.device)
            self.ends.append(time.perf_counter())

    clock = Clock()
    size = run.settings.training.instructions_per_step * m
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=size,
            max_steps=TRAINER_STEPS + 1,
            learning_rate=run.settings.training.learning_rate,
            lr_scheduler_type="cosine",
            bf16=precision == "bfloat16",
            use_cpu=where.device.type == "cpu",
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        model = gpt.build(run.settings.model, len(run.dataset.vocabulary), 0)
        Trainer(
            model, arguments, train_dataset=examples, data_collator=default_data_collator, callbacks=[clock]
        ).train()
    return size / statistics.median(np.diff(clock.ends))


def growth() -> list[dict]:
    """Seconds an instance, and memory, of a recorded epoch at ten times the instances (width 64)."""
    small, large = (_apart(_recorded_epoch, size) for size in ("", "data.instructions_per_distribution=98"))
    name = f"{small[0]:,} instances instead of {large[0]:,}"
    return [
        _row("time an instance at ten times the data", large[1], small[1], name, "ms", lower_is_better=True),
        _row("peak memory at ten times the data", large[2], small[2], name, "MiB", lower_is_better=True),
    ]


def _recorded_epoch(size: str) -> tuple[int, float, float]:
    settings = resolve("laptop", f"width=64 training.stop_epoch=1 training.log_also=[1] {size}").runs()[0]
    with tempfile.TemporaryDirectory() as folder:
        store.DATA = Path(folder)
        dataset = synthetic.generate(settings.data)
        run = train.train(settings, dataset, progress=lambda epochs, **_: epochs)
        count = len(dataset.split("train"))
        seconds = run.history["seconds"].iloc[-1]
    return count, 1000 * seconds / count, _peak_memory()


def data_generation() -> list[dict]:
    """Seconds an instance of drawing data at a hundred times the tasks."""
    small, large = (
        _apart(_generate, size)
        for size in (
            "",
            "data.number_of_tasks=5000 data.distributions=14900 data.task_vocabulary_size=170 "
            "data.instruction_vocabulary_size=200",
        )
    )
    name = f"{small[0]:,} instances instead of {large[0]:,}"
    return [_row("time an instance of drawing data", large[1], small[1], name, "ms", lower_is_better=True)]


def _generate(size: str) -> tuple[int, float]:
    settings = resolve("laptop", size).runs()[0].data
    synthetic.generate(resolve("smoke").runs()[0].data)  # imports
    start = time.perf_counter()
    made = synthetic.generate(settings)
    return len(made.instances), 1000 * (time.perf_counter() - start) / len(made.instances)


def kmeans_sweep() -> list[dict]:
    """KMeans against all labels, at seven layers, two sets and eight epochs of states made up like those of
    width 768, against scikit-learn in a plain loop."""
    ours, our_scores = _apart(_our_kmeans)
    theirs, their_scores = _apart(_plain_kmeans)
    difference = float(np.abs(np.subtract(our_scores, their_scores)).max())
    return [
        _row("KMeans sweep", ours, theirs, "scikit-learn, one fit after the other", "s", lower_is_better=True),
        _row("KMeans sweep, largest difference of a score", difference, 0.0, "the same scores", "F1, ARI or AMI")
        | {"ratio": float("nan")},
    ]


def _sweep_problems():
    settings = resolve("laptop")
    dataset = _dataset(settings)
    rng = np.random.default_rng(0)
    problems = []
    for _epoch in range(8):
        for split in SPLITS:
            frame = dataset.split(split)
            labels = clustering.labels_of(frame)
            by_input = rng.normal(size=(len(dataset.vocabulary), 768))
            by_task = rng.normal(size=(frame["task"].max() + 1, 768))
            inputs = dataset.inputs(split)
            for _layer in range(7):
                noise = 2 * rng.normal(size=(len(frame), 768))
                points = by_input[inputs] + 0.7 * by_task[frame["task"]] + noise
                problems.append((points, labels, settings.clustering))
    return problems


def _our_kmeans() -> tuple[float, list[float]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    problems = _sweep_problems()
    start = time.perf_counter()
    found = Parallel(n_jobs=cores(), inner_max_num_threads=1)(delayed(_one_of_ours)(*p) for p in problems)
    seconds = time.perf_counter() - start
    get_reusable_executor().shutdown()  # its workers would keep this process for five minutes
    return seconds, [s for scores in found for s in scores]


def _one_of_ours(points, labels, settings) -> list[float]:
    rows, _ = clustering._scored(spaces.same_distances(points), labels, settings)
    return [row[name] for row in rows for name in ("f1", "ari", "ami")]


def _plain_kmeans() -> tuple[float, list[float]]:
    from sklearn.cluster import KMeans

    problems = _sweep_problems()
    start = time.perf_counter()
    scores = []
    for points, labels, settings in problems:
        for truth in labels.values():
            model = KMeans(len(np.unique(truth)), n_init=settings.n_init, random_state=settings.seed)
            scores += clustering.scores(truth, model.fit_predict(points)).values()
    return time.perf_counter() - start, scores


def tsne_fit() -> list[dict]:
    """One t-SNE of 315 states at Table 5's settings: against the exact method, and what limits it.

    Its iterations do: with an eighth of them it takes about an eighth of the time. A second thread helps less than a
    second fit beside the first.
    """
    ours, exact = (_apart(_tsne, method) for method in ("barnes_hut", "exact"))
    short, threads = _apart(_tsne, "barnes_hut", 250), _apart(_tsne, "barnes_hut", 2000, 2)
    return [
        _row("t-SNE of 315 states", ours, exact, "scikit-learn's exact method", "s", True),
        _row("t-SNE with 250 iterations", short, ours, "the same with 2,000", "s", True),
        _row("t-SNE with 2 threads", threads, ours, "the same with one", "s", True),
    ]


def _tsne(method: str, iterations: int = 2000, threads: int = 1) -> float:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    points = np.random.default_rng(0).normal(size=(315, 768)).astype(np.float32)
    settings = resolve("laptop").tsne.model_copy(update={"number_of_iterations": iterations})
    with threadpool_limits(threads):
        if method == "barnes_hut":
            return _median_seconds(lambda: spaces.tsne(points, settings, 0), 3)
        plain = TSNE(
            3, perplexity=settings.perplexity, max_iter=settings.number_of_iterations, init="pca", method=method
        )
        return _median_seconds(lambda: plain.fit_transform(points), 3)


def probe_throughput() -> list[dict]:
    """The probe on the default model and all 8,800 prompts, against what a user would write, in both precisions."""
    rows = []
    for dtype in ("auto", "float32"):
        seconds, memory, precision = _apart(_our_probe, dtype)
        if any(row["name"].startswith(f"probe in {precision},") for row in rows):
            break  # this machine has nothing faster
        for theirs in dict.fromkeys((precision, "float32")):
            for batch, count, how in ((1, 48, "one prompt at a time"), (32, 480, "padded batches of 32")):
                name = f"transformers, {theirs}, {how}, output_hidden_states=True"
                baseline = _apart(_plain_probe, batch, count, theirs)
                rows.append(_row(f"probe in {precision}, {how}, {theirs}", seconds, baseline, name, "s/prompt", True))
        rows.append(_row(f"probe in {precision}, memory above weights", memory, 1536.0, "1.5 GB allowed", "MiB", True))
    return rows


def _our_probe(dtype: str) -> tuple[float, float, str]:
    instances = natural.draw(natural.load())
    model = loading.load(dtype=dtype)
    before = _memory()
    with tempfile.TemporaryDirectory() as folder:
        store.DATA = Path(folder)
        start = time.perf_counter()
        probe.observe(model, instances)
        seconds = time.perf_counter() - start
    precision = str(next(model.body.parameters()).dtype).removeprefix("torch.")
    return seconds / len(instances), _peak_memory() - before, precision


def _plain_probe(batch: int, count: int, dtype: str) -> float:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(loading.default_folder(), dtype=getattr(torch, dtype))
    tokens, texts = _default_prompts(count)

    def observe(part: list[str]) -> None:
        model(**tokens(part, return_tensors="pt", padding=True), output_hidden_states=True)

    return _seconds_per_prompt(observe, texts, batch)


def _default_prompts(count: int):
    """The default model's tokenizer, and some of the 8,800 prompts."""
    from transformers import AutoTokenizer

    instances = natural.draw(natural.load()).sample(count, random_state=0)
    tokens = AutoTokenizer.from_pretrained(loading.default_folder())
    tokens.padding_side = "right"
    texts = zip(instances["instruction"], instances["input"], strict=True)
    return tokens, [PROMPT.format(instruction=i, input=x) for i, x in texts]


def _seconds_per_prompt(observe, texts: list[str], batch: int) -> float:
    """Median over batches, but for the first."""
    import torch

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
    ours, _, precision = _apart(_our_probe, "auto")
    theirs = _apart(_lens_probe, 32, 480, precision)
    name = f"TransformerLens, {precision}, padded batches of 32, run_with_cache of every layer's residual stream"
    return [_row(f"probe in {precision}, TransformerLens", ours, theirs, name, "s/prompt", True)]


def _lens_probe(batch: int, count: int, dtype: str) -> float:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        str(loading.default_folder()), device="cpu", dtype=getattr(torch, dtype)
    )
    tokens, texts = _default_prompts(count)

    def observe(part: list[str]) -> None:
        encoded = tokens(part, return_tensors="pt", padding=True)
        bridge.run_with_cache(
            encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            names_filter=lambda name: name.endswith(("hook_resid_pre", "hook_resid_post", "hook_in", "hook_out")),
        )

    return _seconds_per_prompt(observe, texts, batch)


def sweep_workers() -> list[dict]:
    """Runs an hour of a sweep of small runs (width 32, 4 epochs, analysed), by workers."""
    one = _apart(_runs_an_hour, 1)
    counts = sorted({2, cores()} - {1}) if cores() > 1 else []
    name = "one worker with the threads of all"
    return [_row(f"sweep, {n} workers", _apart(_runs_an_hour, n), one, name, "runs/h") for n in counts]


def _runs_an_hour(workers: int) -> float:
    import os

    with tempfile.TemporaryDirectory() as folder:
        os.environ["CLM_ROOT"], store.DATA = folder, Path(folder) / "data"
        common = "width=32 training.stop_epoch=4 training.log_every=4 clustering.spaces=raw"
        wanted = sweep.points("laptop", common, {"seed": list(range(6))})
        start = time.perf_counter()
        tables = sweep.run(wanted, f"{workers} workers", workers=workers)
        assert (tables["runs"]["status"] == "done").all(), tables["runs"]["error"].tolist()
        return 3600 * len(wanted) / (time.perf_counter() - start)


def stacked_seeds() -> list[dict]:
    """A training step of five seeds of width 32 as one stacked model (torch.func) against one after the other."""
    separate, stacked = _apart(_seed_steps)
    name = "one seed after the other, the same batch, no dropout, float32, one thread"
    return [_row("five seeds stacked, width 32", stacked, separate, name, "s/step", True)]


def _seed_steps(seeds: int = 5) -> tuple[float, float]:
    import torch

    torch.set_num_threads(1)
    settings = resolve("laptop", "width=32 model.dropout=0 training.precision=float32").runs()[0]
    run = runs.open_run(settings, _dataset(resolve("laptop")))
    batch = run.rows["train"].batch(np.arange(settings.training.instructions_per_step))

    class Loss(torch.nn.Module):
        """The training loss as a module, which torch.func calls with other parameters."""

        def __init__(self, seed: int) -> None:
            super().__init__()
            self.model = gpt.build(settings.model, len(run.dataset.vocabulary), seed)

        def forward(self) -> torch.Tensor:
            hidden = gpt.forward(self.model, batch).hidden
            return train.losses(gpt.logits(self.model, hidden[batch.predictors]), batch)[0]

    models = [Loss(seed) for seed in range(seeds)]
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-4, fused=True) for m in models]

    def separately() -> None:
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            model().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    parameters, _ = torch.func.stack_module_state(models)
    parameters = {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=1e-4, fused=True)
    gradient = torch.func.vmap(torch.func.grad(lambda p: torch.func.functional_call(models[0], p, ())))

    def together() -> None:
        with torch.no_grad():
            found = gradient({name: p.detach() for name, p in parameters.items()})
        norms = torch.stack([g.flatten(1).pow(2).sum(1) for g in found.values()]).sum(0).sqrt()  # (seeds,)
        scale = (1.0 / (norms + 1e-6)).clamp(max=1)
        for name, p in parameters.items():
            p.grad = found[name] * scale.view(-1, *[1] * (p.dim() - 1))
        optimizer.step()

    return _median_seconds(separately, 20), _median_seconds(together, 20)


BENCHES = {
    "training": training_throughput,
    "growth": growth,
    "data": data_generation,
    "kmeans": kmeans_sweep,
    "tsne": tsne_fit,
    "probe": probe_throughput,
    "lens": transformer_lens,
    "sweep": sweep_workers,
    "stacked": stacked_seeds,
}


def _laptop_run():
    """The laptop profile's run, unopened on disk, and where it would compute."""
    settings = resolve("laptop")
    one = settings.runs()[0]
    keep_freed_memory()
    return runs.open_run(one, _dataset(settings)), choose(one.training.precision)


def _dataset(settings):
    return synthetic.generate(settings.runs()[0].data)


def _apart(function, *arguments):
    """The result of a function called in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _row(name, ours, baseline, baseline_name, unit, lower_is_better=False) -> dict:
    ratio = baseline / ours if lower_is_better and ours else ours / baseline if baseline else float("nan")
    return {
        "name": name,
        "ours": ours,
        "baseline": baseline,
        "baseline_name": baseline_name,
        "ratio": ratio,
        "unit": unit,
    }


def _median_seconds(function, times: int) -> float:
    function()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def _wait(device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()


def _memory() -> float:
    """Resident memory now, in MiB."""
    import psutil

    return psutil.Process().memory_info().rss / 2**20


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(arguments: list[str] | None = None) -> int:
    """Command line; writes bench.csv and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.benchmarks.speed", description=__doc__)
    parser.add_argument("--only", choices=list(BENCHES), action="append", help="measure this alone (repeatable)")
    parser.add_argument("--profile", default="laptop", help="whose tables to write to (default: laptop)")
    given = parser.parse_args(arguments)
    path = store.DATA / given.profile / "tables" / "bench.csv"
    columns = TABLES["bench"].split()
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)
    for name in given.only or BENCHES:
        print(f"measuring {name} ...", flush=True)
        found = pd.DataFrame(BENCHES[name](), columns=columns)
        print(found.round(3).to_string(index=False), flush=True)
        known = pd.concat([f for f in (known[~known["name"].isin(found["name"])], found) if len(f)])
        store.write_csv(path, known, digits=4)
    store.write_json(path.with_name("bench.json"), store.provenance())
    print(f"written to {path.relative_to(store.ROOT)}")
    return 0


if __name__ == "__main__":
    from helpers.benchmarks import speed  # under its own name, by which other processes find its functions

    sys.exit(speed.main())
