"""One function a figure: tidy table in, matplotlib Figure out.

Every figure can be redrawn from the tables alone. Layers keep one colour throughout, from dark (0, the
embedding) to light, in a map that colour-blind readers can order; with several seeds a line is their mean
and a band their 95% interval.
"""

import functools
import re

import matplotlib as mpl
import matplotlib.pyplot as plt  # also tells Jupyter how to show a Figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

LABEL_TITLES = {"task": "Task", "distribution": "Distribution", "distribution_mapping": "Distribution-mapping"}
SPLIT_TITLES = {"subset": "Training subset", "validation": "Validation set"}
METRIC_TITLES = {"f1": "F1", "ari": "ARI", "ami": "AMI"}
SPACE_TITLES = {"raw": "raw states", "tsne": "t-SNE of the states", "centred": "input-centred states"}
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#4d4d4d")
PETROFF = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
    "#1c5b99",
    "#a86a00",
    "#6d1100",
    "#5a6968",
    "#c99be3",
    "#dfbdb1",
    "#ffb37a",
    "#7d7238",
    "#bfc2cb",
    "#2f8386",
)  # ten of Petroff (2021), then a darker or lighter one of each
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.constrained_layout.use": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "clm-clustering",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
MANY = 2_000  # points beyond which an SVG holds them as a picture: as shapes they are megabytes, and slow to show
plt.rcParams.update(STYLE)


def clustering(
    table: pd.DataFrame, width: int, space: str, best: dict[int, int], metrics: tuple[str, ...] = ("f1",)
) -> Figure:
    """Clustering scores by epoch and layer (Figures 1, 4, 5 and 7).

    Args:
        table: clustering.csv.
        width: hidden dimension to show.
        space: raw, tsne or centred.
        best: early-stopping epoch of each seed, marked by a vertical line.
        metrics: rows within each split; ("f1",) is Figure 1, all three are Figures 4, 5 and 7.
    """
    chosen = table[(table["width"] == width) & (table["space"] == space)]
    rows = [(split, metric) for split in SPLIT_TITLES for metric in metrics]
    figure, axes = _grid(len(rows), len(LABEL_TITLES), height=2.3 if len(rows) > 2 else 2.8)
    for (row, (split, metric)), line in zip(enumerate(rows), axes, strict=True):
        for label, ax in zip(LABEL_TITLES, line, strict=True):
            part = chosen[(chosen["split"] == split) & (chosen["label"] == label)]
            _by_layer(ax, part, metric, best)
            ax.set(ylim=(-0.05, 1.05), xlabel="epoch", ylabel="")
            if ax is line[0]:
                ax.set_ylabel(f"{SPLIT_TITLES[split]}\n{METRIC_TITLES[metric]}")
            if row == 0:
                ax.set_title(LABEL_TITLES[label])
    _layer_legend(figure, chosen["layer"].unique())
    return _titled(figure, f"KMeans against three identities, {SPACE_TITLES[space]}, width {width}")


def training(table: pd.DataFrame, width: int, best: dict[int, int]) -> Figure:
    """Training loss and task accuracy on both evaluation sets, every epoch a dot (Figure 2)."""
    chosen = table[table["width"] == width]
    figure, (axes,) = _grid(1, 3, height=2.8)
    panels = (
        ("loss", "Training loss"),
        ("accuracy_subset", "Training subset accuracy"),
        ("accuracy_validation", "Validation accuracy"),
    )
    for (column, title), ax in zip(panels, axes, strict=True):
        for seed, part in chosen.groupby("seed"):
            label = f"seed {seed}" if column == "loss" else None
            ax.plot(part["epoch"], part[column], "o-", ms=2.5, lw=0.8, label=label)
        if column == "loss":
            output = chosen.groupby("epoch")["output_loss"].mean()
            ax.plot(output.index, output, ":", color="0.4", lw=1.2, label="outputs alone")
            ax.legend()
        else:
            ax.set_ylim(-0.03, 1.03)
        _mark(ax, best)
        ax.set(title=title, xlabel="epoch")
    return _titled(figure, f"Learning curve, width {width}")


def neighbours(table: pd.DataFrame, history: pd.DataFrame, width: int, k: int, best: dict[int, int]) -> Figure:
    """Share of the K nearest training states with the same task, and KNN accuracy (Figures 3, 6 and 8).

    Args:
        table: neighbours.csv.
        history: training.csv, for the model's own accuracy.
        width, k: hidden dimension and number of neighbours to show.
        best: early-stopping epoch of each seed.
    """
    chosen = table[(table["width"] == width) & (table["k"] == k)]
    own = history[history["width"] == width].groupby("epoch")["accuracy_validation"].mean()
    figure, (axes,) = _grid(1, 2, height=3.2, panel=4.2)
    for ax, column, title in (
        (axes[0], "same_task", f"Share of {k} nearest with the same task"),
        (axes[1], "accuracy", f"KNN accuracy, K = {k}"),
    ):
        _by_layer(ax, chosen, column, best)
        ax.set(ylim=(-0.03, 1.03), xlabel="epoch", ylabel="", title=title)
    axes[1].plot(own.index, own, "--", color="black", lw=1.2, label="the model itself")
    axes[1].legend()
    _layer_legend(figure, chosen["layer"].unique())
    return _titled(figure, f"Nearest training states of unseen instances, width {width}")


def neighbour_sensitivity(table: pd.DataFrame, width: int, epoch: int) -> Figure:
    """Same-task share and KNN accuracy by K, one line a layer, at one epoch."""
    chosen = table[(table["width"] == width) & (table["epoch"] == epoch)]
    figure, (axes,) = _grid(1, 2, height=3.0, panel=4.2)
    panels = (("same_task", "Share with the same task"), ("accuracy", "KNN accuracy"))
    for ax, (column, title) in zip(axes, panels, strict=True):
        _by_layer(ax, chosen, column, {}, x="k")
        ax.set(xscale="log", ylim=(-0.03, 1.03), xlabel="K", ylabel="", title=title)
        ax.set_xticks(sorted(chosen["k"].unique()), labels=sorted(chosen["k"].unique()))
        ax.minorticks_off()
    _layer_legend(figure, chosen["layer"].unique())
    return _titled(figure, f"How much K matters, width {width}, epoch {epoch}")


def variance(table: pd.DataFrame, width: int, split: str, best: dict[int, int]) -> Figure:
    """Share of the states' variance that each factor explains by itself, by epoch and layer."""
    chosen = table[(table["width"] == width) & (table["split"] == split)]
    factors = list(chosen["factor"].unique())
    figure, (axes,) = _grid(1, len(factors), height=2.8)
    for factor, ax in zip(factors, axes, strict=True):
        _by_layer(ax, chosen[chosen["factor"] == factor], "explained", best)
        ax.set(ylim=(-0.03, 1.03), xlabel="epoch", ylabel="", title=factor.capitalize())
    axes[0].set_ylabel("share of variance explained")
    _layer_legend(figure, chosen["layer"].unique())
    return _titled(figure, f"What the states vary with, {SPLIT_TITLES[split].lower()}, width {width}")


def hard_examples(table: pd.DataFrame, width: int, best: dict[int, int]) -> Figure:
    """How far hard examples part from the instructions they were made from, by epoch and layer."""
    chosen = table[table["width"] == width]
    figure, (axes,) = _grid(1, 3, height=2.9, panel=3.4)
    raw, centred = (chosen[chosen["space"] == space] for space in ("raw", "centred"))
    _by_layer(axes[0], raw, "nearer_own_task", best)
    axes[0].set(title="Nearer to own task than to original\n(same input)")
    _by_layer(axes[1], centred, "pairs_separated", best)
    axes[1].set(title="In another cluster than original\n(input-centred, k = number of tasks)")
    accuracy = chosen[chosen["layer"] == 0].groupby("epoch")[["accuracy_hard", "accuracy_original"]].mean()
    axes[2].plot(accuracy.index, accuracy["accuracy_hard"], "o-", ms=2.5, color="#d55e00", label="hard")
    axes[2].plot(accuracy.index, accuracy["accuracy_original"], "o-", ms=2.5, color="#0072b2", label="original")
    _mark(axes[2], best)
    axes[2].legend()
    axes[2].set(title="Task accuracy of the model\non the training subset")
    for ax in axes:
        ax.set(ylim=(-0.03, 1.03), xlabel="epoch", ylabel="")
    _layer_legend(figure, chosen["layer"].unique())
    return _titled(figure, f"Hard examples and their originals, width {width}")


def lengths_and_overlap(instances: pd.DataFrame, expressions: pd.DataFrame) -> Figure:
    """Instruction lengths, tasks that share an input, and symbols that expressions share.

    Args:
        instances: the data set's instances.
        expressions: its distributions that are not hard.
    """
    first = instances.drop_duplicates("instruction_id")
    figure, (axes,) = _grid(1, 3, height=2.8, panel=3.4)
    sns.histplot(x=first["instruction"].str.len(), ax=axes[0], binwidth=2, color="#0072b2")
    axes[0].set(title="Length of instructions", xlabel="symbols", ylabel="instructions")
    shared = instances.groupby("input")["task"].nunique()
    axes[1].bar(shared.index, shared, color="#0072b2")
    axes[1].set(title="Tasks that share an input", xlabel="input symbol", ylabel="tasks")
    symbols = first[~first["hard"]].groupby("distribution")["instruction"].agg(lambda t: set("".join(t)))
    sets = [symbols[d] for d in expressions["distribution"]]
    jaccard = [len(a & b) / len(a | b) for i, a in enumerate(sets) for b in sets[:i]]
    sns.histplot(x=jaccard, ax=axes[2], binwidth=0.05, color="#0072b2")
    axes[2].set(title="Symbols shared by two distributions", xlabel="Jaccard overlap", ylabel="pairs")
    return figure


def llm_layers(table: pd.DataFrame) -> Figure:
    """Every score of pretrained models by layer, one column an identity, one colour a model and revision.

    Args:
        table: llm_layers.csv.
    """
    metrics = tuple(METRIC_TITLES)
    figure, axes = _grid(len(metrics), len(LABEL_TITLES), height=2.4)
    raw = table[table["space"] == "raw"].assign(name=lambda t: t["model"] + " " + t["revision"])
    for metric, line in zip(metrics, axes, strict=True):
        for label, ax in zip(LABEL_TITLES, line, strict=True):
            sns.lineplot(
                data=raw[raw["label"] == label], x="layer", y=metric, hue="name", palette="colorblind",
                marker="o", ms=4, mec="none", ax=ax, legend=ax is axes[-1][-1], errorbar=None,
            )  # fmt: skip
            ax.set(ylim=(-0.03, 1.03), ylabel=METRIC_TITLES[metric] if label == "task" else "")
            ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
            if metric == metrics[0]:
                ax.set_title({"task": "Task (category)"}.get(label, LABEL_TITLES[label]))
    axes[-1][-1].get_legend().set_title(None)
    return _titled(figure, "KMeans on pretrained models' states, by layer")


def llm_revisions(table: pd.DataFrame) -> Figure:
    """Clustering of one model over its revisions (checkpoints of pretraining), one line a layer.

    Args:
        table: the rows of llm_layers.csv of one model, its revisions in the order to draw them.
    """
    metrics = tuple(METRIC_TITLES)
    figure, axes = _grid(len(metrics), len(LABEL_TITLES), height=2.4)
    raw = table[table["space"] == "raw"]
    names = list(dict.fromkeys(raw["revision"]))
    raw = raw.assign(place=raw["revision"].map(names.index))
    for metric, line in zip(metrics, axes, strict=True):
        for label, ax in zip(LABEL_TITLES, line, strict=True):
            sns.lineplot(
                data=raw[raw["label"] == label], x="place", y=metric, hue="layer", palette=_palette(raw["layer"]),
                marker="o", ms=3, lw=1, mec="none", ax=ax, legend=False, errorbar=None,
            )  # fmt: skip
            ax.set(ylim=(-0.03, 1.03), xlabel="", ylabel=METRIC_TITLES[metric] if label == "task" else "")
            ax.set_xticks(range(len(names)), names if metric == metrics[-1] else [""] * len(names), rotation=45)
            if metric == metrics[0]:
                ax.set_title({"task": "Task (category)"}.get(label, LABEL_TITLES[label]))
    _layer_legend(figure, raw["layer"].unique(), best=False)
    return _titled(figure, f"KMeans on the states of {table['model'].iloc[0]}, by revision")


def llm_map(points: np.ndarray, instances: pd.DataFrame, solved: np.ndarray, title: str) -> Figure:
    """A map of one layer's states, coloured by category, by task, and by whether the model solves the instance.

    Args:
        points: (K, 2).
        instances: K rows with category and task.
        solved: (K,) bool.
    """
    figure, (axes,) = _grid(1, 3, height=4.2, panel=4.6)
    frame = instances.assign(x=points[:, 0], y=points[:, 1], solved=np.where(solved, "solved", "not solved"))
    for ax, hue, palette in (
        (axes[0], "category", "colorblind"),
        (axes[1], "task", "husl"),
        (axes[2], "solved", {"solved": "#0072b2", "not solved": "#d55e00"}),
    ):
        sns.scatterplot(
            data=frame, x="x", y="y", hue=hue, palette=palette, s=9, linewidth=0, ax=ax, rasterized=len(frame) > MANY
        )
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="", title=f"by {hue}")
        ax.spines[:].set_visible(False)
        ax.legend(fontsize=6, markerscale=2, loc="upper left", bbox_to_anchor=(0, -0.02), ncol=2)
    return _titled(figure, title)


def llm_neighbours(table: pd.DataFrame) -> Figure:
    """Neighbours of held-out instructions by layer: same task, same category, voting accuracy."""
    figure, (axes,) = _grid(1, 3, height=2.8, panel=3.4)
    named = table.assign(name=table["model"] + " " + table["revision"])
    panels = {
        "same_task": "Share with the same task",
        "same_category": "Share with the same category",
        "accuracy": "KNN accuracy",
    }
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        sns.lineplot(
            data=named, x="layer", y=column, hue="name", palette="colorblind", marker="o", ms=4, mec="none", ax=ax,
            legend=ax is axes[-1], errorbar=None,
        )  # fmt: skip
        ax.set(ylim=(-0.03, 1.03), ylabel="", title=title)
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axes[-1].get_legend().set_title(None)
    return _titled(figure, f"Nearest states of held-out instructions, K = {table['k'].iloc[0]}")


VERDICT_COLOURS = {
    "holds": "#0072b2",
    "holds under a stated condition": "#56b4e9",
    "does not hold": "#d55e00",
    "not tested": "0.6",
}


def claims(table: pd.DataFrame, rules: dict[str, tuple[float, float]], title: str) -> Figure:
    """Each claim's quantity with its 95% interval over seeds, one panel a claim, one row in it a width.

    Args:
        table: claims.csv; rows whose `claim` ends in `, width N`.
        rules: claim -> (above, below), the numbers between which it holds; that is shaded.
    """
    split = table["claim"].str.extract(r"^(?P<key>.*), width (?P<width>\d+)$")
    rows = table.join(split).dropna(subset=["key", "ours"]).astype({"width": int})
    widths = sorted(rows["width"].unique())
    keys = [key for key in rules if key in set(rows["key"])]
    columns = 4
    figure, axes = _grid(max(1, -(-len(keys) // columns)), columns, height=0.75 + 0.28 * max(1, len(widths)), panel=2.7)
    for key, ax in zip(keys, axes.ravel(), strict=False):
        for row in rows[rows["key"] == key].itertuples():
            y, colour = widths.index(row.width), VERDICT_COLOURS[row.verdict]
            if np.isfinite(row.low):
                ax.plot([row.low, row.high], [y, y], color=colour, lw=2, solid_capstyle="round")
            ax.plot(row.ours, y, "o", ms=5, color=colour)
        _shade(ax, *rules[key])
        ax.set(ylim=(len(widths) - 0.5, -0.5), title=key.replace("_", " "))
        ax.set_yticks(range(len(widths)), widths)
        ax.grid(axis="y", visible=False)
    for ax in axes.ravel()[len(keys) :]:
        ax.set_visible(False)
    handles = [mpl.lines.Line2D([], [], color=c, marker="o", lw=2, label=v) for v, c in VERDICT_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncol=4)
    return _titled(figure, title)


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
    figure, (axes,) = _grid(1, 2, height=3.6, panel=4.2)
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
    figure.legend(loc="outside right center")
    return _titled(figure, f"Clusters by task beside their controls, width {width}")


def causal(table: pd.DataFrame, width: int) -> Figure:
    """Answers that follow a moved state, and answers that stay, by layer and direction.

    Args:
        table: causal.csv.
        width: hidden dimension to show.
    """
    titles = {
        "task_and_input": "to the other task's mean for this input",
        "task": "along the difference of task means (inputs removed)",
        "random": "as far in a random direction",
    }
    figure, (axes,) = _grid(1, 2, height=3.2, panel=3.8)
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
    return _titled(figure, f"Is the cluster used? Validation instances the model solves, width {width}")


def multiverse(table: pd.DataFrame, rules: dict[str, tuple[float, float]]) -> Figure:
    """Each claim's quantity under every variant of what the paper leaves open.

    Args:
        table: multiverse.csv; a dot is one run.
        rules: claim -> (above, below), the numbers between which it holds; that is shaded.
    """
    variants = list(dict.fromkeys(table["variant"]))
    plain = [re.sub(r"\b(training|model|data)\.|[\[\]']", "", v) for v in variants]
    names = [v.replace(", ", ",").replace(" ", "\n") for v in plain]
    keys = [key for key in rules if key in set(table["claim"])]
    looks = {
        "raw": ({"color": "#0072b2"}, "raw states"),
        "raw@peak": ({"mfc": "none", "mec": "#0072b2"}, "raw states, epoch where highest"),
        "raw@distance": ({"mfc": "none", "mec": "#009e73"}, "raw states, by distance"),
        "centred": ({"color": "#e69f00"}, "input-centred states"), "all": ({"color": "0.3"}, "no view of the states"),
    }  # fmt: skip
    columns = 6
    figure, axes = _grid(-(-len(keys) // columns), columns, height=0.9 + 0.26 * len(variants), panel=1.7)
    for i, (key, ax) in enumerate(zip(keys, axes.ravel(), strict=False)):
        part = table[table["claim"] == key]
        for space, (look, _) in looks.items():
            dots = part[part["space"] == space]
            ax.plot(dots["value"], dots["variant"].map(variants.index), "o", ms=4, alpha=0.7, **look)
        _shade(ax, *rules[key])
        ax.set(ylim=(len(variants) - 0.5, -0.5), title=key.replace("_", " ").replace(" validation", "\nvalidation"))
        ax.set_yticks(range(len(variants)), names if i % columns == 0 else [""] * len(variants))
    for ax in axes.ravel()[len(keys) :]:
        ax.set_visible(False)
    shown = [look for space, look in looks.items() if space in set(table["space"])]
    handles = [mpl.lines.Line2D([], [], marker="o", ls="", label=label, **look) for look, label in shown]
    figure.legend(handles=handles, loc="outside lower center", ncol=4)
    return _titled(figure, "What the paper leaves open, one change at a time (shaded: where the claim holds)")


VIEW_TITLES = {
    "raw": "raw states",
    "tsne": "t-SNE (Table 5)",
    "layer_normed": "layer-normed",
    "unit_length": "unit length",
    "standardised": "standardised",
    "whitened": "whitened, 50 components",
    "without_first_2": "without first 2 components",
    "without_first_10": "without first 10 components",
    "centred": "input-centred (not raw)",
}
METHOD_TITLES = {
    "kmeans": "KMeans",
    "kmeans_best_start": "KMeans, start\nchosen by labels",
    "ward": "Ward\nlinkage",
    "average_linkage": "average\nlinkage",
    "spectral": "spectral",
}
DEFINITION_TITLES = {
    "matched": "matched one\nto one (paper)",
    "pairwise": "pairs",
    "bcubed": "B-cubed",
    "best_cluster": "best cluster\nof a label",
    "majority": "majority label\nof a cluster",
}


def search(table: pd.DataFrame, title: str) -> Figure:
    """The highest F1 by task that any run of a table reaches, by view and method, and by definition and clusters.

    Args:
        table: search.csv, or search_grids.csv.
        title: says which runs these are.
    """
    figure, axes = _grid(2, 2, height=3.6, panel=5.4)
    for row, split in zip(axes, SPLIT_TITLES, strict=True):
        part = table[table["split"] == split]
        ways = part[(part["clusters"] == 1) & (part["definition"] == "matched")]
        _heat(row[0], ways, "view", "method", VIEW_TITLES, METHOD_TITLES)
        row[0].set(title=f"{SPLIT_TITLES[split]}: view and method")
        part = part[(part["method"] == "kmeans") & part["view"].isin(("raw", "tsne"))]
        part = part.assign(way=part["view"] + part["clusters"].astype(str))
        titles = {
            f"{view}{n}": f"{VIEW_TITLES[view]}, {n} {'cluster' if n == 1 else 'clusters'} a task"
            for view in ("raw", "tsne")
            for n in sorted(part["clusters"].unique())
        }
        _heat(row[1], part, "way", "definition", titles, DEFINITION_TITLES)
        row[1].set(title=f"{SPLIT_TITLES[split]}: clusters and definition of F1, KMeans")
    return _titled(figure, title)


def _heat(ax, part: pd.DataFrame, rows: str, columns: str, row_titles: dict, column_titles: dict) -> None:
    """Highest F1 of each pair, with the chance level of that same row beneath it."""
    best = part.loc[part.groupby([rows, columns])["f1"].idxmax()]
    values, chance = (
        best.pivot(index=rows, columns=columns, values=v).reindex(index=list(row_titles), columns=list(column_titles))
        for v in ("f1", "chance")
    )
    words = values.map("{:.2f}".format) + chance.map(" ({:.2f})".format)
    ax.grid(False)
    sns.heatmap(values, vmin=0, vmax=1, cmap="cividis", annot=words, fmt="", annot_kws={"size": 7}, cbar=False, ax=ax)
    ax.set_xticks(ax.get_xticks(), list(column_titles.values()), rotation=0, fontsize=7)
    ax.set_yticks(ax.get_yticks(), list(row_titles.values()), rotation=0, fontsize=7)
    ax.set(xlabel="", ylabel="")


@functools.cache
def palette(count: int) -> tuple[str, ...]:
    """Colours for so many categories, chosen for colour-blind readers as far as there are such.

    Up to 8, Okabe and Ito's; up to 20, Petroff's ten in two lightnesses; more have no such set: a map from dark to
    light keeps neighbouring numbers apart from far ones, and the legend's clicks tell the rest.
    """
    if count <= 8:
        return tuple(OKABE_ITO[:count])
    if count <= 20:
        return tuple(PETROFF[:count])
    return tuple(mpl.colors.to_hex(mpl.colormaps["cividis"](i / (count - 1))) for i in range(count))


def explorer(shown: list[dict], title: str) -> Figure:
    """The explorer's plots as they are.

    Args:
        shown: one a plot: title, points (N, 2) in the square from -1 to 1, codes (N,), names and colours of the codes,
            selected (row numbers; the others are dimmed where there are some).
    """
    figure, grid = _grid(-(-len(shown) // 2), min(2, len(shown)), height=3.9, panel=4.0)
    axes = [ax for line in grid for ax in line]
    for ax, one in zip(axes, shown, strict=False):
        colours = np.array(one["colours"])[one["codes"]]
        alpha = np.full(len(colours), 0.85)
        if len(one["selected"]):
            alpha[:] = 0.12
            alpha[one["selected"]] = 0.95
        order = np.random.default_rng(0).permutation(len(colours))  # or the last label would cover the others
        ax.scatter(
            *one["points"][order].T, c=colours[order], alpha=alpha[order], s=14 if len(order) < 1000 else 4, lw=0,
            rasterized=len(order) > MANY,
        )  # fmt: skip
        ax.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect="equal")
        ax.set_title(one["title"], fontsize=8)
        ax.spines[:].set(visible=True, color="0.8")
        ax.grid(False)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    names, colours = shown[0]["names"], shown[0]["colours"]
    if 1 < len(names) <= 24 and all(one["names"] == names for one in shown):
        dots = [plt.Line2D([], [], marker="o", ls="", ms=4, color=c) for c in colours]
        columns = max(2, min(10, 70 // max(6, *map(len, names))))
        figure.legend(dots, names, fontsize=7, ncols=columns, loc="outside lower center")
    return _titled(figure, title)


def _by_layer(ax, part: pd.DataFrame, column: str, best: dict[int, int], x: str = "epoch") -> None:
    many = part["seed"].nunique() > 1
    sns.lineplot(
        data=part, x=x, y=column, hue="layer", palette=_palette(part["layer"]), legend=False, ax=ax,
        marker="o", ms=3, lw=1, mec="none", errorbar=("ci", 95) if many else None, seed=0,
    )  # fmt: skip
    _mark(ax, best)


def _shade(ax, above: float, below: float) -> None:
    """Where a claim holds."""
    for number in (above, below):
        if np.isfinite(number):
            ax.axvline(number, color="0.3", lw=0.9, ls="--")
    low, high = ax.get_xlim()
    ax.axvspan(max(low, above), min(high, below), color="#0072b2", alpha=0.07, lw=0)
    ax.set_xlim(low, high)


def _mark(ax, best: dict[int, int]) -> None:
    for epoch in set(best.values()):
        ax.axvline(epoch, color="0.35", lw=0.9, ls="--", zorder=0)


def _palette(layers) -> dict[int, tuple]:
    numbers = range(max(layers, default=0) + 1)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.92, len(numbers)))
    return {n: tuple(c) for n, c in zip(numbers, colours, strict=True)}


def _layer_legend(figure: Figure, layers, best: bool = True) -> None:
    palette, some = _palette(layers), max(1, len(layers) // 10)  # deep models: some of the layers
    handles = [mpl.lines.Line2D([], [], color=palette[n], marker="o", ms=4, label=n) for n in sorted(layers)[::some]]
    if best:
        handles.append(mpl.lines.Line2D([], [], color="0.35", ls="--", lw=0.9, label="best\nvalidation\nepoch"))
    figure.legend(handles=handles, title="layer", loc="outside right center")


def _grid(rows: int, columns: int, height: float, panel: float = 3.0):
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(panel * columns + 0.9, height * rows))
        return figure, figure.subplots(rows, columns, squeeze=False)


def _titled(figure: Figure, title: str) -> Figure:
    figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure
