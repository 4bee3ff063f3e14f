"""Notebooks 09 and 10: which of the paper's statements hold."""

import pandas as pd

from helpers.figures.style import CLAIM_TITLES, SPACE_TITLES, reading_title
from helpers.findings.words import listed, paragraphs, two
from helpers.rows import of_reading, readings_in
from helpers.verdict import facts, judge
from helpers.verdict.judge import UNMEASURED, how_many


def counted(counts: dict[str, int]) -> str:
    """Verdicts and how many statements have each, such as 3 hold and 2 do not hold."""
    return listed(how_many(n, verdict) for verdict, n in counts.items() if n)


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
    for width, some in by_width.items():
        which = "" if int(width) in judge.WIDTHS else ", which the paper does not have"
        said.append(f"At width {width}{which}: {counted(some)}.")
    return paragraphs(said)


def figure(claims: pd.DataFrame) -> str:
    """What `figures.claims` shows: how many statements have each verdict, for each reading and width with runs."""
    rows = claims[claims["seeds"] > 0].dropna(subset=["width"])
    places = rows.groupby(["reading", "width"], sort=False)
    return "\n".join(
        f"- Width {int(width)}, reading {reading_title(reading)}: {counted(_counts(part))}."
        for (reading, width), part in places
    )


def table(claims: pd.DataFrame, width: int) -> pd.DataFrame:
    """What was measured at one width, as a table to read: statement, quantity with its interval, verdict.

    Args:
        claims: claims.csv.
    """
    rows = claims[(claims["width"] == width) & (claims["seeds"] > 0)]
    ours = [
        two(row.ours)
        + (f" ({two(row.low)} to {two(row.high)})" if pd.notna(row.low) else "")
        + (f"; otherwise {two(row.otherwise)}" if pd.notna(row.otherwise) else "")
        for row in rows.itertuples()
    ]
    told = rows.assign(statement=[judge.EVERY[key].statement for key in rows["claim"]], ours=ours)
    told["untrained"] = told["untrained"].map(lambda value: two(value) if pd.notna(value) else "")
    columns = ["statement", "where", "paper", "ours", "untrained", "seeds", "verdict", "condition"]
    return told.set_index(told["reading"].map(reading_title))[columns].fillna("")


def lacking(claims: pd.DataFrame) -> pd.DataFrame:
    """How many statements were not measured, by reading and width or by model, and what is missing.

    Args:
        claims: claims.csv.
    """
    rows = claims.assign(reading=claims["reading"].fillna(""), of=_of(claims))
    without_run = rows.groupby(["reading", "of"])["seeds"].transform(lambda s: not (s > 0).any()) & (
        rows["reading"] != ""
    )
    rows["missing"] = rows["condition"].str.removeprefix("needs ").mask(without_run, "a run of this width")
    rows = rows[rows["verdict"] == UNMEASURED]
    return rows.groupby(["reading", "of", "missing"], sort=False).size().rename("statements").reset_index()


def _of(claims: pd.DataFrame) -> pd.Series:
    widths = claims["width"].map(lambda width: "" if pd.isna(width) else f"width {int(width):,}")
    return widths.where(claims["width"].notna(), claims["about"].fillna(""))


def parts(spread: pd.DataFrame) -> str:
    """Which part of a seed varies most quantities most.

    Args:
        spread: of `judge.spread_by_part`.
    """
    most = spread.dropna().idxmax(axis=1).value_counts()
    first, *others = [f"{count} vary most with the {part}" for part, count in most.items()]
    said = [first, *(text.replace(" vary most", "") for text in others)]
    return f"Of {len(spread)} quantities {listed(said)}. The ten that vary most:"


def most_varied(spread: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """The quantities that vary most with a part of the seed, in words.

    Args:
        spread: of `judge.spread_by_part`.
        count: of rows.
    """
    rows = spread.loc[spread.max(axis=1).nlargest(count).index].reset_index()
    named = {"claim": rows["claim"].map(CLAIM_TITLES), "space": rows["space"].replace(SPACE_TITLES | {"all": ""})}
    places = {"claim": "quantity", "space": "states", "at": "epoch"}
    return rows.assign(**named).rename(columns=places).set_index([*places.values(), "model"]).round(3)


def _counts(claims: pd.DataFrame) -> dict[str, int]:
    return claims["verdict"].value_counts().reindex(judge.VERDICTS, fill_value=0).to_dict()


def thresholds(table: pd.DataFrame) -> str:
    """What `figures.thresholds` shows: for how many statements the number that 'high' means changes the verdict.

    Args:
        table: thresholds.csv.
    """
    measured = table[table["verdict"] != UNMEASURED]
    if not len(measured):
        return "None of these statements was measured."
    kinds = measured.groupby(["claim", "reading", "width"])["verdict"].nunique()
    same = int((kinds == 1).sum())
    return (
        f"Of {len(kinds)} statements, counted at each width with runs, {same} have one verdict whatever 'high' means "
        f"from {table['number'].min():g} to {table['number'].max():g}; for the other {len(kinds) - same} it depends on "
        "the number."
    )
