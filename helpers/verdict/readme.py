"""The results in README.md and docs/results.md, made from committed tables: `make readme`.

The tables and columns that data/README.md lists are written as well.

Numbers come from `gather`, the first sentences from `story`, the rest from readme.md.j2 and results.md.j2. The two
figures of these pages are written to figures/readme.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from helpers import store, tables
from helpers.analysis.course import FADED
from helpers.errors import exit_status
from helpers.figures.controls import METHOD_TITLES
from helpers.figures.style import CLAIM_TITLES, SPACE_TITLES, SPLIT_TITLES, reading_title, variant_title
from helpers.rows import CONTROL, runs_in
from helpers.table_folder import TableFolder
from helpers.verdict import answers, gather, redraw, story
from helpers.verdict.claims import AT_PEAK, BY_DISTANCE, CENTRED, CLAIMS, EVERY, OURS
from helpers.verdict.judge import CONDITION, HOLDS, PLURAL, UNMEASURED, WIDTHS

HERE = Path(__file__).parent
SHORT = {CENTRED: "input-centred", AT_PEAK: "at its best epoch", BY_DISTANCE: "by distance"}  # conditions in few words
MARKS_OF_CODE = "<!-- {0}: `make readme` writes this from helpers/tables.py -->\n", "<!-- end of {0} -->"
MARKS = "<!-- {0}: `make readme` writes this from committed tables -->\n", "<!-- end of {0} -->"


def readme(text: str, known: dict, executed: set[str]) -> str:
    """The README with what stands between the marks of each block of readme.md.j2 renewed.

    Args:
        text: of README.md.
        known: of `gather.of_profile`.
        executed: names of the notebooks whose executed copies are committed.

    Raises:
        ValueError: the marks of a block are not there.
    """
    template = _environment().get_template("readme.md.j2")
    context = template.new_context(_of_readme(known) | {"notebooks": _notebooks(known, executed)})
    for name, block in template.blocks.items():
        text = _between(MARKS, name, "".join(block(context)), text)
    return text


def described(text: str) -> str:
    """data/README.md with the tables and columns that `tables` declares.

    Raises:
        ValueError: the marks of the section are not there.
    """
    return _between(MARKS_OF_CODE, "tables", tables.described(), text)


def _between(marks: tuple[str, str], name: str, written: str, text: str) -> str:
    """A text with something new between two marks."""
    start, end = (mark.format(name) for mark in marks)
    before, after = text.index(start) + len(start), text.index(end)
    return text[:before] + written.strip("\n") + "\n" + text[after:]


def results(known: dict) -> str:
    """docs/results.md.

    Args:
        known: of `gather.of_profile`.
    """
    columns = story.kinds_of_run(known)
    of_paper, of_ours = (
        [(claim, [_cell(table, claim.key, fewer=True) for table in columns.values()]) for claim in some]
        for some in (CLAIMS, OURS)
    )
    titled = {_column_title(name): table for name, table in columns.items()}
    text = (
        _environment()
        .get_template("results.md.j2")
        .render(
            known,
            columns=[f"{name} ({story.most_seeds(table)})" for name, table in titled.items()],
            of_paper=of_paper,
            of_ours=of_ours,
            unlearnt=[name for name, table in titled.items() if _unlearnt(table)],
            plural=PLURAL,
            titles=CLAIM_TITLES,
            of_profile=runs_in(known["training"]),
            spaces=SPACE_TITLES,
            splits=SPLIT_TITLES,
            faded=FADED,
            control=CONTROL,
            methods={name: words.replace("\n", " ") for name, words in METHOD_TITLES.items()},
            machines=_by_machine(known["bench"]),
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _unlearnt(decided: pd.DataFrame) -> bool:
    """Whether models of a column answer less than half of unseen instances in the end."""
    return "accuracy_validation" in decided.index and decided.loc["accuracy_validation", "ours"] < 0.5


def _by_machine(bench: list[dict]) -> dict[str, list[dict]]:
    """Rows of bench.csv by the machine that measured them."""
    found = {}
    for row in bench:
        found.setdefault(f"{row['cpu']}, {row['instructions']}", []).append(row)
    return found


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "two": "{:.2f}".format,
        "three": "{:.3f}".format,
        "percent": "{:.0%}".format,
        "words": lambda name: name.replace("_", " "),
        "variant": variant_title,
        "number": number,
        "between": between,
    }
    return environment


def number(value: float | None) -> str:
    """Two digits; nothing for what is missing."""
    return "" if pd.isna(value) else f"{value:.2f}"


def between(row: dict) -> str:
    """The interval of a row of claims.csv, in brackets behind its mean; nothing where nothing was measured."""
    if pd.notna(row["low"]):
        return f" ({row['low']:.2f} to {row['high']:.2f})"
    return " (one seed)" if row["seeds"] else ""


def _of_readme(known: dict) -> dict:
    """What readme.md.j2 shows."""
    width = story.main_width(known["claims"])
    mine = story.five(known)
    others = {f"with reading {reading_title(name)}": theirs for name, theirs in story.others(known).items()}
    five = [
        row
        | {
            "said": story.FIVE[key][0].upper() + story.FIVE[key][1:],
            "measured": story.measured(key),
            "rule": EVERY[key].rule,
            "others": [_cell(theirs, key) for theirs in others.values()],
        }
        for key, row in mine.to_dict("index").items()
    ]
    return {
        "sentences": story.sentences(known), "own_run": story.own_run(known),
        "alt": story.title(known).replace("\n", ". "),
        "minutes": known["minutes"], "five": five, "others": others,
        "of_main": runs_in(mine.reset_index()), "until": f", {story.to_epoch(known, width)}", "why": _why(known),
        "of_profile": runs_in(known["training"]), "epochs": known["accuracy"]["epochs"],
    }  # fmt: skip


def _why(known: dict) -> str:
    """How the readings compare by what the paper shows besides clusters."""
    if not known["searches"]:
        return ""
    best = [_searched(search) for search in known["searches"]]
    said = (
        " *Fitted*'s choices come from trials in which clusters were looked at as well. Of the readings then searched, "
        f"these fit best what the paper shows besides clusters: {', '.join(best)}"
    )
    return f"{said}{_confirmed(known['confirmed'])}."


def _searched(search: dict) -> str:
    """Which reading was best of how many."""
    some = "" if search["last"] == search["of"] else f"{search['last']} of them "
    how = f"one run each, {some}to epoch {search['epochs']}"
    return f"of {search['of']} at width {search['width']}, *{reading_title(search['reading'])}* ({how})"


def _confirmed(rows: list[dict]) -> str:
    """The fits of the main model's readings on fresh seeds and complete schedules, the best first."""
    main = [row for row in rows if row["width"] == WIDTHS[0]]
    said = [f"{row['fit']:.2f} ({row['low']:.2f} to {row['high']:.2f} over {row['seeds']} seeds) for *{row['reading']}*"
            for row in main]  # fmt: skip
    return f"; on complete schedules the fit is {' and '.join(said)}" if len(main) > 1 else ""


def _notebooks(known: dict, executed: set[str]) -> list[dict]:
    """Each notebook that there is: its question, the answer, and its executed copy, or its source without one."""
    return [
        {"name": name, "question": question, "answer": answer,
         "path": f"{'data/laptop/notebooks' if name in executed else 'notebooks'}/{name}.ipynb"}
        for name, (question, answer) in answers.of_notebooks(known).items()
        if (store.REPOSITORY / "notebooks" / f"{name}.ipynb").exists()
    ]  # fmt: skip


def committed_copies() -> set[str]:
    """Names of the notebooks whose executed copies git holds."""
    command = ["git", "ls-files", "data/laptop/notebooks/*.ipynb"]
    listed = subprocess.run(command, cwd=store.REPOSITORY, capture_output=True, text=True, check=True).stdout
    return {Path(line).stem for line in listed.splitlines()}


def _column_title(name: str) -> str:
    return f"width {name}".replace(story.OUTPUTS, "loss on outputs alone")


def _cell(decided: pd.DataFrame, claim: str, fewer: bool = False) -> str:
    """A claim at one width in few words: the verdict, the mean and its interval; nothing where it is not asked.

    Args:
        fewer: also say of how many seeds, where they are fewer than of other claims.
    """
    if claim not in decided.index:
        return ""
    row = decided.loc[claim]
    if not row["seeds"]:
        return UNMEASURED
    met = " or ".join(words for text, words in SHORT.items() if text in str(row["condition"]))
    verdict = f"{HOLDS} {met}" if row["verdict"] == CONDITION else row["verdict"]
    interval = between(row).strip(" ()")
    untrained = "" if pd.isna(row["untrained"]) else f"; untrained {row['untrained']:.2f}"
    seeds = f"; {row['seeds']} seeds" if fewer and 1 < row["seeds"] < decided["seeds"].max() else ""
    otherwise = f"; otherwise {row['otherwise']:.2f}" if pd.notna(row["otherwise"]) else ""
    return f"**{verdict}**: {row['ours']:.2f} ({interval}{untrained}{seeds}){otherwise}"


def pictures(known: dict, tables: TableFolder) -> dict[str, Figure]:
    """The figures that README and docs/results.md show and no notebook draws, by file name without suffix."""
    found = {"found": story.figure(known), "verdicts": story.verdicts(known)}
    flips = redraw.flips(tables)
    return found | ({} if flips is None else {"flips": flips})


def main(arguments: list[str] | None = None) -> int:
    """Command line: renew README.md, docs/results.md and data/README.md; returns the exit status."""
    argparse.ArgumentParser(prog="python -m helpers.verdict.readme", description=__doc__).parse_args(arguments)
    root, laptop = store.REPOSITORY, TableFolder(store.REPOSITORY / "data" / "laptop" / "tables")

    def write() -> None:
        known = gather.of_profile(laptop, story.WIDTH)
        text = readme((root / "README.md").read_text(), known, committed_copies())
        for name, figure in pictures(known, laptop).items():
            store.write_figure(root / "figures" / "readme" / f"{name}.png", figure, dpi=160)
        store.write_bytes(root / "README.md", text.encode())
        store.write_bytes(root / "docs" / "results.md", results(known).encode())
        store.write_bytes(root / "data" / "README.md", described((root / "data" / "README.md").read_text()).encode())

    return exit_status(write)


if __name__ == "__main__":
    sys.exit(main())
