"""The score of a reading: how much of what the paper shows, apart from its contested claims, a run of it shows.

No target is about clusters of hidden states above the embeddings: those
are what a reading, once chosen, is asked about.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.gpt import model as gpt
from helpers.rows import best_epoch
from helpers.settings import ModelSettings, RunSettings
from helpers.verdict import claims
from helpers.verdict.claims import ANY, END, EVERY, Tables

EPOCHS = 200  # of the paper's schedule, of which the model stops early at 51
UNITS = {"thousand": 1e3, "million": 1e6}
# Table 6: numbers of parameters, and their unit.
PRINTED = {width: (int(said.split()[0]), UNITS[said.split()[1]]) for width, said in gpt.PAPER_PARAMETERS.items()}


@dataclass(frozen=True)
class Target:
    """Something that the paper shows of its models.

    Attributes:
        key: column of readings.csv.
        statement: in our words.
        where: section, figure or table.
        bad, good: values that count 0 and 1; in between it is linear.
        measure: tables of one run -> the value; NaN, which counts 0, where the run never came so far.
        claim: key of the statement with the same quantity; "" for none.
    """

    key: str
    statement: str
    where: str
    bad: float
    good: float
    measure: Callable[[Tables], float]
    claim: str = ""

    def share(self, value: float) -> float:
        """Between 0 and 1."""
        if np.isnan(value):
            return 0.0
        return float(np.clip((value - self.bad) / (self.good - self.bad), 0, 1))


def _like(claim: str, key: str, statement: str, where: str, bad: float, good: float, space: str = ANY) -> Target:
    """A target whose value is the quantity of a statement."""
    measure = EVERY[claim].measure
    return Target(key, statement, where, bad, good, lambda tables: measure(tables, space, END), claim)


def _untrained_share(tables: Tables) -> float:
    """Share of 10 neighbours with the same task before training, at the layer above 0 where it is highest."""
    return float(claims.neighbours_by_layer(tables, "same_task").loc[0].iloc[1:].max())


def _stop(tables: Tables) -> float:
    """How far the best epoch is from the paper's, both as a share of all epochs."""
    return abs(best_epoch(tables["training"]) / tables["training"]["epoch"].max() - 51 / EPOCHS)


TARGETS = (
    _like("accuracy_validation", "learns", "Unseen instances are solved in the end", "Fig. 2c", 0.1, 0.9),
    _like("accuracy_subset", "learns_hard", "The training subset, half hard examples, is solved in the end", "Fig. 2b",
          0.1, 0.9),
    _like("accuracy_late", "late", "Accuracy is near zero while the loss already falls", "3.2, Fig. 2", 0.2, 0.05),
    _like("accuracy_abrupt", "abrupt", "Accuracy then jumps", "3.2, Fig. 2", 2.0, 0.5),
    _like("layer0_flat", "flat", "Layer 0 does not change", "3.2, Fig. 1", 0.12, 0.03, "raw"),
    Target("starts_low", "Untrained, neighbours rarely share the task", "3.3, Fig. 3a", 0.9, 0.3, _untrained_share),
    _like("same_task_share", "share_rises", "Their share with the same task rises", "3.3, Fig. 3a", 0.0, 0.5),
    _like("knn_rises", "knn_rises", "KNN accuracy rises", "3.3, Fig. 3b", 0.0, 0.5),
)  # fmt: skip
# Asked of a whole schedule alone: before its end nobody knows the best epoch.
AT_THE_END = (
    Target("stops", "The best epoch is a quarter of the way", "3.2, Fig. 2", 0.4, 0.1, _stop, "stops_at_51"),
)  # fmt: skip


def of_run(tables: Tables, run: str, settings: RunSettings) -> dict[str, float]:
    """`fit` of one of a sweep's runs.

    Args:
        tables: of sweep.run.
        run: its key.
        settings: of the run; where it stops among them.
    """
    mine = {name: table[table["run"] == run] for name, table in tables.items() if name != "runs"}
    whole = settings.training.last_epoch == settings.training.number_of_epochs
    return fit(mine, settings.model, settings.data.vocabulary_size, whole)


def fit(tables: Tables, model: ModelSettings, vocabulary: int, whole: bool) -> dict[str, float]:
    """Shares of each target, of Table 6's numbers of parameters, and their mean as `fit`.

    Args:
        tables: of one run.
        model: its settings.
        vocabulary: number of symbols.
        whole: whether the run has all of its schedule behind it.
    """
    targets = (*TARGETS, *AT_THE_END) if whole else TARGETS
    found = {t.key: t.share(t.measure(tables)) for t in targets}
    found["parameters"] = parameters(model, vocabulary)
    return found | {"fit": float(np.mean(list(found.values())))}


def parameters(model: ModelSettings, vocabulary: int) -> float:
    """Share of Table 6's three numbers of parameters that these settings give, rounded to its digits or cut."""
    right = []
    for width, (printed, unit) in PRINTED.items():
        one = ModelSettings(**{**model.model_dump(), "hidden_dimension": width, "feedforward_dimension": None})
        count = gpt.parameter_count(one, vocabulary) / unit
        right.append(printed in (int(count), round(count)))
    return float(np.mean(right))
