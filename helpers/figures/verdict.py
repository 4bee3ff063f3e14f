"""The verdict in pictures: claims, controls, moved states, other readings, other ways to cluster."""

import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.figures.style import (
    CLAIM_TITLES,
    OKABE_ITO,
    SPACE_TITLES,
    SPLIT_TITLES,
    grid_of,
    reading_title,
    titled,
    variant_title,
)
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
    """Each claim's quantity with its 95% interval over seeds, one panel a claim, one row in it a width and reading.

    Args:
        table: claims.csv; its rows of a width.
        rules: claim -> (above, below), the numbers between which it holds; that is shaded.
        statements: claim -> what it says, the title of its panel.
    """
    rows = table.dropna(subset=["width", "ours"]).astype({"width": int})
    rows = rows.assign(place=places(rows))
    names = list(dict.fromkeys(rows.sort_values("width")["place"]))
    keys = [key for key in rules if key in set(rows["claim"])]
    columns = 3
    figure, axes = grid_of(max(1, -(-len(keys) // columns)), columns, height=0.6 + 0.11 * max(2, len(names)))
    for key, ax in zip(keys, axes.ravel(), strict=False):
        for row in rows[rows["claim"] == key].itertuples():
            y, colour = names.index(row.place), VERDICT_COLOURS[row.verdict]
            if np.isfinite(row.low):
                ax.plot([row.low, row.high], [y, y], color=colour, lw=1.8, solid_capstyle="round")
            ax.plot(row.ours, y, "o", ms=4, color=colour)
        _shade(ax, *rules[key])
        ax.set(ylim=(len(names) - 0.5, -0.5))
        ax.set_title(textwrap.fill(statements[key], 46), fontsize=6.8)
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(labelsize=6.5, pad=1)
        ax.grid(axis="y", visible=False)
    for ax in axes.ravel()[len(keys) :]:
        ax.set_visible(False)
    _verdict_legend(figure, measured=True)
    return titled(figure, title, f"{runs_in(rows)}; no dot: not measured")


def places(rows: pd.DataFrame) -> list[str]:
    """The width of each row, with its reading where a table has several."""
    if len(readings_in(rows)) == 1:
        return [f"{width:,}" for width in rows["width"]]
    return [f"{row.width:,}, {reading_title(row.reading)}" for row in rows.itertuples()]


def _verdict_legend(figure: Figure, measured: bool = False) -> None:
    """The colours of verdicts; `measured` leaves out that of what was not measured."""
    colours = {v: c for v, c in VERDICT_COLOURS.items() if v != "not measured" or not measured}
    handles = [mpl.patches.Patch(color=colour, label=verdict) for verdict, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncol=3)


def thresholds(table: pd.DataFrame, statements: dict[str, str]) -> Figure:
    """The verdict on each claim that something is high, for several numbers that 'high' may mean.

    A panel a width and reading of which anything was measured.

    Args:
        table: thresholds.csv.
        statements: claim -> what it says.
    """
    table = table.assign(place=places(table))
    table = table[table.groupby("place")["verdict"].transform(lambda v: (v != "not measured").any())]
    names, numbers = list(dict.fromkeys(table["place"])), sorted(table["number"].unique())
    keys = [key for key in statements if key in set(table["claim"])]
    figure, (axes,) = grid_of(1, len(names), height=0.9 + 0.3 * len(keys))
    for name, ax in zip(names, axes, strict=True):
        mine = table[table["place"] == name]
        shown = mine.pivot(index="claim", columns="number", values="verdict").reindex(index=keys, columns=numbers)
        _tiles(ax, shown, [f"{n:g}" for n in numbers])
        ax.set(title=f"width {name}", xlabel="'high' is above")
    words = [textwrap.fill(statements[key], 52) for key in keys]
    axes[0].set_yticks(np.arange(len(keys)) + 0.5, words, fontsize=7)
    _verdict_legend(figure)
    title = "How far each verdict depends on what 'high' means"
    return titled(figure, title, f"reading {', '.join(map(reading_title, readings_in(table)))}")


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


CONTROL_TITLES = {
    "linear_probe": "linear probe (accuracy)",
    "within_input_f1": "F1 within one input",
    "within_input_chance": "F1 within one input, permuted",
    "layer_normed_f1": "F1, layer-normed states",
    "raw": "F1, raw states",
    "centred": "F1, input-centred states",
    "permuted_f1": "F1, labels permuted (chance)",
}


def controls(table: pd.DataFrame, scores: pd.DataFrame, surface: pd.DataFrame, width: int) -> Figure:
    """Task scores of the last logged epoch beside their controls, by layer.

    Args:
        table: controls.csv.
        scores: clustering.csv.
        surface: surface.csv, whose F1s are drawn as levels.
        width: hidden dimension to show.
    """
    figure, (axes,) = grid_of(1, 2, height=3.6)
    colours = dict(zip(CONTROL_TITLES, sns.color_palette("colorblind"), strict=False))
    levels = {"input": ":", "bag_of_symbols": "--", "edit_distance": "-."}
    for split, ax in zip(SPLIT_TITLES, axes, strict=True):
        at = table[(table["width"] == width) & (table["split"] == split)]
        at = at[at["epoch"] == at["epoch"].max()]
        task = scores[(scores["width"] == width) & (scores["split"] == split) & (scores["label"] == "task")]
        task = task[task["epoch"] == task["epoch"].max()]
        for name, title in CONTROL_TITLES.items():
            chosen = at[at["control"] == name].rename(columns={"value": "f1"})
            line = (chosen if len(chosen) else task[task["space"] == name]).groupby("layer")["f1"].mean()
            ax.plot(line.index, line, "o-", ms=4, color=colours[name], label=title if ax is axes[0] else None)
        chosen = surface[(surface["split"] == split) & (surface["label"] == "task")]
        for name, style in levels.items():
            level = chosen.loc[chosen["control"] == name, "f1"].mean()
            label = f"F1, {name.replace('_', ' ')} alone" if ax is axes[0] else None
            ax.axhline(level, color="0.4", ls=style, lw=1, label=label)
        ax.set(ylim=(-0.03, 1.03), xlabel="layer", title=SPLIT_TITLES[split])
    figure.legend(loc="outside lower center", ncol=3)
    title = "How well chance, the input, symbols and hidden states give away the task"
    return titled(figure, title, runs_in(table, width))


def interventions(table: pd.DataFrame, width: int) -> Figure:
    """Answers that follow a moved state, and answers that stay, by layer and direction.

    Args:
        table: interventions.csv.
        width: hidden dimension to show.
    """
    titles = {
        "task_and_input": "to the other task's mean for this input",
        "task": "along the difference of task means (inputs removed)",
        "random": "as far in a random direction",
    }
    figure, (axes,) = grid_of(1, 2, height=2.9)
    chosen = table[table["width"] == width]
    for column, title, ax in (
        ("became_other", "Answer becomes the other task's", axes[0]),
        ("stayed", "Answer stays", axes[1]),
    ):
        for (direction, label), colour in zip(titles.items(), ("#0072b2", "#009e73", "0.5"), strict=True):
            part = chosen[chosen["direction"] == direction].groupby("layer")[column]
            mean = part.mean()
            ax.plot(mean.index, mean, "o-", ms=4, color=colour, label=label if ax is axes[0] else None)
            if chosen["seed"].nunique() > 1:
                ax.fill_between(mean.index, part.min(), part.max(), color=colour, alpha=0.15, lw=0)
        ax.set(ylim=(-0.03, 1.03), xlabel="layer at which the state is moved", title=title)
    figure.legend(loc="outside lower center", ncol=1)
    title = "Does the answer follow a state that is moved towards another task?"
    return titled(figure, title, f"{runs_in(chosen)}; unseen instances that the model solves")


def multiverse(table: pd.DataFrame, rules: dict[str, tuple[float, float]]) -> Figure:
    """Each claim's quantity (rows) under every change to what the paper leaves open (columns), as numbers.

    Args:
        table: multiverse.csv, one run a variant; several rows of one variant become their mean.
        rules: claim -> (above, below), the numbers between which it holds; those are coloured.
    """
    trained = table[(table["model"] == "trained") & table["claim"].isin(rules)]
    places = (("raw", "end"), ("all", "end"), ("raw", "peak"), ("centred", "end"))
    notes = {("raw", "peak"): ", highest epoch", ("centred", "end"): ", input-centred"}
    keys = [(key, *place) for key in rules for place in places]
    values = trained.pivot_table(index=["claim", "space", "at"], columns="variant", values="value")
    values = values.reindex(index=[key for key in keys if key in values.index])
    values = values[list(dict.fromkeys(trained["variant"]))]
    holds = [[rules[key[0]][0] < v < rules[key[0]][1] for v in row] for key, row in values.iterrows()]
    shown = np.where(values.isna(), np.nan, np.array(holds, dtype=float))
    figure, ((ax,),) = grid_of(1, 1, height=1.9 + 0.16 * len(values))
    ax.pcolormesh(shown, cmap=mpl.colors.ListedColormap(["#f6d5bf", "#b8d8ec"]), vmin=0, vmax=1, ec="white", lw=1)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            ax.text(j + 0.5, i + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=5.8)
    names = [CLAIM_TITLES[key] + notes.get(place, "") for key, *rest in values.index for place in [tuple(rest)]]
    ax.set_yticks(np.arange(len(values)) + 0.5, names, fontsize=6)
    columns = [textwrap.fill(variant_title(v), 22) for v in values]
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=6, rotation=90)
    ax.set(ylim=(len(values), 0))
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    looks = ({"color": "#b8d8ec"}, {"color": "#f6d5bf"}, {"fc": "white", "ec": "0.7"})
    words = ("on the statement's side of its number", "on the other side", "this run cannot tell")
    figure.legend([mpl.patches.Patch(**look) for look in looks], words, loc="outside lower center", ncol=3)
    title = "Each quantity under one change at a time to what the paper leaves open"
    return titled(figure, title, f"{runs_in(table)}; last column: mean of the runs with other seeds")


FLIPPED = (
    "task_subset", "task_validation", "distribution_mapping", "distribution_mapping_validation", "hard_separate",
    "hard_nearer", "accuracy_subset", "accuracy_validation", "knn_high", "same_task_share",
)  # fmt: skip
NO_CHOICE = "shuffled_outputs"  # a control, with nothing to learn; not a choice that the paper leaves open


def flips(table: pd.DataFrame, seeds: pd.DataFrame, rules: dict[str, tuple[float, float]]) -> Figure:
    """Which change raises, and which lowers, each quantity most, beside what another seed does to it.

    Args:
        table: multiverse.csv.
        seeds: parts.csv, the default with other seeds; may have no rows.
        rules: claim -> (above, below); the number from which it holds is marked.
    """
    mine, others = (
        t[(t["model"] == "trained") & (t["at"] == "end") & t["space"].isin(("raw", "all"))] for t in (table, seeds)
    )
    mine = mine[~mine["variant"].str.contains(NO_CHOICE)]
    keys = [key for key in FLIPPED if key in set(mine["claim"])]
    figure, ((ax,),) = grid_of(1, 1, height=0.4 + 0.4 * len(keys))
    for y, key in enumerate(keys):
        values = mine[mine["claim"] == key].set_index("variant")["value"].dropna()
        chance = others.loc[others["claim"] == key, "value"]
        if len(chance):
            ax.plot([chance.min(), chance.max()], [y, y], color="0.8", lw=9, solid_capstyle="butt", zorder=1)
        for variant, marker, colour, side in (
            (values.idxmax(), ">", OKABE_ITO[0], 1),
            (values.idxmin(), "<", OKABE_ITO[1], -1),
        ):
            _flip(ax, values, variant, y, marker, colour, side)
        ax.plot(values["default"], y, "o", color="black", ms=4, zorder=4)
        above, _ = rules[key]
        ax.plot([above, above], [y - 0.4, y + 0.4], color="black", lw=0.9, ls=":", zorder=2)
    ax.set_yticks(range(len(keys)), [CLAIM_TITLES[key] for key in keys])
    ax.set(ylim=(len(keys) - 0.4, -0.6), xlim=(-0.42, 1.42))
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.set_xlabel("F1, share or accuracy", fontsize=7.5)
    ax.grid(axis="y", visible=False)
    _flip_legend(figure, bool(len(others)))
    title = "Which change to an open choice raises, and which lowers, each quantity most"
    return titled(figure, title, f"{runs_in(table)}; raw states, last epoch")


def _flip(ax, values: pd.Series, variant: str, y: int, marker: str, colour: str, side: int) -> None:
    """An arrow from the default to a variant, with the variant's words beside it; none if no variant is beyond it."""
    if variant == "default":
        return
    ax.plot([values["default"], values[variant]], [y, y], color=colour, lw=1.4, zorder=3)
    ax.plot(values[variant], y, marker, color=colour, ms=5, zorder=3)
    words = textwrap.fill(variant_title(variant), 26)
    ax.annotate(
        words, (values[variant], y), (6 * side, 0), textcoords="offset points", ha="left" if side > 0 else "right",
        va="center", fontsize=6.5, color=colour, zorder=5, bbox={"fc": "white", "ec": "none", "pad": 0.5, "alpha": 0.8},
    )  # fmt: skip


def _flip_legend(figure: Figure, chance: bool) -> None:
    handles = [
        mpl.lines.Line2D([], [], marker="o", ls="", color="black", ms=4, label="nothing changed"),
        mpl.lines.Line2D([], [], marker=">", color=OKABE_ITO[0], label="raised most by"),
        mpl.lines.Line2D([], [], marker="<", color=OKABE_ITO[1], label="lowered most by"),
        mpl.lines.Line2D([], [], color="black", ls=":", lw=0.9, label="the statement holds above"),
    ]
    if chance:
        handles.append(mpl.lines.Line2D([], [], color="0.8", lw=7, label="range over other seeds"))
    figure.legend(handles=handles, loc="outside lower center", ncol=3)


def summary(courses: pd.DataFrame, level: float, verdicts: pd.DataFrame, title: str, runs: str) -> Figure:
    """The result at a glance: clusters and accuracy over training, and the verdict on every statement.

    Args:
        courses: epoch, and columns raw and tsne (F1 by task of unseen instances, best layer; NaN where an epoch has
            none) and accuracy (of unseen instances).
        level: the F1 that the paper claims of the training subset; of unseen instances it gives none.
        verdicts: one row a claim (key), one column a kind of run, verdicts or NaN in the cells.
        title, runs: for the figure.
    """
    figure, (axes,) = grid_of(1, 2, height=0.75 + 0.145 * len(verdicts), widths=(1.35, 1))
    _courses(axes[0], courses.set_index("epoch"), level)
    ax = axes[1]
    _tiles(ax, verdicts, [textwrap.fill(name, 9) for name in verdicts])
    ax.set_yticks(np.arange(len(verdicts)) + 0.5, [CLAIM_TITLES[key] for key in verdicts.index], fontsize=6.5)
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", labelsize=6.5)
    white = " (white: not asked)" if verdicts.isna().any(axis=None) else ""
    ax.set_title(f"Verdicts by width{white}", pad=6, fontsize=8)
    _verdict_legend(figure)
    return titled(figure, title, runs)


def _courses(ax, table: pd.DataFrame, level: float) -> None:
    looks = {
        "accuracy": ("0.45", "-", "accuracy"),
        "tsne": (OKABE_ITO[1], "-", "task F1, t-SNE"),
        "raw": (OKABE_ITO[0], "-", "task F1, raw states"),
    }
    for name, (colour, style, label) in looks.items():
        line = table[name].dropna()
        ax.plot(line.index, line, style, color=colour, lw=2, marker="o", ms=2.5, label=label)
        if name != "accuracy":
            ax.axhline(line.iloc[0], color=colour, ls=":", lw=1.2)
    ax.axhline(level, color="black", ls="--", lw=1)
    words = f"paper: above {level:g},\ntraining subset"
    ax.annotate(words, (table.index.min(), level), (0, 2), textcoords="offset points", va="bottom", fontsize=7)
    ax.plot([], [], ":", color="0.3", label="untrained model")
    ax.legend(loc="lower right", fontsize=7.5, frameon=True, framealpha=0.85, edgecolor="none")
    ax.set(ylim=(0, 1.05), xlabel="epoch", title="Unseen instances, best layer")


METHOD_TITLES = {
    "kmeans": "KMeans",
    "kmeans_best_start": "KMeans, start\nchosen by labels",
    "ward": "Ward\nlinkage",
    "average_linkage": "average\nlinkage",
    "spectral": "spectral",
}
DEFINITION_TITLES = {
    "matched": "matched one\nto one",
    "pairwise": "pairs",
    "bcubed": "B-cubed",
    "best_cluster": "best cluster\nof a label",
    "majority": "majority label\nof a cluster",
}


def alternatives(table: pd.DataFrame, title: str) -> Figure:
    """The highest F1 by task that any run of a table reaches, by space and method, and by definition and clusters.

    Args:
        table: alternatives.csv, or alternatives_grids.csv.
        title: says which runs these are.
    """
    figure, axes = grid_of(2, 2, height=2.6)
    for column, split in enumerate(SPLIT_TITLES):
        part = table[table["split"] == split]
        ways = part[(part["clusters"] == 1) & (part["definition"] == "matched")]
        _heat(axes[0][column], ways, "space", "method", SPACE_TITLES, METHOD_TITLES)
        axes[0][column].set(title=f"{SPLIT_TITLES[split]}: space and method")
        part = part[(part["method"] == "kmeans") & part["space"].isin(("raw", "tsne"))]
        part = part.assign(way=part["space"] + part["clusters"].astype(str))
        titles = {
            f"{space}{n}": f"{SPACE_TITLES[space]},\n{n} {'cluster' if n == 1 else 'clusters'} a task"
            for space in ("raw", "tsne")
            for n in sorted(part["clusters"].unique())
        }
        _heat(axes[1][column], part, "way", "definition", titles, DEFINITION_TITLES)
        axes[1][column].set(title=f"{SPLIT_TITLES[split]}: clusters and kind of F1")
    for line in axes:
        line[1].set_yticklabels([])
    return titled(figure, title, runs_in(table))


def _heat(ax, part: pd.DataFrame, rows: str, columns: str, row_titles: dict, column_titles: dict) -> None:
    """Highest F1 of each pair, with the chance level of that same row beneath it."""
    best = part.loc[part.groupby([rows, columns])["f1"].idxmax()]
    values, chance = (
        best.pivot(index=rows, columns=columns, values=v).reindex(index=list(row_titles), columns=list(column_titles))
        for v in ("f1", "chance")
    )
    words = values.map("{:.2f}".format) + chance.map(" ({:.2f})".format)
    ax.grid(False)
    sns.heatmap(values, vmin=0, vmax=1, cmap="cividis", annot=words, fmt="", annot_kws={"size": 5.6}, cbar=False, ax=ax)
    ax.set_xticks(ax.get_xticks(), list(column_titles.values()), rotation=45, fontsize=6)
    ax.set_yticks(ax.get_yticks(), list(row_titles.values()), rotation=0, fontsize=6.5)
    ax.set(xlabel="", ylabel="")


def _shade(ax, above: float, below: float) -> None:
    """Where a claim holds."""
    for number in (above, below):
        if np.isfinite(number):
            ax.axvline(number, color="0.3", lw=0.9, ls="--")
    low, high = ax.get_xlim()
    ax.axvspan(max(low, above), min(high, below), color="#0072b2", alpha=0.07, lw=0)
    ax.set_xlim(low, high)
