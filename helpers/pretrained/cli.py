"""Point the probe at a model: `python -m helpers.pretrained.cli MODEL`, or `run` from a notebook.

Any Hugging Face causal language model by hub id, local folder or GGUF file; without a name, Gemma-3-270M
from an installed package, which needs no network.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from helpers import figures, store
from helpers.errors import exit_status
from helpers.pretrained import loading as loaders
from helpers.pretrained import natural, table1
from helpers.pretrained.probe import Probe, observe
from helpers.settings import PROMPT, digest
from helpers.tables import LABELS, TABLES


@dataclass
class Results:
    """Tables of one or several probed models, by (model, revision)."""

    probes: dict[tuple[str, str], Probe] = field(default_factory=dict)
    scores: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)  # of table1.score_layers

    def stacked(self, tables: dict[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
        """Tables of several models as one, with columns model and revision in front."""
        frames = []
        for (model, revision), table in tables.items():
            frames.append(table.assign(model=model, revision=revision))
        return pd.concat(frames, ignore_index=True)

    def layers(self) -> pd.DataFrame:
        """Every score of every layer, model and revision."""
        return self.stacked(self.scores)


def run(
    models: tuple[str, ...],
    instances: pd.DataFrame,
    revisions: tuple[str, ...] = (),
    template: str = PROMPT,
    layers: list[int] | None = None,
    n_init: int = 2,
    **loading,
) -> Results:
    """Observe and score models, each at every revision.

    Args:
        models: see loading.load.
        instances: from natural.draw.
        revisions: branches, tags or commits, such as checkpoints of pretraining; empty for the main one.
        template, layers, n_init: see prompts.tokenise and table1.score_layers.
        loading: further arguments of loading.load.

    Raises:
        loading.ModelError
    """
    results = Results()
    for name in models:
        for revision in revisions or (None,):
            model = loaders.load(name, revision, **loading)
            print(f"{model.name} {model.revision}: {model.reason}", flush=True)
            last = model.body.config.num_hidden_layers
            if layers and not all(0 <= n <= last for n in layers):
                raise loaders.ModelError(f"layers {layers}: {name} has layers 0 to {last}")
            key = model.name, model.revision
            results.probes[key] = observe(model, instances, template)
            del model  # its memory is needed for what follows
            results.scores[key] = table1.score_layers(results.probes[key], layers, n_init)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.pretrained.cli",
        description="Do a language model's hidden states cluster by task? Observes the model on 16 natural tasks, "
        "clusters every layer, and prints its row of the paper's Table 1.",
        epilog="The paper's models: "
        + "; ".join(f"{m.name}: {m.hub_id} ({m.gigabytes} GB)" for m in loaders.PAPER_MODELS),
    )
    parser.add_argument(
        "model", nargs="?", default=loaders.DEFAULT, help="hub id, folder or .gguf file (default: %(default)s)"
    )
    parser.add_argument("--revision", default="", help="branch, tag or commit, or several: step1000,step10000")
    parser.add_argument(
        "--data", type=Path, default=natural.FOLDER, help="folder of <category>/<task>.json (default: ours)"
    )
    parser.add_argument("--instructions", type=Path, help="folder to take <task>.instructions.txt from, if not --data")
    parser.add_argument(
        "--drop-multiword", action="store_true", help="leave out pairs of several words, and say how many"
    )
    parser.add_argument("--pairs", type=int, default=10, help="word pairs a task (default: %(default)s)")
    parser.add_argument(
        "--per-task", type=int, default=55, metavar="N", help="instructions a task (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument("--layers", type=_numbers, help="layers to cluster, as in 0,8,16 (default: all)")
    parser.add_argument("--template", default=PROMPT, help="text with {instruction} and {input}, or: chat")
    parser.add_argument("--device", default="auto", help="auto (GPUs, then CPU, then disk), cpu, cuda, cuda:1 ...")
    parser.add_argument(
        "--max-memory",
        type=_memory,
        metavar="DEVICE=SIZE,...",
        help="what weights may take on each device, the rest goes to disk: 0=70GiB,cpu=60GiB",
    )
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--trust-remote-code", action="store_true", help="let the model's repository run its code here")
    parser.add_argument("--allow-pickle", action="store_true", help="read pickled weights, which can run code")
    parser.add_argument("--out", type=Path, help="folder for tables and figures (default: one under data/probes)")
    return parser


def _numbers(text: str) -> list[int]:
    try:
        return [int(n) for n in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,8,16") from None


def _memory(text: str) -> dict:
    parts = [part.partition("=") for part in text.split(",")]
    if not all(device.isdigit() or device == "cpu" for device, _, _ in parts) or not all(size for _, _, size in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 0=70GiB,cpu=60GiB")
    return {int(device) if device.isdigit() else device: size for device, _, size in parts}


def main(arguments: list[str] | None = None) -> int:
    """Command line; writes tables under data/probes and returns the exit status."""
    given = _parser().parse_args(arguments)
    return exit_status(lambda: _probe(given), "stopped; the same command continues from what is finished")


def _probe(given: argparse.Namespace) -> None:
    start = time.monotonic()
    tasks = natural.load(given.data, given.instructions, given.drop_multiword)
    instances = natural.draw(tasks, given.pairs, given.per_task, given.seed)
    results = run(
        (given.model,),
        instances,
        tuple(r for r in given.revision.split(",") if r),
        given.template.replace("\\n", "\n"),
        given.layers,
        device=given.device,
        max_memory=given.max_memory,
        dtype=given.dtype,
        trust_remote_code=given.trust_remote_code,
        allow_pickle=given.allow_pickle,
    )
    _print(results, instances)
    folder = given.out or _report_folder(results)
    _write(results, folder)
    print(f"\ntables and figures in {folder}; {time.monotonic() - start:.0f} s")


def _print(results: Results, instances: pd.DataFrame) -> None:
    print(
        f"\n{len(instances):,} instances of {instances['task'].nunique()} tasks; "
        f"{natural.twin_share(instances):.0%} have an input that also occurs under another task"
    )
    rows = table1.table1(results.scores)
    for label in LABELS:
        part = rows[rows["label"] == label].drop(columns="label")
        print(f"\nTable 1, {label.replace('_', '-')}\n{part.round(3).astype(object).fillna('').to_string(index=False)}")
    print()
    for (model, revision), probe in results.probes.items():
        share, best = table1.solved(probe)["solved"].mean(), table1.best_layer(results.scores[model, revision])
        print(f"{model} {revision}: solves {share:.0%} of the instances; best layer {best}")


def _report_folder(results: Results) -> Path:
    """One for each set of probes, so that another model, data or template does not overwrite this one's."""
    folders = [probe.folder.name for probe in results.probes.values()]
    return store.DATA / "probes" / "reports" / f"{folders[0].rpartition('-')[0]}-{digest(folders)[:8]}"


def _write(results: Results, folder: Path) -> None:
    """Tables with the columns of data/README.md, and figures, as notebook 05 writes them."""
    layers = results.layers()
    solved = results.stacked({key: table1.solved(probe) for key, probe in results.probes.items()})
    tables = {"llm_layers": layers, "table1": table1.table1(results.scores), "llm_solved": solved}
    for name, table in tables.items():
        store.write_csv(folder / f"{name}.csv", table[TABLES[name].split()])
    drawn = {"llm_layers": figures.llm_layers(layers)}
    if len(results.probes) > 1:
        drawn["llm_revisions"] = figures.llm_revisions(layers)
    for name, figure in drawn.items():
        for suffix in ("svg", "png"):
            store.write_figure(folder / f"{name}.{suffix}", figure)


if __name__ == "__main__":
    sys.exit(main())
