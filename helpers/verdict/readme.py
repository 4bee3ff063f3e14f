"""The results in README.md, made from committed tables: `python -m helpers.verdict.readme`.

Numbers come from `facts`, sentences from readme.md.j2.
"""

import argparse
import sys
from pathlib import Path

import jinja2
import pandas as pd

from helpers import store
from helpers.errors import exit_status
from helpers.verdict import facts
from helpers.verdict.claims import AT_PEAK, BY_DISTANCE, CENTRED, CLAIMS, OURS
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, NO_MORE, UNDECIDED, UNMEASURED

MARKS = ("<!-- made from committed tables by `python -m helpers.verdict.readme` -->", "<!-- end of results -->")
TEMPLATE = Path(__file__).with_name("readme.md.j2")
PLURAL = {
    HOLDS: "hold", NO_MORE: "hold, but no more than untrained", CONDITION: "hold under a condition",
    FAILS: "do not hold", UNDECIDED: "are undecided", UNMEASURED: "are not measured",
}  # fmt: skip
SHORT = {CENTRED: "input-centred", AT_PEAK: "at its best epoch", BY_DISTANCE: "by distance"}  # conditions in few words


def readme(text: str, tables: Path) -> str:
    """The README with its results taken from the committed tables: what stands between MARKS is replaced.

    Args:
        text: of README.md.
        tables: data/laptop/tables.

    Raises:
        ValueError: the marks are not there.
    """
    start, end = (text.index(mark) for mark in MARKS)
    return text[: start + len(MARKS[0])] + "\n" + results(tables) + text[end:]


def results(tables: Path) -> str:
    """The results as Markdown.

    Args:
        tables: data/laptop/tables.
    """
    known = facts.of_profile(tables)
    columns = _columns(known["claims"], known["claims_outputs"])
    rows = [(c, [_cell(table, c.key) for table in columns.values()]) for c in (*CLAIMS, *OURS)]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "two": "{:.2f}".format,
        "three": "{:.3f}".format,
        "percent": "{:.0%}".format,
        "words": lambda name: name.replace("_", " "),
    }
    return environment.from_string(TEMPLATE.read_text()).render(known, columns=columns, rows=rows, plural=PLURAL)


def _columns(claims: pd.DataFrame, outputs: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """Title of a column -> its rows of claims.csv, by claim: the widths with runs, then those of the other loss."""
    seeds = claims.groupby("width", sort=False)["seeds"].max()
    columns = {f"width {w}": claims[claims["width"] == w].set_index("claim") for w in seeds[seeds > 0].index}
    if outputs is not None:
        for width, part in outputs.groupby("width", sort=False):
            columns[f"width {width}, loss on outputs alone"] = part.set_index("claim")
    return columns


def _cell(decided: pd.DataFrame, claim: str) -> str:
    """A claim at one width in few words: the verdict, the mean and its interval; nothing where it is not asked."""
    if claim not in decided.index:
        return ""
    row = decided.loc[claim]
    if not row["seeds"]:
        return UNMEASURED
    met = " or ".join(words for text, words in SHORT.items() if text in str(row["condition"]))
    verdict = f"{HOLDS} {met}" if row["verdict"] == CONDITION else row["verdict"]
    between = "one seed" if row["seeds"] == 1 else f"{row['low']:.2f} to {row['high']:.2f}"
    untrained = "" if pd.isna(row["untrained"]) else f"; untrained {row['untrained']:.2f}"
    return f"**{verdict}**: {row['ours']:.2f} ({between}{untrained})"


def main(arguments: list[str] | None = None) -> int:
    """Command line: put the committed results into README.md; returns the exit status."""
    argparse.ArgumentParser(prog="python -m helpers.verdict.readme", description=__doc__).parse_args(arguments)
    path = store.REPOSITORY / "README.md"

    def write() -> None:
        text = readme(path.read_text(), store.REPOSITORY / "data" / "laptop" / "tables")
        store.write_bytes(path, text.encode())

    return exit_status(write)


if __name__ == "__main__":
    sys.exit(main())
