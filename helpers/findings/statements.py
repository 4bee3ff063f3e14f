"""Notebooks 09 and 10: which of the paper's statements hold."""

import pandas as pd

from helpers.findings.words import listed, paragraphs
from helpers.tables import of_reading, readings_in
from helpers.verdict import facts, judge
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, NO_MORE, UNDECIDED, UNMEASURED

PLURAL = {
    HOLDS: "hold", NO_MORE: "hold, but no more than untrained", CONDITION: "hold under a condition",
    FAILS: "do not hold", UNDECIDED: "are undecided", UNMEASURED: "are not measured",
}  # fmt: skip


def counted(counts: dict[str, int]) -> str:
    """Verdicts and how many statements have each, such as 3 hold and 2 do not hold."""
    return listed(f"{n} {PLURAL[verdict]}" for verdict, n in counts.items() if n)


def answer(claims: pd.DataFrame) -> str:
    """How many of the paper's statements have each verdict, with the reading that most seeds follow.

    Args:
        claims: claims.csv, rows of the profile's own reading first.
    """
    claims, named = claims.astype({"width": "Int64"}), readings_in(claims)
    reading = facts.deciding_reading(claims, named[0])
    by_width = facts.counts_by_width(of_reading(claims, reading))
    own = by_width.pop("paper")
    of = f"With reading {reading}, of" if len(named) > 1 else "Of"
    said = [
        f"**{of} the paper's {sum(own.values())} statements, counted once for each of its widths, {counted(own)}.**"
    ]
    said += [f"At width {width}, which the paper does not have: {counted(some)}." for width, some in by_width.items()]
    return paragraphs(said)


def figure(claims: pd.DataFrame) -> str:
    """What `figures.claims` shows: the statements that hold and those that do not, for each width with runs."""
    rows = claims[claims["seeds"] > 0].dropna(subset=["width"])
    places = rows.groupby(["reading", "width"], sort=False)
    return "\n".join(_at_width(f"{int(width)}, reading {reading}", part) for (reading, width), part in places)


def _at_width(place: str, part: pd.DataFrame) -> str:
    said = []
    for verdict, words in ((HOLDS, "hold"), (FAILS, "do not hold")):
        some = part.loc[part["verdict"] == verdict, "claim"]
        if len(some):
            said.append(f"These {words}: {'; '.join(judge.EVERY[key].statement for key in some)}.")
    return f"- Width {place}: {counted(_counts(part))}. {' '.join(said)}"


def _counts(claims: pd.DataFrame) -> dict[str, int]:
    return claims["verdict"].value_counts().reindex(judge.VERDICTS, fill_value=0).to_dict()


def thresholds(table: pd.DataFrame) -> str:
    """What `figures.thresholds` shows: for how many claims the number that 'high' means changes the verdict.

    Args:
        table: thresholds.csv.
    """
    measured = table[table["verdict"] != UNMEASURED]
    if not len(measured):
        return "None of these claims was measured."
    kinds = measured.groupby(["claim", "reading", "width"])["verdict"].nunique()
    same = int((kinds == 1).sum())
    return (
        f"Of {len(kinds)} claims and widths with runs, {same} have one verdict whatever 'high' means from "
        f"{table['number'].min():g} to {table['number'].max():g}; for the other {len(kinds) - same} it depends on "
        "the number."
    )
