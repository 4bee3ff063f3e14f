"""Training, recording and drawing data: against transformers' Trainer, and at many times the data."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

from helpers import store
from helpers.benchmarks.harness import apart, laptop_run, median_seconds, peak_memory, row, side_by_side, wait
from helpers.device import choose
from helpers.gpt import model as gpt
from helpers.gpt import train
from helpers.profiles import resolve
from helpers.task import synthetic

STEPS = 12  # timed training steps, after two that warm up
GPU_STEPS = 80  # likewise, where they are short
TRAINER_STEPS = 4  # the baseline's are long


def training_throughput() -> list[dict]:
    """Instances a second of the laptop profile's training step against transformers' Trainer.

    In float32, and in bfloat16 where this machine has instructions for it: without them a step of the Trainer takes
    minutes.
    """
    ours, share = _ours_in_own_process()
    rows = []
    if choose().device.type == "cuda":
        one_by_one = apart(_our_instances_per_second, GPU_STEPS, False)[0]
        rows.append(row("training step as a CUDA graph", ours, one_by_one, "its kernels one by one", "instances/s"))
    for precision in ("float32", "bfloat16") if choose().bfloat16 else ("float32",):
        theirs = apart(_trainer_instances_per_second, precision)
        name = f"transformers Trainer, padded rows, {precision}, default collator"
        rows.append(row(f"training against {precision}", ours, theirs, name, "instances/s"))
    return [*rows, share]


def beside_another() -> list[dict]:
    """Seconds of a training step where two runs train at once, each on all cores: threads that wait sleep, or spin."""
    ours, theirs = (_two_at_once(policy) for policy in ("passive", "active"))
    name = "threads that spin while they wait (OMP_WAIT_POLICY=active)"
    return [row("training step beside another run", ours, theirs, name, "s", lower_is_better=True)]


def _two_at_once(policy: str) -> float:
    before = os.environ["OMP_WAIT_POLICY"]
    os.environ["OMP_WAIT_POLICY"] = policy  # read by the new processes
    try:
        size = resolve("laptop").training.batch_size
        return statistics.mean(size / found[0] for found in side_by_side(2, _our_instances_per_second, 6))
    finally:
        os.environ["OMP_WAIT_POLICY"] = before


def _ours_in_own_process() -> tuple[float, dict]:
    throughput, achieved, peak, precision = apart(_our_instances_per_second)
    share = row("share of matmul peak", achieved, peak, f"4096 x 4096 {precision} matmul", "GFLOP/s")
    return throughput, share | {"ratio": achieved / peak}


def _our_instances_per_second(steps: int | None = None, graphs: bool = True) -> tuple[float, float, float, str]:
    run, where = laptop_run()
    trainer = train._Trainer(run, where)
    if not graphs:
        trainer.graphs = None
    steps = steps or (GPU_STEPS if where.device.type == "cuda" else STEPS)
    rows = run.rows["train"]
    order = train.batches.epoch_order(rows, run.settings.training.batch_size, 0, 1)[: steps + 2]
    ends = [time.perf_counter()]
    for i, batch in enumerate(train.batches.ahead(rows, order, where.device, fixed=trainer.graphs is not None)):
        trainer._step(batch, i)
        wait(where.device)
        ends.append(time.perf_counter())
    seconds = statistics.median(np.diff(ends)[2:])
    tokens = [int((rows.lengths[part] + rows.inputs.shape[1]).sum()) for (part,) in order]
    matrices = sum(p.numel() for p in trainer.model.transformer.h.parameters() if p.dim() == 2)
    achieved = 6 * matrices * statistics.median(tokens[2:]) / seconds / 1e9
    dtype = getattr(torch, where.precision)
    a = torch.randn(4096, 4096, device=where.device, dtype=dtype)
    peak = 2 * 4096**3 / median_seconds(lambda: (a @ a, wait(where.device)), 5) / 1e9
    return run.settings.training.batch_size / seconds, achieved, peak, where.precision


def _trainer_instances_per_second(precision: str) -> float:
    run, where = laptop_run()
    size = run.settings.training.batch_size
    clock = _Clock(where.device)
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
        examples = _padded_examples(run.rows["train"])
        parts = {"train_dataset": examples, "data_collator": default_data_collator, "callbacks": [clock]}
        Trainer(model, arguments, **parts).train()
    return size / statistics.median(np.diff(clock.ends))


def _padded_examples(rows) -> list[dict]:
    """One example an instance, as a user of Trainer would write them: padded to the longest, padding not learned."""
    longest = int(rows.lengths.max()) + 2
    examples = []
    for r in range(len(rows)):
        for x, y in zip(rows.inputs[r], rows.outputs[r], strict=True):
            tokens = [*map(int, rows.symbols[r][: rows.lengths[r]]), int(x), int(y)]
            padding = longest - len(tokens)
            examples.append(
                {
                    "input_ids": tokens + [0] * padding,
                    "attention_mask": [1] * len(tokens) + [0] * padding,
                    "labels": tokens + [-100] * padding,
                }
            )
    return examples


class _Clock(TrainerCallback):
    """Notes when each step of a Trainer ends."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.ends = device, []

    def on_step_end(self, *_, **__) -> None:
        wait(self.device)
        self.ends.append(time.perf_counter())


def growth() -> list[dict]:
    """Seconds an instance, and memory, of a recorded epoch at ten times the instances (width 64)."""
    small, large = (apart(_recorded_epoch, size) for size in ("", "data.instructions_per_distribution=98"))
    name = f"{small[0]:,} instances instead of {large[0]:,}"
    return [
        row("time an instance at ten times the data", large[1], small[1], name, "ms", lower_is_better=True),
        row("peak memory at ten times the data", large[2], small[2], name, "MiB", lower_is_better=True),
    ]


def _recorded_epoch(size: str) -> tuple[int, float, float]:
    settings = resolve("laptop", f"width=64 training.stop_epoch=1 training.log_also=[1] {size}").runs()[0]
    with tempfile.TemporaryDirectory() as folder:
        store.DATA = Path(folder)
        dataset = synthetic.generate(settings.data)
        run = train.train(settings, dataset, progress=lambda epochs, **_: epochs)
        count = len(dataset.split("train"))
        seconds = run.history["seconds"].iloc[-1]
    return count, 1000 * seconds / count, peak_memory()


def data_generation() -> list[dict]:
    """Seconds an instance of drawing data at a hundred times the tasks."""
    small, large = (
        apart(_generate, size)
        for size in (
            "",
            "data.number_of_tasks=5000 data.distributions=14900 data.task_vocabulary_size=170 "
            "data.instruction_vocabulary_size=200",
        )
    )
    name = f"{small[0]:,} instances instead of {large[0]:,}"
    return [row("time an instance of drawing data", large[1], small[1], name, "ms", lower_is_better=True)]


def _generate(size: str) -> tuple[int, float]:
    settings = resolve("laptop", size).runs()[0].data
    synthetic.generate(resolve("smoke").runs()[0].data)  # imports
    start = time.perf_counter()
    made = synthetic.generate(settings)
    return len(made.instances), 1000 * (time.perf_counter() - start) / len(made.instances)
