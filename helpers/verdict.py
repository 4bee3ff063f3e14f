"""Every claim of the paper as a quantity, a rule and a verdict.

A claim's quantity is measured on the tables of one training run. Over runs that differ in their seed alone it gets a
95% interval, and the rule is asked of the interval's both ends. Rules follow the paper's words. They were written when
one seed of the main model had been looked at, and before any interval was; no threshold was changed since.

A review then asked what a run must show before a quantity is measured at all, which can only leave a claim undecided:
half of the schedule for statements about late training (`_late`), clusters for statements about clusters that last or
saturate (`CLUSTERED`), enough epochs for the one about early stopping (`LATE_ENOUGH`). Gains of neighbours are now
those of the layer that gains most (the best layer at the end was a matter of rounding), and both evaluation sets are
judged where the paper speaks of both. That clusters by task were there at an earlier epoch is a condition (`AT_PEAK`).
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from helpers import store
from helpers.llms import PAPER_MODELS, is_instruction_tuned
from helpers.workspace import TABLES

HOLDS, CONDITION, FAILS, UNTESTED = "holds", "holds under a stated condition", "does not hold", "not tested"
Tables = dict[str, pd.DataFrame]  # of one run: training, clustering, neighbours, hard, controls, causal


@dataclass(frozen=True)
class Rule:
    """What a quantity must be: above, or below, a threshold."""

    side: str  # above or below
    threshold: float

    def __str__(self) -> str:
        return f"{self.side} {self.threshold:g}"

    def of(self, low: float, high: float) -> bool | None:
        """True or False if the whole interval says so; None if it lies on both sides."""
        ends = [end > self.threshold if self.side == "above" else end < self.threshold for end in (low, high)]
        return ends[0] if ends[0] == ends[1] else None


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, what decides it, and when.

    Attributes:
        key: short name, for tables.
        statement: in our words.
        where: section, figure or table.
        quantity: what is measured, in words.
        paper: the paper's number or word.
        rule: asked of the quantity's interval.
        measure: (tables of one run, space) -> the quantity; NaN where that run cannot tell.
        spaces: the paper's own views of the states; the claim holds if it does in one of them.
        conditions: views that the paper does not take -> the condition that they state.
        widths: where it is asked; the paper's at all widths unless it names one.
        late: whether it speaks of late training, so that a run must have half of its schedule behind it.
        needs: what else a run must show for the quantity to be measured.
    """

    key: str
    statement: str
    where: str
    quantity: str
    paper: str
    rule: Rule
    measure: Callable[[Tables, str], float]
    spaces: tuple[str, ...] = ("raw", "tsne")
    conditions: dict[str, str] = field(default_factory=lambda: {"centred": CENTRED})
    widths: tuple[int, ...] = ()
    late: bool = True
    needs: str = ""


CENTRED, AT_PEAK = "after each input's mean state is subtracted", "at the epoch where it is highest, not late"
PEAK = "@peak"
PEAKS = {"centred": CENTRED, f"raw{PEAK}": AT_PEAK, f"tsne{PEAK}": AT_PEAK}
CLUSTERED = 0.7  # F1 from which there are clusters that can last or saturate
LATE_ENOUGH = 100  # epochs before it is asked which of them was the best
LONG_AFTER = 20  # epochs after the best one for which clusters must last


def _late(tables: Tables) -> bool:
    """Whether half of the schedule is behind a run: cosine annealing has then halved the learning rate."""
    rates = tables["training"].set_index("epoch")["learning_rate"]
    return bool(rates.loc[rates.index.max()] <= 0.505 * rates.max())


def f1(tables: Tables, space: str, label: str = "task", split: str = "subset") -> pd.DataFrame:
    """F1 by epoch (rows) and layer (columns); empty where this view was not taken."""
    table = tables["clustering"]
    chosen = (table["space"] == space) & (table["label"] == label) & (table["split"] == split)
    return table[chosen].pivot_table(index="epoch", columns="layer", values="f1")


def _best_at_end(grid: pd.DataFrame) -> float:
    """The best layer's score at the last epoch, layer 0 left out."""
    return float(grid.iloc[-1, 1:].max()) if len(grid) else float("nan")


def _score(label: str, split: str) -> Callable[[Tables, str], float]:
    """The best layer's F1 at the last epoch; of a space with PEAK behind it, at the epoch where it is highest."""

    def measure(tables: Tables, space: str) -> float:
        grid = f1(tables, space.removesuffix(PEAK), label, split)
        if space.endswith(PEAK):
            return float(grid.iloc[:, 1:].max().max()) if len(grid) else float("nan")
        return _best_at_end(grid)

    return measure


def _rise(split: str) -> Callable[[Tables, str], float]:
    """How much the layer that is best at the end has gained since it was untrained."""

    def measure(tables: Tables, space: str) -> float:
        grid = f1(tables, space, split=split)
        if len(grid) < 2 or grid.index[0] != 0:
            return float("nan")
        top = grid.iloc[-1, 1:].idxmax()
        return float(grid[top].iloc[-1] - grid[top].iloc[0])

    return measure


def _order(values: pd.Series) -> float:
    """Spearman's correlation of a score with the layer."""
    if values.nunique() < 2:
        return 0.0
    return float(stats.spearmanr(values.index, values).statistic)


def _deeper(tables: Tables, space: str) -> float:
    grid = f1(tables, space)
    return _order(grid.iloc[-1]) if len(grid) else float("nan")


def _flat(tables: Tables, space: str) -> float:
    """The largest distance of layer 0's score from what it was untrained."""
    grid = f1(tables, space)
    return float((grid[0] - grid[0].iloc[0]).abs().max()) if len(grid) > 1 else float("nan")


def best_epoch(tables: Tables) -> int:
    """First epoch with the highest validation accuracy."""
    training = tables["training"].set_index("epoch")
    return int(training["accuracy_validation"].idxmax())


def _stop(tables: Tables, _space: str) -> float:
    """The best epoch's distance from the paper's, of runs that might have had a later one."""
    enough = tables["training"]["epoch"].max() >= LATE_ENOUGH
    return float(abs(best_epoch(tables) - 51)) if enough else float("nan")


def _persists(tables: Tables, space: str) -> float:
    """Change, from the first logged epoch after the best one to the last, of the layer that was best at the first."""
    grid = f1(tables, space)
    after = grid.loc[best_epoch(tables) :]
    if not len(after) or after.index[-1] - after.index[0] < LONG_AFTER or after.iloc[0, 1:].max() < CLUSTERED:
        return float("nan")
    top = after.iloc[0, 1:].idxmax()
    return float(after[top].iloc[-1] - after[top].iloc[0])


def _hard_nearer(tables: Tables, space: str) -> float:
    table = tables["hard"]
    at_end = table[(table["space"] == space) & (table["epoch"] == table["epoch"].max()) & (table["layer"] > 0)]
    return float(at_end["nearer_own_task"].max()) if len(at_end) else float("nan")


def _peak(tables: Tables, space: str) -> float:
    """The highest score of unseen instances at any epoch less the last one's, best layer each."""
    best = f1(tables, space, split="validation").iloc[:, 1:].max(axis=1)
    return float(best.max() - best.iloc[-1]) if len(best) > 2 else float("nan")


def _early_accuracy(tables: Tables, _space: str) -> float:
    """Highest validation accuracy up to the epoch by which the loss has made a third of its way down."""
    training = tables["training"].set_index("epoch")
    loss = training["loss"]
    fallen = (loss.iloc[0] - loss) / (loss.iloc[0] - loss.min())
    return float(training["accuracy_validation"].loc[: (fallen >= 1 / 3).idxmax()].max())


def _abruptness(tables: Tables, _space: str) -> float:
    """Epochs from a fifth to four fifths of the highest validation accuracy, over those before it."""
    accuracy = tables["training"].set_index("epoch")["accuracy_validation"]
    if accuracy.max() < 0.5:
        return float("nan")  # it never rose
    start, end = ((accuracy >= share * accuracy.max()).idxmax() for share in (0.2, 0.8))
    return float((end - start) / max(start, 1))


def _saturate_together(tables: Tables, space: str) -> float:
    """Distance between the epochs at which accuracy and the best layer's score reach 95% of their highest."""
    grid = f1(tables, space, split="validation")
    if len(grid) < 8:
        return float("nan")  # too few logged epochs to place it
    accuracy = tables["training"].set_index("epoch")["accuracy_validation"]
    scores = grid[grid.iloc[-1, 1:].idxmax()]
    if scores.max() < CLUSTERED:
        return float("nan")
    reached = [(s >= 0.95 * s.max()).idxmax() for s in (accuracy, scores)]
    return float(abs(reached[0] - reached[1]) / accuracy.index.max())


def _neighbours(tables: Tables, column: str, k: int = 10) -> pd.DataFrame:
    table = tables["neighbours"]
    k = k if (table["k"] == k).any() else table["k"].median()
    return table[table["k"] == k].pivot_table(index="epoch", columns="layer", values=column)


def _neighbour_rise(column: str) -> Callable[[Tables, str], float]:
    def measure(tables: Tables, _space: str) -> float:
        grid = _neighbours(tables, column)
        return float((grid.iloc[-1, 1:] - grid.iloc[0, 1:]).max())

    return measure


def _neighbour_end(tables: Tables, _space: str) -> float:
    return _best_at_end(_neighbours(tables, "accuracy"))


def _neighbour_order(tables: Tables, _space: str) -> float:
    return _order(_neighbours(tables, "accuracy").iloc[-1])


def _causal(tables: Tables, _space: str) -> float:
    """At the best layer below the last: how much oftener the task's direction flips the answer than a random one."""
    table = tables.get("causal")
    if table is None or not len(table):
        return float("nan")
    table = table[table["layer"] < table["layer"].max()]
    wide = table.pivot_table(index="layer", columns="direction", values="became_other")
    return float((wide["task"] - wide["random"]).max())


NO_VIEW = ("all",)  # for claims that are not about a view of the states
CLAIMS = (
    Claim("task_subset", "Late in training, hidden states of the training subset cluster by task", "3.2, Fig. 1a",
          "F1, best layer, last epoch", "over 0.9", Rule("above", 0.9), _score("task", "subset"),
          conditions=PEAKS),
    Claim("task_validation", "So do those of unseen instances", "3.2, Fig. 1b", "F1, best layer, last epoch", "high",
          Rule("above", 0.8), _score("task", "validation"), conditions=PEAKS),
    Claim("task_rises", "Clustering by task improves strongly over training", "3.2, Fig. 1a",
          "gain in F1 over the untrained model, best layer", "a strong trend", Rule("above", 0.2), _rise("subset")),
    Claim("task_rises_validation", "So does that of unseen instances", "3.2, Fig. 1b",
          "gain in F1 over the untrained model, best layer", "a strong trend", Rule("above", 0.2), _rise("validation")),
    Claim("deeper_is_better", "It tends to improve in higher layers", "3.2, Fig. 1",
          "rank correlation of F1 with the layer, last epoch", "positive", Rule("above", 0.5), _deeper),
    Claim("layer0_flat", "Layer 0, the baseline, does not change much", "3.2, Fig. 1",
          "largest change of F1 at layer 0", "not much", Rule("below", 0.1), _flat, conditions={}, late=False),
    Claim("persists", "Clusters persist, and improve, long after the early-stopping epoch", "3.2, Fig. 1",
          "change of F1 after the best validation epoch", "0 or above", Rule("above", -0.05), _persists,
          late=False, needs=f"clusters (F1 {CLUSTERED:g}) at its best epoch and {LONG_AFTER} epochs after it"),
    Claim("stops_at_51", "The model stops early at epoch 51", "3.2, Fig. 2", "distance of the best epoch from 51",
          "epoch 51", Rule("below", 15), _stop, NO_VIEW, {}, (768,), late=False,
          needs=f"{LATE_ENOUGH} epochs"),
    Claim("hard_separate", "Hard examples part from the examples that they were made from", "3.2",
          "share of hard instances nearer to their own task than to their original, best layer",
          "most (from F1 over 0.9)", Rule("above", 0.5), _hard_nearer, ("raw",), {}),
    Claim("distribution", "Instances of the training subset cluster by distribution", "3.2, Fig. 1",
          "F1 on the training subset, best layer", "high", Rule("above", 0.8), _score("distribution", "subset")),
    Claim("distribution_mapping", "Those of the training subset cluster by distribution and mapping", "3.2, Fig. 1",
          "F1 on the training subset, best layer", "high", Rule("above", 0.8),
          _score("distribution_mapping", "subset")),
    Claim("distribution_validation", "Unseen instances, too, cluster by distribution", "3.2, Fig. 1",
          "F1 on the validation set, best layer", "high", Rule("above", 0.8), _score("distribution", "validation")),
    Claim("distribution_mapping_validation", "And by distribution and mapping", "3.2, Fig. 1",
          "F1 on the validation set, best layer", "high", Rule("above", 0.8),
          _score("distribution_mapping", "validation")),
    Claim("accuracy_late", "Accuracy stays near zero at first while the loss already falls", "3.1, Fig. 2",
          "validation accuracy when the loss has made a third of its way", "near 0", Rule("below", 0.1),
          _early_accuracy, NO_VIEW, {}, late=False),
    Claim("accuracy_abrupt", "Then it rises abruptly", "3.1, Fig. 2",
          "epochs from 20% to 80% of the highest accuracy, over the epochs before", "a jump", Rule("below", 1.0),
          _abruptness, NO_VIEW, {}, late=False, needs="accuracy above a half"),
    Claim("saturate_together", "Accuracy saturates close to when clustering does", "3.2, Fig. 2",
          "distance of the two epochs, over all epochs", "close", Rule("below", 0.15), _saturate_together, ("raw",),
          needs=f"clusters (F1 {CLUSTERED:g})"),
    Claim("same_task_share", "The share of neighbours with the same task rises dramatically", "3.3, Fig. 3a",
          "gain over the untrained model, layer that gains most, K = 10", "dramatic", Rule("above", 0.3),
          _neighbour_rise("same_task"), NO_VIEW, {}),
    Claim("knn_rises", "KNN accuracy rises over training", "3.3, Fig. 3b",
          "gain over the untrained model, layer that gains most, K = 10", "until high", Rule("above", 0.2),
          _neighbour_rise("accuracy"), NO_VIEW, {}),
    Claim("knn_high", "KNN accuracy saturates high", "3.3, Fig. 3b", "best layer, last epoch, K = 10", "high",
          Rule("above", 0.8), _neighbour_end, NO_VIEW, {}),
    Claim("knn_deeper", "KNN accuracy rises from layer to layer", "3.3, Fig. 3b",
          "rank correlation of accuracy with the layer, last epoch", "positive", Rule("above", 0.5),
          _neighbour_order, NO_VIEW, {}),
)  # fmt: skip
# Ours, judged by the same machinery.
OURS = (
    Claim("causal", "A state moved by the difference of two tasks' means answers as the other task",
          "not in the paper", "share of answers that follow, less that of a random direction, best layer but the last",
          "no number", Rule("above", 0.2), _causal, NO_VIEW, {}, late=False),
    Claim("peak", "Clusters by task of unseen instances fade again before training ends", "not in the paper",
          "highest F1 at any epoch less that of the last, best layer each", "no number", Rule("above", 0.1), _peak),
)  # fmt: skip
NUMBERS = {"ours": float, "low": float, "high": float}  # columns of the verdict; NaN where there is none
# Table -> grid file in data/grids.
GRIDS = {"quantities": "seeds", "outputs": "outputs", "multiverse": "multiverse", "parts": "parts"}
PARTS = {"data.seed": "data", "training.init_seed": "initialisation", "training.order_seed": "order"}
WIDTHS = (768, 32, 2048)  # the paper's models


def quantities(tables: Tables) -> pd.DataFrame:
    """Every claim's quantity on every run of some tables.

    Args:
        tables: of notebooks 02 to 04 and of controls and causal, with columns width and seed.

    Returns:
        run (of a sweep), width, seed, claim, space, value; without values that a run cannot tell.
    """
    by = [c for c in ("run", "width", "seed") if c in tables["training"]]
    rows = []
    for place, _ in tables["training"].groupby(by, sort=False):
        one = {n: t[(t[by] == pd.Series(place, by)).all(axis=1)] for n, t in tables.items() if set(by) <= set(t)}
        late = _late(one)
        for claim in (*CLAIMS, *OURS):
            for space in (*claim.spaces, *claim.conditions):
                asked = late or not claim.late or space.endswith(PEAK)
                if asked and np.isfinite(value := claim.measure(one, space)):
                    found = dict(zip(by, place, strict=True))
                    rows.append(found | {"claim": claim.key, "space": space, "value": value})
    return pd.DataFrame(rows, columns=[*by, "claim", "space", "value"])


def interval(values) -> tuple[float, float, float]:
    """Mean and 95% interval (Student's t) of a quantity over seeds; an infinite interval for one value alone."""
    values = np.asarray(values, dtype=float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, float("-inf"), float("inf")
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def judge(measured: pd.DataFrame, widths: tuple[int, ...] = WIDTHS) -> pd.DataFrame:
    """The verdict on every claim at every width.

    A claim holds if its rule does for the whole interval in one of the paper's own views; under a stated condition if
    it does in another view alone; does not hold if it fails for the whole interval in all of the paper's own views;
    and is not tested otherwise, with what is missing.

    Args:
        measured: from `quantities`.

    Returns:
        claim, where, quantity, paper, ours, low, high, seeds, verdict, condition; one row a claim and width.
    """
    rows = [_row(c, w, measured) for w in widths for c in (*CLAIMS, *OURS) if w in (c.widths or widths)]
    return pd.DataFrame(rows).astype(NUMBERS)


def _row(claim: Claim, width: int, measured: pd.DataFrame) -> dict:
    mine = measured[(measured["width"] == width) & (measured["claim"] == claim.key)]
    views = {}
    for space in (*claim.spaces, *claim.conditions):
        values = mine.loc[mine["space"] == space, "value"]
        if len(values):
            mean, low, high = interval(values)
            views[space] = {"ours": mean, "low": low, "high": high, "seeds": len(values),
                            "answer": claim.rule.of(low, high)}  # fmt: skip
    space, verdict, condition = _decide(claim, views)
    shown = views.get(space, {"ours": None, "low": None, "high": None, "seeds": 0})
    finite = {k: v if v is not None and np.isfinite(v) else None for k, v in shown.items() if k != "answer"}
    named = f" ({space} states)" if space not in ("", *NO_VIEW) else ""
    return {
        "claim": f"{claim.key}, width {width}",
        "where": claim.where,
        "quantity": f"{claim.quantity}{named}; rule: {claim.rule}",
        "paper": claim.paper,
        **finite,
        "verdict": verdict,
        "condition": condition,
    }


def _decide(claim: Claim, views: dict[str, dict]) -> tuple[str, str, str]:
    """(the view that decides, verdict, condition or what is missing)."""
    own = {s: views[s] for s in claim.spaces if s in views}
    if not own:  # an unmeasured claim holds under no condition either
        needs = ["half of its schedule behind it"] * claim.late + [claim.needs] * bool(claim.needs)
        return "", UNTESTED, f"needs a run of this width{' with ' if needs else ''}{' and '.join(needs)}"
    for space, view in own.items():
        if view["answer"]:
            return space, HOLDS, ""
    met = [space for space in claim.conditions if space in views and views[space]["answer"]]
    if met:
        return met[0], CONDITION, "; or ".join(dict.fromkeys(claim.conditions[space] for space in met))
    best = max(own, key=lambda s: own[s]["ours"] * (1 if claim.rule.side == "above" else -1))
    if max(view["seeds"] for view in views.values()) < 2:
        return best, UNTESTED, "one seed has no interval; make verdict adds more"
    if all(view["answer"] is False for view in own.values()):
        return best, FAILS, ""
    return best, UNTESTED, "the interval lies on both sides of the rule's number; more seeds would tell"


def spread_by_part(table: pd.DataFrame) -> pd.DataFrame:
    """How much each claim's quantity varies when one part of the seed changes and the others stay.

    Args:
        table: parts.csv: variants such as data.seed=1, and the default, whose parts are all 0.

    Returns:
        One row a claim and space, one column a part: standard deviation over its seeds, the default's included.
    """
    found = {}
    for setting, part in PARTS.items():
        mine = table[(table["variant"] == "default") | table["variant"].str.startswith(f"{setting}=")]
        found[part] = mine.groupby(["claim", "space"])["value"].std()
    return pd.DataFrame(found)


def carried(variants: pd.DataFrame, seeds: pd.DataFrame) -> pd.DataFrame:
    """What moves a claim over its rule's number, compared with the default: the claims that a choice carries.

    Args:
        variants: multiverse.csv, one run a variant; a variant of no value there cannot tell.
        seeds: parts.csv, or no rows: the default again with other seeds.

    Returns:
        One row a claim, space and variant on the other side than the default: both values, and `seeds`, the share of
        the other seeds that are there as well (NaN if there are none): where it is high, chance moves the claim too.
    """
    rules = {claim.key: claim.rule for claim in (*CLAIMS, *OURS)}
    rows = []
    for (key, space), part in variants.groupby(["claim", "space"], sort=False):
        values = part.set_index("variant")["value"].dropna()
        if "default" not in values:
            continue
        holds = values.map(lambda value, rule=rules[key]: rule.of(value, value))
        others = seeds[(seeds["claim"] == key) & (seeds["space"] == space) & (seeds["variant"] != "default")]["value"]
        moved = others.map(lambda value, rule=rules[key]: rule.of(value, value)) != holds["default"]
        rows += [
            {"claim": key, "space": space, "rule": str(rules[key]), "default": values["default"], "variant": variant,
             "value": values[variant], "seeds": moved.mean() if len(moved) else np.nan}
            for variant in values.index if holds[variant] != holds["default"]
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=["claim", "space", "rule", "default", "variant", "value", "seeds"])


def table1_rows(ours: pd.DataFrame) -> pd.DataFrame:
    """Table 1's rows as claims: one for each of the paper's models, decided by our own probe of that model.

    The rule: our task F1 within 0.1 of the published one.

    Args:
        ours: table1.csv.
    """
    rows = []
    for model in PAPER_MODELS:
        found = ours[(ours["source"] == "ours") & (ours["model"] == model.hub_id) & (ours["label"] == "task")]
        value = float(found["f1"].iloc[0]) if len(found) else None
        verdict = UNTESTED if value is None else HOLDS if abs(value - model.task[0]) < 0.1 else FAILS
        rows.append(
            {
                "claim": f"table1, {model.name}",
                "where": "3.4, Table 1",
                "quantity": "task F1 at the best layer; rule: within 0.1 of the paper's",
                "paper": f"{model.task[0]:.3f}",
                "ours": value,
                "low": None,
                "high": None,
                "seeds": int(value is not None),
                "verdict": verdict,
                "condition": ""
                if value is not None
                else f"needs {model.gigabytes} GB: make probe MODEL={model.hub_id}",
            }
        )
    return pd.DataFrame(rows).astype(NUMBERS)


def tuned_rows(ours: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """That states cluster by task in models instruction-tuned or not, as two claims about the models probed here.

    The rule: the lowest task F1 of a kind's models, with the interval over instructions, is above the
    lowest of Table 1 less the 0.1 that `table1_rows` allows. It was written when one model had been looked at.

    Args:
        ours: table1.csv.
        intervals: table1_intervals.csv.
    """
    rule, rows = Rule("above", round(min(m.task[0] for m in PAPER_MODELS) - 0.1, 3)), []
    mine = ours[(ours["source"] == "ours") & (ours["label"] == "task")]
    spread = intervals[(intervals["label"] == "task") & (intervals["metric"] == "f1")]
    mine = mine.merge(spread[["model", "revision", "low", "high"]], on=["model", "revision"])
    for tuned, kind in ((False, "not instruction-tuned"), (True, "instruction-tuned")):
        some = mine[mine["model"].map(is_instruction_tuned) == tuned].sort_values("f1").head(1)
        named = " and ".join(m.hub_id for m in PAPER_MODELS if is_instruction_tuned(m.hub_id) == tuned)
        row = {"ours": None, "low": None, "high": None, "seeds": 0, "verdict": UNTESTED,
               "condition": f"no such model was probed; set probe.models to {named}, or to a smaller one"}  # fmt: skip
        for found in some.itertuples():
            verdict = {True: HOLDS, False: FAILS, None: UNTESTED}[rule.of(found.low, found.high)]
            row = {"ours": found.f1, "low": found.low, "high": found.high, "seeds": 1, "verdict": verdict,
                   "condition": f"{found.model}; interval over instructions, not seeds"}  # fmt: skip
        rows.append({"claim": f"pretrained, {kind}", "where": "3.4, Table 1",
                     "quantity": f"lowest task F1 of the models probed, best layer; rule: {rule}",
                     "paper": "both kinds cluster by task", **row})  # fmt: skip
    return pd.DataFrame(rows).astype(NUMBERS)


def collect(tables: Tables) -> pd.DataFrame:
    """The quantities of a sweep's finished runs, named by width, seed and variant.

    Args:
        tables: of sweep.run.
    """
    found = quantities(tables)
    return found.assign(variant=found["run"].map(_variants(tables))).drop(columns="run")


def _variants(tables: Tables) -> pd.Series:
    """The variant of each run of a sweep, in words."""
    return tables["runs"].set_index("run")["variant"].fillna("").replace("", "default")


def save_grid(name: str, made: Tables, folder: Path) -> None:
    """Write what the finished runs of one grid give: its table, its part of search_grids.csv and of verdict.json.

    Args:
        name: of GRIDS.
        made: of `sweep.run` or `sweep.tables`.
        folder: data/<profile>/tables; what other grids gave stays there.
    """
    store.write_csv(folder / f"{name}.csv", collect(made)[TABLES[name].split()])
    path = folder / "search_grids.csv"
    before = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=TABLES["search_grids"].split())
    found = made["search"].assign(grid=GRIDS[name], variant=made["search"]["run"].map(_variants(made)))
    both = [t for t in (before[before["grid"] != GRIDS[name]], found[list(before)]) if len(t)]
    store.write_csv(path, pd.concat(both, ignore_index=True))
    facts = (store.known_json(folder / "verdict.json") or {}) | {GRIDS[name]: _facts(made)}
    store.write_json(folder / "verdict.json", facts)


def _facts(made: Tables) -> dict:
    """What made a grid's results: runs, commits, hours of training (by the median epoch: pauses do not count)."""
    runs, epochs = made["runs"], made["training"].groupby("run")["seconds"]
    hours = epochs.median() * (epochs.size() - 1) / 3600
    return {
        "runs": len(runs),
        "hours": {run: round(float(h), 3) for run, h in hours.items()},
        "epochs": {str(w): int(e) for w, e in runs.groupby("width")["epochs"].max().dropna().items()},
        "commits": sorted(runs["commit"].dropna().unique()),
        "computed": sorted(runs["computed"].dropna().unique()),
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line: run the sweeps behind the verdict and write a table for each."""
    from helpers import engine, sweep

    parser = argparse.ArgumentParser(
        prog="python -m helpers.verdict",
        description="Train and measure the runs behind the verdict; what exists is not run again. Then run notebook 07 "
        "(make reproduce). Writes " + ", ".join(f"{name}.csv" for name in (*GRIDS, "search_grids")),
    )
    parser.add_argument("--profile", default="laptop", help="whose tables to write to (default: %(default)s)")
    parser.add_argument("--only", choices=list(GRIDS), action="append", help="this grid alone (repeatable)")
    parser.add_argument("--finished", action="store_true", help="run nothing: write what the finished runs give")
    parser.add_argument("--scheduler", default="", help="as for make sweep")
    parser.add_argument("--workers", type=int, help="as for make sweep")
    given = parser.parse_args(arguments)
    try:
        for name in given.only or GRIDS:
            wanted = sweep.read_grid(store.DATA / "grids" / f"{GRIDS[name]}.yaml")
            connection = {"scheduler": given.scheduler, "workers": given.workers}
            made = sweep.tables(wanted) if given.finished else sweep.run(wanted, GRIDS[name], **connection)
            if "training" in made:
                save_grid(name, made, store.DATA / given.profile / "tables")
            counts = made["runs"]["status"].value_counts()
            print(f"{name}: {', '.join(f'{n} {status}' for status, n in counts.items())}")
    except (sweep.SweepError, engine.EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last finished epochs", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    from helpers import verdict  # under its own name, by which workers find its functions

    sys.exit(verdict.main())
