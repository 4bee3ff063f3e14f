"""The verdict in pictures: every claim, what 'high' may mean, and the result at a glance."""

import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.figures.style import CLAIM_TITLES, OKABE_ITO, grid_of, reading_title, titled
from helpers.rows import readings_in, runs_in

VERDICT_COLOURS = {
    "holds": "#0072b2",
    "holds, but no more than untrained": "#8c6bb1",
    "holds under a condition": "#56b4e9",
    "does not hold": "#d55e00",
    "undecided": "0.55",
    "not measured": "0.88",
}


def claims(
    table: pd.DataFrame, rules: dict[str, tuple[float, float]], statements: dict[str, str], title: str
) -> Figure:
    """Each claim's quantity with its 95% interval over seeds, one panel a claim, one row in it a width.

    Readings stand under one another in a row, each with a marker of its own. A cross is what the paper's own way of
    looking gives, where a claim holds under a condition alone.

    Args:
        table: claims.csv; its rows of a width.
        rules: claim -> (above, below), the numbers between which it holds; that is shaded.
        statements: claim -> what it says, the title of its panel.
    """
    rows = table[table["claim"].isin(rules)].dropna(subset=["width", "ours"]).astype({"width": int})
    widths, readings = sorted(rows["width"].unique()), readings_in(rows)
    keys = [key for key in rules if key in set(rows["claim"])]
    columns = 3
    figure, axes = grid_of(max(1, -(-len(keys) // columns)), columns, height=0.75 + 0.2 * max(2, len(widths)))
    for key, ax in zip(keys, axes.ravel(), strict=False):
        for row in rows[rows["claim"] == key].itertuples():
            n = readings.index(row.reading)
            _quantity(ax, row, widths.index(row.width) + _apart(n, len(readings)), _marker(n), 3.5)
        _shade(ax, *rules[key])
        ax.set(ylim=(len(widths) - 0.5, -0.5))
        ax.set_title(textwrap.fill(statements[key], 43), fontsize=6.8)
        ax.set_yticks(range(len(widths)), [f"{width:,}" for width in widths])
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
        ax.tick_params(labelsize=6.5, pad=1)
        ax.grid(axis="y", visible=False)
    for ax in axes.ravel()[len(keys) :]:
        ax.set_visible(False)
    _verdict_legend(figure, rows, readings)
    left = "; statements that no run measured are left out" if len(keys) < len(rules) else ""
    return titled(figure, title, f"{runs_in(rows)}; a row a width, no dot: not measured; each panel its scale{left}")


def _marker(n: int) -> str:
    """Of the n-th reading."""
    return "os^Dv"[n % 5]


def _apart(n: int, count: int) -> float:
    """How far below the middle of its row the n-th of so many readings stands."""
    return (n - (count - 1) / 2) * 0.4


def _quantity(ax, row, y: float, marker: str, size: float) -> None:
    """A claim's quantity and 95% interval in the colour of its verdict, and what it is without a condition."""
    colour = VERDICT_COLOURS[row.verdict]
    if pd.notna(row.otherwise):
        ax.plot(row.otherwise, y, "x", color=colour, ms=size, mew=1.4)
    if pd.notna(row.low):
        ax.plot([row.low, row.high], [y, y], color=colour, lw=size / 2.3, solid_capstyle="round")
    if pd.notna(row.ours):
        ax.plot(row.ours, y, marker, color=colour, ms=size)


def _place(row) -> str:
    return f"{row.width:,}\n{textwrap.fill(reading_title(row.reading), 9)}"


def _verdict_legend(figure: Figure, rows: pd.DataFrame, readings: list[str] = ()) -> None:
    """The colours of the verdicts that occur, the cross where it does, and the markers of several readings."""
    colours = {verdict: colour for verdict, colour in VERDICT_COLOURS.items() if verdict in set(rows["verdict"])}
    handles = [mpl.patches.Patch(color=colour, label=verdict) for verdict, colour in colours.items()]
    if "otherwise" in rows and rows["otherwise"].notna().any():
        colour = VERDICT_COLOURS["holds under a condition"]
        cross = {"marker": "x", "ls": "", "mew": 1.4}
        handles.append(mpl.lines.Line2D([], [], color=colour, label="the same without the condition", **cross))
    if len(readings) > 1:
        handles += [
            mpl.lines.Line2D([], [], color="0.3", marker=_marker(n), ls="", label=f"reading {name}")
            for n, name in enumerate(map(reading_title, readings))
        ]
    figure.legend(handles=handles, loc="outside lower center", ncol=3)


def thresholds(table: pd.DataFrame, statements: dict[str, str], rules: dict[str, tuple[float, float]]) -> Figure:
    """The verdict on each claim that something is high, for several numbers that 'high' may mean.

    A panel, named by both, for each width and reading of which anything was measured. A dot marks our own number.

    Args:
        table: thresholds.csv.
        statements: claim -> what it says.
        rules: claim -> (above, below), the numbers between which we say that it holds.
    """
    table = table.assign(place=[_place(row) for row in table.itertuples()])
    table = table[table.groupby("place")["verdict"].transform(lambda v: (v != "not measured").any())]
    table = table.sort_values("width", kind="stable")
    names, numbers = list(dict.fromkeys(table["place"])), sorted(table["number"].unique())
    keys = [key for key in statements if key in set(table["claim"])]
    figure, (axes,) = grid_of(1, len(names), height=0.9 + 0.3 * len(keys))
    for name, ax in zip(names, axes, strict=True):
        mine = table[table["place"] == name]
        shown = mine.pivot(index="claim", columns="number", values="verdict").reindex(index=keys, columns=numbers)
        labelled = numbers if len(names) <= 4 else numbers[::2]  # as many as there is room for
        _tiles(ax, shown, [f"{n:g}" if n in labelled else "" for n in numbers])
        ours = [(numbers.index(rules[key][0]) + 0.5, y + 0.5) for y, key in enumerate(keys) if rules[key][0] in numbers]
        ax.plot(*zip(*ours, strict=True), ".", color="black", ms=3)
        ax.set_title(name, fontsize=7)
        ax.tick_params(axis="x", labelrotation=90, labelsize=6)
    words = [textwrap.fill(statements[key], 52) for key in keys]
    axes[0].set_yticks(np.arange(len(keys)) + 0.5, words, fontsize=7)
    _verdict_legend(figure, table)
    title = "How far each verdict depends on the number above which something is 'high'"
    named = f"reading {', '.join(map(reading_title, readings_in(table)))}"
    return titled(figure, title, f"{named}; a column for each number (dot: ours); one seed decides nothing")


def _tiles(ax, verdicts: pd.DataFrame, names: list[str]) -> None:
    """A square a verdict in its colour; white where nothing is asked."""
    places = dict(zip(VERDICT_COLOURS, range(len(VERDICT_COLOURS)), strict=True))
    colours = mpl.colors.ListedColormap(list(VERDICT_COLOURS.values()))
    codes = verdicts.map(lambda verdict: places.get(verdict, np.nan)).astype(float)
    ax.pcolormesh(codes, cmap=colours, vmin=-0.5, vmax=len(places) - 0.5, edgecolors="white", lw=1.5)
    ax.set(ylim=(len(verdicts), 0))
    ax.set_xticks(np.arange(len(names)) + 0.5, names)
    ax.set_yticks(np.arange(len(verdicts)) + 0.5, [])
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def summary(
    courses: pd.DataFrame,
    level: float,
    found: dict[str, pd.DataFrame],
    rules: dict[str, float],
    title: str,
    runs: str,
) -> Figure:
    """The result at a glance: clusters and accuracy over training, and the statements that matter most.

    Args:
        courses: by seed and epoch: name (accuracy of unseen instances; raw or tsne: F1 by task, best layer) and value.
        level: the F1 of unseen instances that counts as high.
        found: reading -> rows of claims.csv by claim; the reading that decides first.
        rules: claim -> the number above which it holds.
        title, runs: for the figure.
    """
    figure, (axes,) = grid_of(1, 2, height=1.9 + 0.3 * len(rules), widths=(1, 1.1))
    _courses(axes[0], courses, level)
    ax, keys = axes[1], list(rules)
    for n, (reading, rows) in enumerate(found.items()):
        for row in rows.reset_index().itertuples():
            y, marker = keys.index(row.claim) + _apart(n, len(found)), _marker(n)
            if pd.notna(row.untrained):
                ax.plot(row.untrained, y, marker, color="0.4", mfc="white", ms=5)
            _quantity(ax, row, y, marker, 5)
        if len(found) > 1:
            ax.plot([], [], _marker(n), color="0.3", ms=5, label=f"reading {reading}")
    for y, above in enumerate(rules.values()):
        ax.plot([above, above], [y - 0.4, y + 0.4], color="black", lw=1.2, ls="--")
    ax.plot([], [], "--", color="black", lw=1.2, label="it holds above")
    ax.plot([], [], "o", color="0.4", mfc="white", ms=5, label="untrained")
    ax.set_yticks(range(len(keys)), [textwrap.fill(CLAIM_TITLES[key], 22) for key in keys], fontsize=7)
    ax.set(ylim=(len(keys) - 0.5, -0.5), xlim=(-0.12, 1.05), xlabel="F1, accuracy, share or its gain")
    ax.set_title("The five statements that matter most", fontsize=8)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncol=2, fontsize=6.5, frameon=False)
    _verdict_legend(figure, pd.concat(found.values()))
    return titled(figure, title, runs)


def verdicts(table: pd.DataFrame, runs: str) -> Figure:
    """The verdict on every statement.

    Args:
        table: one row a claim (key), one column a kind of run (its name may have lines), verdicts or NaN in the cells.
        runs: for the title.
    """
    figure, ((ax,),) = grid_of(1, 1, height=0.75 + 0.145 * len(table))
    _tiles(ax, table, ["\n".join(textwrap.fill(line, 9) for line in name.split("\n")) for name in table])
    ax.set_yticks(np.arange(len(table)) + 0.5, [CLAIM_TITLES[key] for key in table.index], fontsize=6.5)
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", labelsize=6.5)
    white = "; white: not asked" if table.isna().any(axis=None) else ""
    _verdict_legend(figure, table.melt(value_name="verdict"))
    return titled(figure, "The verdict on every statement, by width", f"{runs}; one seed decides nothing{white}")


def _courses(ax, table: pd.DataFrame, level: float) -> None:
    looks = {
        "accuracy": ("0.45", "accuracy"),
        "tsne": (OKABE_ITO[2], "task F1, t-SNE"),
        "raw": (OKABE_ITO[3], "task F1, raw states"),
    }
    for name, (colour, label) in looks.items():
        runs = table[table["name"] == name].dropna().groupby("epoch")["value"].agg(["mean", "min", "max"])
        ax.plot(runs.index, runs["mean"], color=colour, lw=2, marker="o", ms=2.5, label=label)
        ax.fill_between(runs.index, runs["min"], runs["max"], color=colour, alpha=0.2, lw=0)
        if name != "accuracy" and len(runs):
            ax.axhline(runs["mean"].iloc[0], color=colour, ls=":", lw=1.2, label=f"{label}, untrained")
    ax.axhline(level, color="black", ls="--", lw=1)
    words = f"'high': above {level:g}"
    place = (table["epoch"].max(), level)
    ax.annotate(words, place, (0, -3), textcoords="offset points", ha="right", va="top", fontsize=7)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=2, fontsize=6.5, frameon=False)
    band = ", range over seeds" if table["seed"].nunique() > 1 else ""
    ax.set(ylim=(0, 1.05), xlabel="epoch", ylabel="accuracy, or F1 by task")
    ax.set_title(f"Unseen instances, best layer{band}", fontsize=8)


def _shade(ax, above: float, below: float) -> None:
    """Where a claim holds."""
    for number in (above, below):
        if np.isfinite(number):
            ax.axvline(number, color="0.3", lw=0.9, ls="--")
    low, high = ax.get_xlim()
    ax.axvspan(max(low, above), min(high, below), color="#0072b2", alpha=0.07, lw=0)
    ax.set_xlim(low, high)
