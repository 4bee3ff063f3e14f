"""Every claim of the paper, and a few of our own, as one number and a threshold; `judge` decides them.

A claim's quantity is measured on the tables of one training run. Over runs that differ in their seed alone it gets a
95% interval, and the claim holds if its rule does at both ends of the interval. docs/rules.md tells how the rules came
about.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from helpers import profiles
from helpers.analysis import alternatives
from helpers.rows import best_epoch
from helpers.settings import NeighbourSettings

Tables = dict[str, pd.DataFrame]  # of one run, by the names of `tables.TABLES`


@dataclass(frozen=True)
class Rule:
    """What a quantity must be: above one number, below another."""

    above: float = float("-inf")
    below: float = float("inf")

    def __str__(self) -> str:
        named = (f"{name} {value:g}" for name, value in asdict(self).items() if np.isfinite(value))
        return " and ".join(named)

    def of(self, low: float, high: float) -> bool | None:
        """True or False if the whole interval says so; None if it lies on both sides."""
        if self.above < low and high < self.below:
            return True
        return False if high <= self.above or low >= self.below else None

    def short(self, value: float) -> float:
        """How far a value is from where the rule is met; negative where it is."""
        return max(self.above - value, value - self.below)


END, PEAK = "end", "peak"  # a quantity at the last recorded epoch, or at the one where it is highest
CENTRED, AT_PEAK = "after each input's mean state is subtracted", "at the epoch where it is highest, not late"
BY_DISTANCE = "by distance with the input held fixed, not by clusters"
ANY = "all"  # the space of claims that are not about one
# Bounds of F1, accuracies and shares; of their changes, and of correlations; of numbers of epochs.
SHARE, CHANGE, COUNT = (0.0, 1.0), (-1.0, 1.0), (0.0, float("inf"))


@dataclass(frozen=True)
class Condition:
    """What must be granted for a claim to hold, and the measurement that shows it.

    Attributes:
        words: the condition, for people.
        space, at: of that measurement.
        claim: key of the claim that it belongs to; the claim's own if empty.
    """

    words: str
    space: str
    at: str = END
    claim: str = ""


WHEN_CENTRED = (Condition(CENTRED, "centred"),)
WHEN_HIGHEST = (*WHEN_CENTRED, Condition(AT_PEAK, "raw", PEAK), Condition(AT_PEAK, "tsne", PEAK))


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
        measure: (tables of one run, space, END or PEAK) -> the quantity; NaN where that run cannot tell.
        spaces: the paper's own spaces; the claim holds if it does in one of them.
        conditions: other measurements under which it may hold.
        widths: where it is asked; the paper's at all widths unless it names one.
        late: whether it speaks of late training, so that a run must have half of its schedule behind it.
        needs: what else a run must show for the quantity to be measured.
        bounds: the least and the greatest value of the quantity.
        untrained: whether to compare with the same quantity of the untrained model; not if the quantity is a change.
    """

    key: str
    statement: str
    where: str
    quantity: str
    paper: str
    rule: Rule
    measure: Callable[[Tables, str, str], float]
    spaces: tuple[str, ...] = ("raw", "tsne")
    conditions: tuple[Condition, ...] = WHEN_CENTRED
    widths: tuple[int, ...] = ()
    late: bool = True
    needs: str = ""
    bounds: tuple[float, float] = SHARE
    untrained: bool = False

    @property
    def places(self) -> list[tuple[str, str]]:
        """Where it is measured: (space, END or PEAK)."""
        own = [(space, END) for space in self.spaces]
        return [*own, *((c.space, c.at) for c in self.conditions if not c.claim)]


K = NeighbourSettings().k  # neighbours that statements are about
CLUSTERED = 0.7  # F1 from which there are clusters that can last or saturate
LATE_ENOUGH = 100  # epochs before it is asked which of them was the best
LONG_AFTER = 20  # epochs after the best one for which clusters must last


def late(tables: Tables) -> bool:
    """Whether half of the schedule is behind a run: cosine annealing has then halved the learning rate."""
    rates = tables["training"].set_index("epoch")["learning_rate"]
    return bool(rates.loc[rates.index.max()] <= 0.505 * rates.max())


def f1(tables: Tables, space: str, label: str = "task", split: str = "subset") -> pd.DataFrame:
    """F1 by epoch (rows) and layer (columns); empty where this space was not taken."""
    table = tables["clustering"]
    chosen = (table["space"] == space) & (table["label"] == label) & (table["split"] == split)
    return table[chosen].pivot(index="epoch", columns="layer", values="f1")


def _best_at_end(grid: pd.DataFrame) -> float:
    """The best layer's score at the last epoch, layer 0 left out."""
    return float(grid.iloc[-1, 1:].max()) if len(grid) else float("nan")


def _score(label: str, split: str) -> Callable[[Tables, str, str], float]:
    """The best layer's F1 at the last epoch, or at the epoch where it is highest."""

    def measure(tables: Tables, space: str, at: str) -> float:
        grid = f1(tables, space, label, split)
        if at == END:
            return _best_at_end(grid)
        highest = grid.iloc[:, 1:].max().max()
        return float(max(highest, _elsewhere(tables, space, split)) if label == "task" else highest)

    return measure


def _elsewhere(tables: Tables, space: str, split: str) -> float:
    """F1 by task of the paper's own method in a space, from alternatives.csv; -inf where it has no such row."""
    if (table := tables.get("alternatives")) is None:
        return float("-inf")
    way = (table[list(alternatives.PAPER)] == pd.Series(alternatives.PAPER | {"space": space})).all(axis=1)
    return table[way & (table["split"] == split)]["f1"].max() if way.any() else float("-inf")


def _rise(split: str) -> Callable[[Tables, str, str], float]:
    """How much the layer that is best at the end has gained since it was untrained."""

    def measure(tables: Tables, space: str, _at: str) -> float:
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


def _deeper(split: str) -> Callable[[Tables, str, str], float]:
    def measure(tables: Tables, space: str, _at: str) -> float:
        grid = f1(tables, space, split=split)
        return _order(grid.iloc[-1]) if len(grid) else float("nan")

    return measure


def _flat(tables: Tables, space: str, _at: str) -> float:
    """The largest distance of layer 0's score from what it was untrained."""
    grid = f1(tables, space)
    return float((grid[0] - grid[0].iloc[0]).abs().max()) if len(grid) > 1 else float("nan")


def _stop(tables: Tables, _space: str, _at: str) -> float:
    """The best epoch; NaN for runs shorter than LATE_ENOUGH epochs, whose best one may not have come yet."""
    enough = tables["training"]["epoch"].max() >= LATE_ENOUGH
    return float(best_epoch(tables["training"])) if enough else float("nan")


def _persists(tables: Tables, space: str, _at: str) -> float:
    """Change from the first logged epoch at or after the best one to the last, of the layer that was best there."""
    grid = f1(tables, space)
    after = grid.loc[best_epoch(tables["training"]) :]
    if not len(after) or after.index[-1] - after.index[0] < LONG_AFTER or after.iloc[0, 1:].max() < CLUSTERED:
        return float("nan")
    top = after.iloc[0, 1:].idxmax()
    return float(after[top].iloc[-1] - after[top].iloc[0])


def _hard(tables: Tables, space: str) -> pd.DataFrame:
    """Hard examples at the last epoch, one row a layer above 0."""
    table = tables["hard"]
    table = table[(table["space"] == space) & (table["layer"] > 0)]
    return table[table["epoch"] == table["epoch"].max()].set_index("layer")


def hard_apart(tables: Tables, space: str, _at: str = END) -> float:
    """Share of hard instances in another cluster than their original at the layer with the best clusters by task."""
    at_end, grid = _hard(tables, space), f1(tables, space)
    if not len(at_end) or not len(grid):
        return float("nan")
    return float(at_end.loc[grid.iloc[-1, 1:].idxmax(), "pairs_separated"])


def _hard_nearer(tables: Tables, space: str, _at: str) -> float:
    """Share of hard instances nearer to their own task than to their original, at the layer where it is highest."""
    return float(_hard(tables, space)["nearer_own_task"].max())


def _accuracy(split: str) -> Callable[[Tables, str, str], float]:
    def measure(tables: Tables, _space: str, _at: str) -> float:
        return float(tables["training"].set_index("epoch")[f"accuracy_{split}"].sort_index().iloc[-1])

    return measure


def _peak(tables: Tables, space: str, _at: str) -> float:
    """F1 of unseen instances at its highest less F1 at the last epoch, best layer each."""
    best = f1(tables, space, split="validation").iloc[:, 1:].max(axis=1)
    return float(best.max() - best.iloc[-1]) if len(best) > 2 else float("nan")


def _early_accuracy(tables: Tables, _space: str, _at: str) -> float:
    """Highest validation accuracy until the loss that is trained on has done a third of its whole fall."""
    training = tables["training"].set_index("epoch")
    loss = training[profiles.trained_loss(training["reading"].iloc[0])]
    fallen = (loss.iloc[0] - loss) / (loss.iloc[0] - loss.min())
    return float(training["accuracy_validation"].loc[: (fallen >= 1 / 3).idxmax()].max())


def _abruptness(tables: Tables, _space: str, _at: str) -> float:
    """Epochs from 20% to 80% of the highest validation accuracy, divided by the epochs before 20%."""
    accuracy = tables["training"].set_index("epoch")["accuracy_validation"]
    if accuracy.max() < 0.5:
        return float("nan")  # it never rose
    start, end = ((accuracy >= share * accuracy.max()).idxmax() for share in (0.2, 0.8))
    return float((end - start) / max(start, 1))


def _saturates(tables: Tables, space: str, _at: str) -> float:
    """Epoch at which the score of the layer that is best at the end reaches 95% of its highest."""
    grid = f1(tables, space, split="validation")
    if len(grid) < 8:
        return float("nan")  # too few logged epochs to place it
    scores = grid[grid.iloc[-1, 1:].idxmax()]
    return float((scores >= 0.95 * scores.max()).idxmax()) if scores.max() >= CLUSTERED else float("nan")


def _saturate_together(tables: Tables, space: str, _at: str) -> float:
    """Epochs between accuracy's reaching 95% of its highest and clusters' doing so, over all epochs."""
    accuracy = tables["training"].set_index("epoch")["accuracy_validation"]
    reached = (accuracy >= 0.95 * accuracy.max()).idxmax()
    return float(abs(reached - _saturates(tables, space, END)) / accuracy.index.max())


def _stop_near_saturation(tables: Tables, space: str, _at: str) -> float:
    """Epochs between the best one and where clusters reach 95% of their highest, over all epochs."""
    return abs(_stop(tables, space, END) - _saturates(tables, space, END)) / tables["training"]["epoch"].max()


def neighbours_by_layer(tables: Tables, column: str) -> pd.DataFrame:
    """A column of the table of neighbours by epoch (rows) and layer, of K nearest; empty where no K are looked up."""
    table = tables["neighbours"]
    return table[table["k"] == K].pivot_table(index="epoch", columns="layer", values=column)


def _neighbour_rise(column: str) -> Callable[[Tables, str, str], float]:
    def measure(tables: Tables, _space: str, _at: str) -> float:
        grid = neighbours_by_layer(tables, column)
        return float((grid.iloc[-1, 1:] - grid.iloc[0, 1:]).max()) if len(grid) else float("nan")

    return measure


def _neighbour_end(column: str) -> Callable[[Tables, str, str], float]:
    return lambda tables, _space, _at: _best_at_end(neighbours_by_layer(tables, column))


def _neighbour_order(tables: Tables, _space: str, _at: str) -> float:
    grid = neighbours_by_layer(tables, "accuracy")
    return _order(grid.iloc[-1]) if len(grid) else float("nan")


def _control(name: str) -> Callable[[Tables, str, str], float]:
    """A control on unseen instances at the last epoch, at the layer above the embeddings where it is highest."""

    def measure(tables: Tables, _space: str, _at: str) -> float:
        table = tables.get("controls")
        if table is None or not len(table):
            return float("nan")
        mine = table[(table["control"] == name) & (table["split"] == "validation") & (table["layer"] > 0)]
        return float(mine.loc[mine["epoch"] == mine["epoch"].max(), "value"].max())

    return measure


def _moved(tables: Tables, _space: str, _at: str) -> float:
    """At the best layer below the last: how much oftener the task's direction flips the answer than a random one."""
    table = tables.get("interventions")
    if table is None or not len(table):
        return float("nan")
    table = table[table["layer"] < table["layer"].max()]
    wide = table.pivot_table(index="layer", columns="direction", values="became_other")
    return float((wide["task"] - wide["random"]).max())


def _inside(label: str, split: str, statement: str, paper: str) -> Claim:
    """That instances cluster by a finer label than the task."""
    key = label if split == "subset" else f"{label}_{split}"
    quantity = "F1, best layer, last epoch"
    return Claim(key, statement, "3.2, Fig. 1", quantity, paper, Rule(above=0.8), _score(label, split), untrained=True)


NO_SPACE = (ANY,)
CLAIMS = (
    Claim("task_subset", "Late in training, hidden states of the training subset cluster by task", "3.2, Fig. 1a",
          "F1, best layer, last epoch", "over 0.9", Rule(above=0.9), _score("task", "subset"),
          conditions=WHEN_HIGHEST, untrained=True),
    Claim("task_validation", "Hidden states of unseen instances cluster by task, too",
          "3.2, Fig. 1b", "F1, best layer, last epoch", "high",
          Rule(above=0.8), _score("task", "validation"), conditions=WHEN_HIGHEST, untrained=True),
    Claim("task_rises", "Clustering by task improves strongly over training", "3.2, Fig. 1a",
          "gain in F1 over the untrained model, best layer", "a strong trend", Rule(above=0.2), _rise("subset"),
          bounds=CHANGE),
    Claim("task_rises_validation", "Clustering of unseen instances by task improves strongly, too", "3.2, Fig. 1b",
          "gain in F1 over the untrained model, best layer", "a strong trend", Rule(above=0.2), _rise("validation"),
          bounds=CHANGE),
    Claim("deeper_is_better", "Clustering by task tends to improve in higher layers", "3.2, Fig. 1a",
          "rank correlation of F1 with the layer, last epoch", "tends to improve", Rule(above=0.5), _deeper("subset"),
          bounds=CHANGE, untrained=True),
    Claim("deeper_is_better_validation", "Clustering of unseen instances tends to improve in higher layers, too",
          "3.2, Fig. 1b", "rank correlation of F1 with the layer, last epoch", "tends to improve",
          Rule(above=0.5), _deeper("validation"), bounds=CHANGE, untrained=True),
    Claim("layer0_flat", "Layer 0, the baseline, does not change much", "3.2, Fig. 1",
          "largest change of F1 at layer 0", "not much", Rule(below=0.1), _flat, conditions=(), late=False),
    Claim("persists", "Clusters persist, and improve, long after the early-stopping epoch", "3.2, Fig. 1",
          "change of F1 after the best validation epoch", "persist and improve", Rule(above=-0.05), _persists,
          late=False, needs=f"clusters (F1 {CLUSTERED:g}) at its best epoch and {LONG_AFTER} epochs after it",
          bounds=CHANGE),
    Claim("stops_at_51", "The model stops early at epoch 51", "3.2, Fig. 2",
          "first epoch with the highest validation accuracy", "epoch 51", Rule(above=36, below=66), _stop, NO_SPACE, (),
          (768,), late=False, needs=f"{LATE_ENOUGH} epochs", bounds=COUNT),
    Claim("stop_near_saturation", "The early-stopping epoch is close to where clustering starts to saturate",
          "3.2, Fig. 2", "distance of the two epochs, divided by all epochs", "close", Rule(below=0.15),
          _stop_near_saturation, ("raw",), needs=f"{LATE_ENOUGH} epochs and clusters (F1 {CLUSTERED:g})"),
    Claim("hard_separate", "Hard examples and the examples that they were made from are in different clusters", "3.2",
          "share of hard instances in another cluster than their original, layer with the highest F1 by task",
          "predominantly (from F1 over 0.9)", Rule(above=0.5), hard_apart,
          conditions=(*WHEN_CENTRED, Condition(BY_DISTANCE, "raw", claim="hard_nearer")), untrained=True),
    _inside("distribution", "subset", "Instances of the training subset cluster by distribution", "obvious"),
    _inside("distribution_mapping", "subset", "Instances of the training subset cluster by distribution and mapping",
            "strong, high"),
    _inside("distribution", "validation", "Unseen instances cluster by distribution, too", "obvious"),
    _inside("distribution_mapping", "validation", "Unseen instances cluster by distribution and mapping, too",
            "strong, high"),
    Claim("accuracy_late", "Accuracy stays near zero at first while the loss already falls", "3.2, Fig. 2",
          "highest validation accuracy before the loss has done a third of its fall", "around zero", Rule(below=0.1),
          _early_accuracy, NO_SPACE, (), late=False),
    Claim("accuracy_abrupt", "Accuracy then rises abruptly", "3.2, Fig. 2",
          "epochs from 20% to 80% of the highest accuracy, divided by the epochs before", "abruptly", Rule(below=1.0),
          _abruptness, NO_SPACE, (), late=False, needs="accuracy above a half", bounds=COUNT),
    Claim("accuracy_subset", "Accuracy on the training subset saturates high", "3.2, Fig. 2b", "accuracy, last epoch",
          "high", Rule(above=0.8), _accuracy("subset"), NO_SPACE, ()),
    Claim("accuracy_validation", "Accuracy on unseen instances saturates high, too",
          "3.2, Fig. 2c", "accuracy, last epoch", "high",
          Rule(above=0.8), _accuracy("validation"), NO_SPACE, ()),
    Claim("saturate_together", "Accuracy saturates close to when clustering does", "3.2, Fig. 2",
          "distance of the two epochs, divided by all epochs", "close", Rule(below=0.15), _saturate_together, ("raw",),
          needs=f"clusters (F1 {CLUSTERED:g})"),
    Claim("same_task_share", "The share of neighbours with the same task rises dramatically", "3.3, Fig. 3a",
          f"gain over the untrained model, layer that gains most, K = {K}", "dramatic", Rule(above=0.3),
          _neighbour_rise("same_task"), NO_SPACE, (), bounds=CHANGE),
    Claim("knn_rises", "KNN accuracy rises over training", "3.3, Fig. 3b",
          f"gain over the untrained model, layer that gains most, K = {K}", "consistently", Rule(above=0.2),
          _neighbour_rise("accuracy"), NO_SPACE, (), bounds=CHANGE),
    Claim("knn_high", "KNN accuracy saturates high", "3.3, Fig. 3b", f"best layer, last epoch, K = {K}", "high",
          Rule(above=0.8), _neighbour_end("accuracy"), NO_SPACE, (), untrained=True),
    Claim("knn_deeper", "KNN accuracy rises from layer to layer", "3.3, Fig. 3b",
          "rank correlation of accuracy with the layer, last epoch", "improved across layers", Rule(above=0.5),
          _neighbour_order, NO_SPACE, (), bounds=CHANGE, untrained=True),
)  # fmt: skip
# Ours, judged by the same machinery.
OURS = (
    Claim("hard_nearer", "Hard examples lie nearer to their own task than to their originals, the input held fixed",
          "not in the paper", "share of hard instances, layer where it is highest, last epoch", "no number",
          Rule(above=0.5), _hard_nearer, ("raw",), (), untrained=True),
    Claim("interventions", "A state moved by the difference of two tasks' means answers as the other task",
          "not in the paper", "share of answers that follow, less that of a random direction, best layer but the last",
          "no number", Rule(above=0.2), _moved, NO_SPACE, (), late=False, bounds=CHANGE),
    Claim("same_task_high", "Neighbours of unseen instances have the same task", "not in the paper",
          f"share, best layer, last epoch, K = {K}", "no number", Rule(above=0.8), _neighbour_end("same_task"),
          NO_SPACE, (), untrained=True),
    Claim("within_input", "With the input held fixed, unseen instances cluster by task", "not in the paper",
          "F1 among the instances of one input, best layer, last epoch", "no number", Rule(above=0.8),
          _control("within_input_f1"), NO_SPACE, (), untrained=True),
    Claim("probe", "A linear probe reads the task off the states of unseen instances", "not in the paper",
          "accuracy on instructions held out from the probe, best layer, last epoch", "no number", Rule(above=0.9),
          _control("linear_probe"), NO_SPACE, (), untrained=True),
    Claim("peak", "Clusters by task of unseen instances fade after the epoch at which they are best",
          "not in the paper", "highest F1 at any epoch less that of the last, best layer each", "no number",
          Rule(above=0.1), _peak),
)  # fmt: skip

EVERY = {claim.key: claim for claim in (*CLAIMS, *OURS)}
