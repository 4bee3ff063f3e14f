"""The parts that sentences share: numbers in words, and tables of several seeds as one."""

from collections.abc import Iterable

import pandas as pd

PLACES = ("width", "epoch", "layer", "k", "clusters")  # numbers that say where something was measured


def two(value: float) -> str:
    """A score with two decimals."""
    return f"{value:.2f}"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{value:.0%}"


def listed(items: Iterable[object]) -> str:
    """a, b and c."""
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last


def changes(before: float, after: float, words=two) -> str:
    """rises from a to b, falls from a to b, or stays at a where both read alike."""
    if words(before) == words(after):
        return f"stays at {words(after)}"
    return f"{'rises' if after > before else 'falls'} from {words(before)} to {words(after)}"


def mean_over_seeds(table: pd.DataFrame, width: int) -> pd.DataFrame:
    """The rows of one width, every measure averaged over its seeds.

    Args:
        table: with columns width and seed.
    """
    mine = table[table["width"] == width]
    values = [c for c in mine.select_dtypes("number") if c not in (*PLACES, "seed")]
    places = [c for c in mine if c not in (*values, "seed")]
    return mine.groupby(places, sort=False, as_index=False, dropna=False)[values].mean()


def widths(table: pd.DataFrame) -> list[int]:
    """The widths of a table, in its order."""
    return list(dict.fromkeys(int(w) for w in table["width"]))


def width_title(table: pd.DataFrame, width: int) -> str:
    """Width 768, and over how many seeds its numbers are means if there are several."""
    seeds = table.loc[table["width"] == width, "seed"].nunique()
    return f"Width {width}" + (f" (means of {seeds} seeds)" if seeds > 1 else "")


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last epoch."""
    return table[table["epoch"] == table["epoch"].max()]


def highest(table: pd.DataFrame, column: str) -> pd.Series:
    """The row in which a column is highest."""
    return table.loc[table[column].idxmax()]


def paragraphs(sentences: Iterable[str]) -> str:
    """Each on lines of its own."""
    return "\n\n".join(sentences)


def table(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    lines = [titles, ["---"] * len(list(titles)), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
