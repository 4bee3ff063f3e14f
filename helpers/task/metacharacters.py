"""Sets of metacharacters compared: which let an instruction's task be told from it."""

from dataclasses import dataclass

import pandas as pd

from helpers.settings import DataSettings
from helpers.task import grammar, synthetic

SETS = {
    "group, plus, class (default)": ("group", "plus", "class"),
    "group, plus, class, star": ("group", "plus", "class", "star"),
    "all six": tuple(grammar.METACHARACTERS),
    "star": ("star",),
    "optional, alternation": ("optional", "alternation"),
}


@dataclass(frozen=True)
class Compared:
    """What sets of metacharacters give.

    Attributes:
        table: grammar.csv, a row for each set that is possible.
        impossible: name of a set -> why no data set can be drawn from it.
    """

    table: pd.DataFrame
    impossible: dict[str, str]


def compare_metacharacters(settings: DataSettings) -> Compared:
    """How well unseen instructions identify their task, for each of SETS, without any model.

    Args:
        settings: of the data, but for their metacharacters.
    """
    rows, impossible = [], {}
    for name, metacharacters in SETS.items():
        try:
            other = synthetic.generate(settings.model_copy(update={"metacharacters": metacharacters}))
        except grammar.GrammarError as error:
            impossible[name] = str(error)
            continue
        lengths = other.instances.drop_duplicates("instruction_id")["instruction"].str.len()
        of = {
            "matches_other_task": synthetic.ambiguous_share(other),
            "nearest_has_task": synthetic.surface_accuracy(other),
        }
        rows.append({"metacharacters": name, **of, "mean_length": lengths.mean()})
    return Compared(pd.DataFrame(rows), impossible)
