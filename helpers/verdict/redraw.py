"""Every figure that the tables hold all of, drawn anew: `make figures`, or `python -m helpers.verdict.redraw`.

Notebooks draw them when they run. This takes seconds and needs no run, so that figures whose look has changed can be
renewed beside committed tables. Left out are those that need more than tables: of the data set itself, maps of hidden
states, the explorer's, and the search for readings, whose rows notebook 09 chooses.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from helpers import figures, profiles, store
from helpers.analysis import course
from helpers.errors import exit_status
from helpers.figures.names import stem
from helpers.figures.style import OTHERS, SPLIT_TITLES
from helpers.rows import CONTROL, best_epoch
from helpers.table_folder import TableFolder
from helpers.tables import RUN
from helpers.verdict.claims import CLAIMS, EVERY, OURS, K
from helpers.verdict.judge import UNMEASURED

RULES = {key: (claim.rule.above, claim.rule.below) for key, claim in EVERY.items()}
STATEMENTS = {key: claim.statement for key, claim in EVERY.items()}


def best_epochs(training: pd.DataFrame, width: int) -> dict[int, int]:
    """Seed -> first epoch with the highest validation accuracy, from training.csv."""
    rows = training[training["width"] == width]
    return {int(seed): best_epoch(part) for seed, part in rows.groupby("seed")}


def drawn(tables: TableFolder) -> Iterator[tuple[str, Figure]]:
    """File name without suffix, and figure, one after the other.

    Raises:
        store.ArtefactError: a table that every profile has is missing (those of pretrained models may be).
    """
    yield from _of_runs(tables)
    if "llm_layers" in tables:
        yield from _of_pretrained(tables)
    yield from _of_verdict(tables)


def _of_runs(tables: TableFolder) -> Iterator[tuple[str, Figure]]:
    training, scores, near = (tables[name] for name in ("training", "clustering", "neighbours"))
    for width in training["width"].unique():
        best = best_epochs(training, width)
        yield stem("training", width), figures.training(training, width, best)
        for space in scores["space"].unique():
            yield f"{stem('f1', width)}_{space}", figures.clustering(scores, width, space, best)
            every = figures.clustering(scores, width, space, best, metrics=("f1", "ari", "ami"))
            yield f"{stem('scores', width)}_{space}", every
        ks, epochs = near["k"].unique(), near.loc[near["width"] == width, "epoch"]
        k = K if K in ks else min(ks, key=lambda k: abs(k - K))  # a profile with other numbers of neighbours
        yield stem("neighbours", width), figures.neighbours(near, training, width, k, best)
        yield f"neighbours_k_w{width}", figures.neighbour_sensitivity(near, width, epochs.max())
        yield f"hard_examples_w{width}", figures.hard_examples(tables["hard"], width, best)
        for split in SPLIT_TITLES:
            yield f"variance_w{width}_{split}", figures.variance(tables["variance"], width, split, best)
        yield f"controls_w{width}", figures.controls(tables["controls"], scores, tables["surface"], width)
        yield f"interventions_w{width}", figures.interventions(tables["interventions"], width)


def _of_pretrained(tables: TableFolder) -> Iterator[tuple[str, Figure]]:
    layers = tables["llm_layers"]
    yield "llm_layers", figures.llm_layers(layers)
    for model, part in layers.groupby("model", sort=False):
        if part["revision"].nunique() > 1:
            yield f"llm_revisions_{Path(model).name}", figures.llm_revisions(part)
    yield "llm_neighbours", figures.llm_neighbours(tables["llm_neighbours"])


def _of_verdict(tables: TableFolder) -> Iterator[tuple[str, Figure]]:
    if "claims" in tables:
        yield "claims", claims(tables["claims"])
        yield "claims_ours", claims_of_ours(tables["claims"])
    if "claims_outputs" in tables:
        yield "claims_outputs", claims_of_outputs(tables["claims_outputs"])
    if "thresholds" in tables and shows(tables["thresholds"]):
        yield "thresholds", thresholds(tables["thresholds"])
    yield "alternatives", alternatives(tables["alternatives"])
    if "alternatives_grids" in tables:
        yield "alternatives_grids", alternatives_of_grids(tables["alternatives_grids"])
    if "course" in tables:
        yield from _of_course(tables)
    if "multiverse" in tables:
        yield "multiverse", multiverse(tables["multiverse"], other_seeds(tables))


def shows(thresholds: pd.DataFrame) -> bool:
    """Whether anything of thresholds.csv was measured; runs cut short say nothing of late training."""
    return bool((thresholds["verdict"] != UNMEASURED).any())


def claims(table: pd.DataFrame) -> Figure:
    """The quantity of every statement of the paper with its interval, from claims.csv."""
    title = "Every statement of the paper: quantity and 95% interval over seeds; shaded: where it holds"
    return figures.claims(table, {claim.key: RULES[claim.key] for claim in CLAIMS}, STATEMENTS, title)


def claims_of_ours(table: pd.DataFrame) -> Figure:
    """The same of our own statements."""
    title = "Our own statements: quantity and 95% interval over seeds; shaded: where it holds"
    return figures.claims(table, {claim.key: RULES[claim.key] for claim in OURS}, STATEMENTS, title)


def claims_of_outputs(table: pd.DataFrame) -> Figure:
    """The same with the loss on outputs alone, from claims_outputs.csv."""
    title = "Every statement with the loss on outputs alone: quantity and 95% interval"
    return figures.claims(table, RULES, STATEMENTS, title)


def thresholds(table: pd.DataFrame) -> Figure:
    """Verdicts for several numbers that 'high' may mean, from thresholds.csv."""
    return figures.thresholds(table, STATEMENTS, RULES)


def alternatives(table: pd.DataFrame) -> Figure:
    """Highest F1 by task of a profile's runs, from alternatives.csv."""
    runs = len(table.drop_duplicates(list(RUN)))
    return figures.alternatives(table, _highest(runs))


def alternatives_of_grids(table: pd.DataFrame) -> Figure:
    """Highest F1 by task of all runs of `make verdict` that had a task to learn, from alternatives_grids.csv."""
    table = table[~table["variant"].astype(str).str.contains(CONTROL)]
    return figures.alternatives(table, _highest(table["run"].nunique()))


def _highest(runs: int) -> str:
    of = "" if runs == 1 else f" of any of {runs} runs, the best of many"
    return f"Highest F1 by task at any layer of up to three epochs{of} (in brackets: labels permuted)"


def multiverse(variants: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """Every quantity under changes to open choices, from multiverse.csv, beside the default with other seeds.

    Args:
        seeds: of `other_seeds`; may have no rows.
    """
    shown = pd.concat([variants, seeds.assign(variant=OTHERS)]) if len(seeds) else variants
    return figures.multiverse(shown, RULES)


def flips(tables: TableFolder) -> Figure | None:
    """Which change to an open choice moves each quantity most; None without the runs of `make verdict`."""
    if "multiverse" not in tables:
        return None
    return figures.flips(tables["multiverse"], other_seeds(tables), RULES)


def _of_course(tables: TableFolder) -> Iterator[tuple[str, Figure]]:
    own = tables["course"]
    yield "course", figures.course(course.beside(own, tables.get("course_grids")))
    for width in own["width"].unique():
        yield f"course_w{width}", figures.seen(course.highest(own), width)


def other_seeds(tables: TableFolder) -> pd.DataFrame:
    """The rows of parts.csv that differ from the default in a seed; none without that table."""
    if "parts" not in tables:
        return tables["multiverse"][:0]
    return tables["parts"].query("variant != 'default'")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = profiles.command_line("helpers.verdict.redraw", "Draw figures/<profile> anew from data/<profile>/tables.")
    given = parser.parse_args(arguments)

    def draw() -> None:
        name = profiles.output_name(given.profile, given.set)
        for file, figure in drawn(TableFolder(store.DATA / name / "tables")):
            store.write_pictures(store.FIGURES / name / file, figure)
            print(f"figures/{name}/{file}")

    return exit_status(draw)


if __name__ == "__main__":
    sys.exit(main())
