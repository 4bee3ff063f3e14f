"""Notebook 09: whether another way of looking, or another reading of the paper, gives its clusters."""

import pandas as pd

from helpers.figures.controls import METHOD_TITLES
from helpers.figures.style import CLAIM_TITLES, SPACE_TITLES, SPLIT_TITLES, variant_title
from helpers.findings.words import listed, paragraphs, percent, two
from helpers.rows import NO_CHOICE
from helpers.table_folder import made_by
from helpers.verdict import facts, judge
from helpers.verdict.reading_fit import AT_THE_END, TARGETS

TITLES = {target.key: target.statement for target in (*TARGETS, *AT_THE_END)}  # of what `fit` is the mean of
TITLES |= {"parameters": "Table 6's numbers of parameters"}
LEARNT = 0.5  # of the target `learns`: half of unseen instances are solved


def missing(name: str, rows: str = "") -> str:
    """What makes a table, or some `rows` of it, that are not there."""
    what = f"`{name}.csv` has no {rows}" if rows else f"`{name}.csv` is not there"
    return f"{what}: `{made_by(name)}` makes {'them' if rows else 'it'}, and `make reproduce` then shows it here."


def answer(
    alternatives: pd.DataFrame,
    everywhere: pd.DataFrame | None,
    variants: pd.DataFrame | None,
    parts: pd.DataFrame | None,
    searched: pd.DataFrame | None,
) -> str:
    """The highest task F1 that any way of looking gives, what one change can do, and the reading that fits best.

    Args:
        alternatives: alternatives.csv.
        everywhere: alternatives_grids.csv, if there.
        variants: multiverse.csv, if there.
        parts: parts.csv, if there.
        searched: readings.csv, if there.
    """
    said = [_looked(alternatives, everywhere)]
    if variants is not None:
        said.append(_varied(variants, parts))
    if searched is not None:
        said.append(_searched(searched))
    return paragraphs(said)


def _looked(alternatives: pd.DataFrame, everywhere: pd.DataFrame | None) -> str:
    found = facts.searched(alternatives, everywhere)
    best = [
        f"{two(found[split]['best']['f1'])} on the {title.lower()} (the paper's way: {two(found[split]['as_paper'])})"
        for split, title in SPLIT_TITLES.items()
    ]
    centred = [f"{two(found[split]['centred'])} on the {title.lower()}" for split, title in SPLIT_TITLES.items()]
    runs = "1 run" if found["runs"] == 1 else f"{found['runs']} runs"
    number = judge.EVERY["task_subset"].rule.above
    reached = "is above" if found["subset"]["best"]["f1"] > number else "is not above"
    return (
        f"**{found['ways']} ways to cluster {runs}, at any layer and the best of up to three epochs: F1 by task is at "
        f"most {listed(best)}. On the training subset that {reached} the paper's {number:g}.** With each input's mean "
        f"state subtracted: {listed(centred)}. More clusters and other definitions of F1 are left out."
    )


def _method(row: dict | pd.Series) -> str:
    """How a row of alternatives.csv was clustered, as figures say it."""
    return METHOD_TITLES[row["method"]].replace("\n", " ")


def _varied(variants: pd.DataFrame, parts: pd.DataFrame | None) -> str:
    sets = dict(zip(("task_subset", "task_validation"), SPLIT_TITLES.values(), strict=True))
    found = facts.varied(variants, parts, tuple(sets))
    raised = [
        f"{sets[key].lower()} {two(of['default'])} to {two(of['highest'])} ({variant_title(of['variant'])}"
        f"{_by_chance(of['seeds'])})"
        for key, of in found["quantities"].items()
    ]
    most = f"those that raise F1 by task most: {listed(raised)}" if raised else "none raises F1 by task"
    return (
        f"Of {found['variants']} changes to what the paper leaves open (width {found['width']}, reading "
        f"{found['reading']}, raw states, last epoch), {most}."
    )


def _by_chance(seeds: list[float]) -> str:
    """What other seeds of the default give, where some were run."""
    return f"; other seeds of the default give {two(seeds[0])} to {two(seeds[1])}" if seeds else ""


def _searched(searched: pd.DataFrame) -> str:
    by_plan = dict(list(searched.groupby("plan")))
    return " ".join(_of_search(search, by_plan[search["plan"]]) for search in facts.searches(searched))


def _of_search(search: dict, rows: pd.DataFrame) -> str:
    solve = search["of"] - len(unlearnt(rows))
    return (
        f"Of {search['of']} readings searched at width {search['width']}, one run each, {solve} "
        f"{'solves' if solve == 1 else 'solve'} half of unseen instances or more where they were trained furthest. The "
        f"one that fits best what the paper shows besides clusters by task (fit {two(search['fit'])} of 1, epoch "
        f"{search['epochs']}): `{search['reading']}`."
    )


def latest(searched: pd.DataFrame) -> pd.DataFrame:
    """Every reading where it was trained furthest, those of later rungs first and the best of each before the others.

    Args:
        searched: readings.csv.
    """
    ordered = searched.sort_values(["rung", "fit"], ascending=False, kind="stable")
    return ordered.drop_duplicates(["plan", "reading"]).reset_index(drop=True)


def unlearnt(searched: pd.DataFrame) -> pd.DataFrame:
    """The readings that solve less than half of unseen instances where they were trained furthest, or that failed.

    Args:
        searched: readings.csv.
    """
    last = latest(searched)
    return last[~(last["learns"] >= LEARNT)]


def plain(searched: pd.DataFrame) -> pd.DataFrame:
    """Rows of readings.csv as a table to read: the reading, how far it was trained, its fit and the parts of it."""
    return searched[["reading", "width", "epochs", "fit", *TITLES]].rename(columns=lambda name: name.replace("_", " "))


def heat(searched: pd.DataFrame, count: int) -> str:
    """What `figures.readings` shows: which target the best readings miss most.

    Args:
        searched: readings.csv.
        count: of readings in the figure.
    """
    shown = latest(searched).head(count)
    means = shown[list(TITLES)].mean().dropna()
    return (
        f"Of the {len(shown)} best readings, what is met least is '{TITLES[means.idxmin()]}' ({two(means.min())} of "
        f"1 in the mean), and best '{TITLES[means.idxmax()]}' ({two(means.max())})."
    )


def confirmed(table: pd.DataFrame) -> pd.DataFrame:
    """Fit of each reading and width on fresh seeds and complete schedules, as a table to read.

    Args:
        table: readings_confirmed.csv.
    """
    shown = pd.DataFrame(facts.confirmed(table))[["width", "reading", "epochs", "seeds", "fit", "low", "high"]]
    return shown.round(2).rename(columns={"low": "lowest of a seed", "high": "highest of a seed"})


def ways(table: pd.DataFrame) -> str:
    """What `figures.alternatives` shows: the best of the paper's way and of any, and chance with the same clusters."""
    said = []
    for split, title in SPLIT_TITLES.items():
        part = table[(table["split"] == split) & (table["clusters"] == 1) & (table["definition"] == "matched")]
        best = part.loc[part["f1"].idxmax()]
        own = part[(part["method"] == "kmeans") & part["space"].isin(("raw", "tsne"))]["f1"].max()
        said.append(f"{title.lower()}: {two(own)} by KMeans on raw or t-SNE states, {two(best['f1'])} at most "
                    f"({SPACE_TITLES[best['space']]}, {_method(best)}; labels permuted: "
                    f"{two(best['chance'])})")  # fmt: skip
    return (
        f"Upper row, clusters matched to labels one-to-one: {'; '.join(said)}. Lower row: other definitions of F1 and "
        "more clusters."
    )


def moves(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """The changes that take a quantity across its rule's number, as a table: those first that chance makes least.

    Args:
        table: of `judge.flipped`.
        count: of rows.
    """
    rows = _open(table).sort_values("seeds", kind="stable").head(count)
    return pd.DataFrame(
        {
            "quantity": rows["claim"].map(CLAIM_TITLES),
            "states": rows["space"].map(lambda space: SPACE_TITLES.get(space, "")),
            "at": rows["at"].map({"end": "last epoch", "peak": "highest epoch"}),
            "holds": rows["rule"],
            "nothing changed": rows["default"].round(3),
            "change": rows["variant"].map(variant_title),
            "changed": rows["value"].round(3),
            "other seeds across": rows["seeds"].map(lambda share: percent(share) if pd.notna(share) else ""),
        }
    ).reset_index(drop=True)


def moved(table: pd.DataFrame) -> str:
    """What `figures.multiverse` shows: how many statements any single change takes across its rule's number.

    Args:
        table: of `judge.flipped`.
    """
    table = _open(table)
    if not len(table):
        return "No change alone takes a statement's quantity across its rule's number."
    changes = table.groupby("variant")["claim"].nunique().sort_values(ascending=False, kind="stable")
    chance = (table["seeds"] > 0).mean() if table["seeds"].notna().any() else None
    tail = "" if chance is None else f" In {percent(chance)} of these cases another seed alone does the same."
    return (
        f"For {table['claim'].nunique()} statements some change alone takes the quantity across the rule's number. The "
        f"change that does so most often is {variant_title(changes.index[0])} ({changes.iloc[0]} statements).{tail}"
    )


def _open(table: pd.DataFrame) -> pd.DataFrame:
    """Without changes to what the paper does not leave open."""
    return table[~table["variant"].str.contains(NO_CHOICE)]
