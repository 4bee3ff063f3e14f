"""Point the probe at a model: `python -m helpers.pretrained.cli MODEL`, or `run` from a notebook.

Any Hugging Face causal language model by hub id, local folder or GGUF file; without a name, Gemma-3-270M
from an installed package, which needs no network. What cannot be is refused before any long work, and a score that
says nothing (one category, one instruction) is left empty beside the paper's rows, with the reason.
"""

import argparse
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent

import pandas as pd

from helpers import figures, store
from helpers.errors import exit_status
from helpers.pretrained import answers, natural, table1
from helpers.pretrained.default_model import DEFAULT
from helpers.pretrained.loading import load
from helpers.pretrained.paper_models import PAPER_MODELS
from helpers.pretrained.probe import Probe, observe
from helpers.profiles import count
from helpers.settings import PROMPT, digest, template_text
from helpers.tables import LABELS, checked


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
    solved: str = "first",
    layers: list[int] | None = None,
    n_init: int = 2,
    **loading,
) -> Results:
    """Observe and score models, each at every revision.

    Args:
        models: see loading.load.
        instances: from natural.draw.
        revisions: branches, tags or commits, such as checkpoints of pretraining; empty for the main one.
        template, solved, layers, n_init: see prompts.tokenise, answers and table1.score_layers.
        loading: further arguments of loading.load.

    Raises:
        failures.ModelError, failures.ModelFailed
    """
    results = Results()
    for name in models:
        for revision in revisions or (None,):
            model = load(name, revision, **loading)
            print(f"{model.name} {model.revision}: {model.reason}", flush=True)
            key = model.name, model.revision
            results.probes[key] = observe(model, instances, template, solved, layers)
            del model  # its memory is needed for what follows
            results.scores[key] = table1.score_layers(results.probes[key], layers, n_init)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.pretrained.cli",
        description="Do a language model's hidden states cluster by task? Observes the model on 16 natural tasks, "
        "clusters every layer, and prints its row of the paper's Table 1.",
        epilog=f"words of your own (--data FOLDER):\n{indent(natural.SHAPE, '  ')}\n\nthe paper's models:\n"
        + "\n".join(f"  {m.name}: {m.hub_id} ({m.gigabytes} GB)" for m in PAPER_MODELS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", nargs="?", default=DEFAULT, help="hub id, folder or .gguf file (default: %(default)s)")
    add("--revision", default="", help="branch, tag or commit, or several: step1000,step10000")
    _add_words(parser)
    add("--layers", type=_layers, help="layers to cluster, as in 0,8,16 (default: all)")
    add("--template", type=_template, default=PROMPT, help="text with {instruction} and {input}, or: chat")
    add(
        "--solved",
        choices=answers.MODES,
        default="first",
        help="what counts as solved: the answer's first token, or the full answer (default: %(default)s)",
    )
    _add_loading(parser)
    add("--out", type=Path, help="folder for tables and figures (default: one under data/probes)")
    return parser


def _add_words(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        default=natural.FOLDER,
        metavar="FOLDER",
        help="word pairs and instructions of your own, <category>/<task>.json; the shape is below (default: ours)",
    )
    add(
        "--instructions", type=Path, metavar="FOLDER", help="where <category>/<task>.instructions.txt lie, if not there"
    )
    add("--drop-multiword", action="store_true", help="leave out pairs of several words, and say how many")
    add("--pairs", type=count, default=10, help="word pairs a task (default: %(default)s)")
    add("--per-task", type=count, default=55, metavar="N", help="instructions a task (default: %(default)s)")
    add("--seed", type=_seed, default=0, help="of the draw (default: %(default)s)")


def _add_loading(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--device", default="auto", help="auto (GPUs, then CPU, then disk), cpu, cuda, cuda:1 ..., mps (untested)")
    add(
        "--max-memory",
        type=_memory,
        metavar="DEVICE=SIZE,...",
        help="what weights may take on each device, the rest goes to disk: 0=70GiB,cpu=60GiB",
    )
    add("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    add("--trust-remote-code", action="store_true", help="let the model's repository run its code here")
    add("--allow-pickle", action="store_true", help="read pickled weights, which can run code")


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {2**32 - 1}")
    return int(text)


def _layers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of layers such as 0,8,16")
    return sorted({int(part) for part in parts})


def _template(text: str) -> str:
    try:
        return template_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _memory(text: str) -> dict:
    parts = [part.partition("=") for part in text.split(",")]
    named = all(device.isdecimal() or device == "cpu" for device, _, _ in parts)
    if not named or not all(re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", size, re.IGNORECASE) for _, _, size in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 0=70GiB,cpu=60GiB")
    return {int(device) if device.isdecimal() else device: size for device, _, size in parts}


def main(arguments: list[str] | None = None) -> int:
    """Command line; writes tables under data/probes and returns the exit status."""
    given = _parser().parse_args(arguments)
    return exit_status(lambda: _probe(given), "stopped; the same command continues from what is finished")


def _probe(given: argparse.Namespace) -> None:
    start = time.monotonic()
    if given.out:
        store.writable(given.out)
    tasks = natural.load(given.data, given.instructions, given.drop_multiword)
    instances = natural.draw(tasks, given.pairs, given.per_task, given.seed)
    results = run(
        (given.model,),
        instances,
        tuple(r for r in given.revision.split(",") if r),
        given.template,
        given.solved,
        given.layers,
        device=given.device,
        max_memory=given.max_memory,
        dtype=given.dtype,
        trust_remote_code=given.trust_remote_code,
        allow_pickle=given.allow_pickle,
    )
    _print(results, instances, given.solved)
    folder = given.out or _report_folder(results)
    _write(results, folder)
    print(f"\ntables and figures in {folder}; {time.monotonic() - start:.0f} s")


def _print(results: Results, instances: pd.DataFrame, solved: str) -> None:
    print(
        f"\n{len(instances):,} instances of {instances['task'].nunique()} tasks; "
        f"{natural.twin_share(instances):.0%} have an input that also occurs under another task"
    )
    rows = table1.table1(results.scores)
    for label in LABELS:
        part = rows[rows["label"] == label].drop(columns="label")
        print(f"\nTable 1, {label.replace('_', '-')}\n{part.round(3).astype(object).fillna('').to_string(index=False)}")
    print("\n".join(["", *table1.remarks(instances, results.probes.values())]))
    for (model, revision), probe in results.probes.items():
        share, (best, by) = table1.solved(probe)["solved"].mean(), table1.best(results.scores[model, revision])
        print(f"{model} {revision}: solves {share:.0%} of the instances; best layer {best} (by {by} F1)")
    print(f"solved: {answers.MEANING[solved]}")


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
        store.write_csv(folder / f"{name}.csv", checked(name, table))
    drawn = {"llm_layers": figures.llm_layers(layers)}
    if len(results.probes) > 1:
        drawn["llm_revisions"] = figures.llm_revisions(layers)
    for name, figure in drawn.items():
        store.write_pictures(folder / name, figure)


if __name__ == "__main__":
    sys.exit(main())
