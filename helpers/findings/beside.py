"""Settings beside the paper's tables of them."""

import pandas as pd
from pydantic import BaseModel

from helpers.settings import paper_names

OPEN = "(left open)"  # by the paper


def beside_paper(here: BaseModel) -> pd.DataFrame:
    """The settings of one section beside the paper's: setting, paper's name, paper, here; what it leaves open last.

    Args:
        here: a section of the settings, whose defaults are the paper's.
    """
    named, paper = paper_names(type(here)), type(here)()
    rows = [
        {
            "setting": name,
            "paper's name": named.get(name, OPEN),
            "paper": _value(paper, name) if name in named else "",
            "here": _value(here, name),
        }
        for name in type(here).model_fields
    ]
    return pd.DataFrame(rows).sort_values("paper's name", key=lambda n: n == OPEN, kind="stable", ignore_index=True)


def _value(section: BaseModel, name: str) -> object:
    """A setting's value; the one that a rule gives where none is set."""
    value = getattr(section, "feedforward" if name == "feedforward_dimension" else name)
    return "none" if value is None else value
