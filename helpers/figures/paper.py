"""Figures of the models trained from scratch: the paper's Figures 1 to 8, and what belongs beside them."""

import matplotlib.pyplot as plt  # also tells Jupyter how to show a Figure
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.figures.style import (
    LABEL_TITLES,
    METRIC_TITLES,
    SPACE_TITLES,
    SPLIT_TITLES,
    STYLE,
    by_layer,
    grid_of,
    layer_legend,
    mark_epochs,
    palette,
    runs_and_bands,
    titled,
)
from helpers.profiles import trained_loss
from helpers.rows import readings_in, runs_in

plt.rcParams.update(STYLE)
CLOSE = 60  # epochs from which dots would cover one another
CLAIMED = 0.9  # F1 by task of the training subset that the paper says is exceeded (section 3.2)


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
    figure, axes = grid_of(len(rows), len(LABEL_TITLES), height=1.4 if len(rows) > 2 else 2.1)
    for (row, (split, metric)), line in zip(enumerate(rows), axes, strict=True):
        for label, ax in zip(LABEL_TITLES, line, strict=True):
            part = chosen[(chosen["split"] == split) & (chosen["label"] == label)]
            by_layer(ax, part, metric, best)
            ax.set(ylim=(-0.05, 1.05), xlabel="epoch" if row == len(rows) - 1 else "", ylabel="")
            if ax is line[0]:
                ax.set_ylabel(f"{SPLIT_TITLES[split]}\n{METRIC_TITLES[metric]}")
            if row == 0:
                ax.set_title(LABEL_TITLES[label])
            if (split, label, metric) == ("subset", "task", "f1"):
                ax.axhline(CLAIMED, color="black", ls=":", lw=1)
    layer_legend(figure, chosen["layer"].unique())
    title = f"How well KMeans finds tasks, distributions and mappings in {SPACE_TITLES[space]}"
    return titled(figure, title, f"{runs_and_bands(chosen)}; dotted, where the paper has it: its F1 of {CLAIMED:g}")


def training(table: pd.DataFrame, width: int, best: dict[int, int]) -> Figure:
    """Training loss and task accuracy on both evaluation sets, every epoch a dot, every seed a colour (Figure 2).

    The loss that the reading trains on is drawn as the accuracies are, the other one dotted.
    """
    chosen = table[table["width"] == width]
    dot = 2.5 if chosen["epoch"].max() < CLOSE else 1.2
    figure, (axes,) = grid_of(1, 3, height=1.9)
    losses = {"loss": "all tokens", "output_loss": "outputs"}
    trained = trained_loss(readings_in(chosen)[0])
    (other,) = set(losses) - {trained}
    panels = (
        (trained, f"Loss on {losses[trained]} (nats a token)"),
        ("accuracy_subset", "Accuracy, training subset"),
        ("accuracy_validation", "Accuracy, unseen instances"),
    )
    for (column, title), ax in zip(panels, axes, strict=True):
        for n, (_, part) in enumerate(chosen.groupby("seed")):
            label = "trained on" if column == trained and not n else None
            ax.plot(part["epoch"], part[column], "o-", ms=dot, lw=0.8, label=label)
        if column == trained:
            beside = chosen.groupby("epoch")[other].mean()
            ax.plot(beside.index, beside, ":", color="0.4", lw=1.2, label=f"on {losses[other]} (mean)")
            ax.set_yscale("log")  # one of the two is not trained on, and may be a hundred times the other
            ax.legend()
        else:
            ax.set_ylim(-0.03, 1.03)
        mark_epochs(ax, best)
        ax.set(title=title, xlabel="epoch")
    answers = " and ".join(
        f"{chosen.groupby('epoch')[column].mean().max():.2f} on {words}"
        for column, words in (("accuracy_subset", "the training subset"), ("accuracy_validation", "unseen instances"))
    )
    seeds = "; a colour a seed" if chosen["seed"].nunique() > 1 else ""
    runs = f"{runs_in(chosen)}{seeds}; dashed: best validation epoch"
    return titled(figure, f"Task accuracy reaches {answers}", runs)


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
    figure, (axes,) = grid_of(1, 2, height=2.6)
    for ax, column, title in (
        (axes[0], "same_task", f"Share of {k} nearest with the same task"),
        (axes[1], "accuracy", f"KNN accuracy, K = {k}"),
    ):
        by_layer(ax, chosen, column, best)
        ax.set(ylim=(-0.03, 1.03), xlabel="epoch", ylabel="", title=title)
    axes[1].plot(own.index, own, "--", color="black", lw=1.2, label="the model itself")
    axes[1].legend()
    layer_legend(figure, chosen["layer"].unique())
    title = "Do the nearest training states of an unseen instance have its task, and its answer?"
    return titled(figure, title, runs_and_bands(chosen))


def neighbour_sensitivity(table: pd.DataFrame, width: int, epoch: int) -> Figure:
    """Same-task share and KNN accuracy by K, one line a layer, at one epoch."""
    chosen = table[(table["width"] == width) & (table["epoch"] == epoch)]
    figure, (axes,) = grid_of(1, 2, height=2.4)
    panels = (("same_task", "Share with the same task"), ("accuracy", "KNN accuracy"))
    for ax, (column, title) in zip(axes, panels, strict=True):
        by_layer(ax, chosen, column, {}, x="k")
        ax.set(xscale="log", ylim=(-0.03, 1.03), xlabel="K", ylabel="", title=title)
        ax.set_xticks(sorted(chosen["k"].unique()), labels=sorted(chosen["k"].unique()))
        ax.minorticks_off()
    layer_legend(figure, chosen["layer"].unique(), best=False)
    title = f"How much the number of neighbours K matters, epoch {epoch}"
    return titled(figure, title, runs_and_bands(chosen))


PART_TITLES = {
    "input": "input",
    "task": "task",
    "output": "output",
    "mapping": "this input in this task",
    "distribution": "distribution",
    "instruction": "instruction",
    "rest": "this input in this instruction",
}


def variance(table: pd.DataFrame, width: int, split: str, best: dict[int, int]) -> Figure:
    """Shares of the states' variance, stacked to one, by epoch: a panel a layer.

    What goes with several factors is split between them, so that layer 0, where states are the input's embeddings,
    has a share for output and task as well.
    """
    chosen = table[(table["width"] == width) & (table["split"] == split)]
    layers = sorted(chosen["layer"].unique())
    figure, (axes,) = grid_of(1, len(layers), height=2.4)
    for layer, ax in zip(layers, axes, strict=True):
        mine = chosen[chosen["layer"] == layer].groupby(["epoch", "part"], sort=False)["share"].mean().unstack()
        ax.stackplot(
            mine.index, mine.to_numpy().T, colors=palette(len(mine.columns)), labels=mine.columns.map(PART_TITLES)
        )
        mark_epochs(ax, best, zorder=3)
        ax.set(ylim=(0, 1), xlim=(mine.index.min(), mine.index.max()), xlabel="epoch", title=f"layer {layer}")
        if ax is not axes[0]:
            ax.set_yticklabels([])
    axes[0].set_ylabel("share of the variance")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4)
    title = f"What the states of {'unseen instances' if split == 'validation' else 'the training subset'} vary with"
    embedded = "layer 0, the input's embedding, shows what output and task get for going with the input"
    return titled(figure, title, f"{runs_in(chosen)}; {embedded}; dashed: best validation epoch")


def hard_examples(table: pd.DataFrame, width: int, best: dict[int, int]) -> Figure:
    """How far hard examples part from the instructions they were made from, by epoch and layer."""
    chosen = table[table["width"] == width]
    figure, axes = grid_of(2, 2, height=1.9)
    apart, nearer, centred, solved = axes.ravel()
    spaces = {space: chosen[chosen["space"] == space] for space in ("raw", "centred")}
    for ax, space, column, title in (
        (apart, "raw", "pairs_separated", "In another cluster than their original: share"),
        (centred, "centred", "pairs_separated", "The same of input-centred states"),
        (nearer, "raw", "nearer_own_task", "Nearer to their own task than to their original: share"),
    ):
        by_layer(ax, spaces[space], column, best)
        ax.set(title=title)
    accuracy = chosen[chosen["layer"] == 0].groupby("epoch")[["accuracy_hard", "accuracy_original"]].mean()
    solved.plot(accuracy.index, accuracy["accuracy_hard"], "o-", ms=2.5, color="#d55e00", label="hard")
    solved.plot(accuracy.index, accuracy["accuracy_original"], "o-", ms=2.5, color="#0072b2", label="original")
    mark_epochs(solved, best)
    solved.legend()
    solved.set(title="Accuracy on hard examples and originals")
    for ax in axes.ravel():
        ax.set(ylim=(-0.03, 1.03), xlabel="epoch" if ax in axes[1] else "", ylabel="")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    layer_legend(figure, chosen["layer"].unique())
    title = "How far hard examples part from the instructions that they were made from"
    return titled(figure, title, runs_and_bands(chosen))


def lengths_and_overlap(instances: pd.DataFrame, expressions: pd.DataFrame) -> Figure:
    """Instruction lengths, tasks that share an input, and symbols that expressions share.

    Args:
        instances: the data set's instances.
        expressions: its distributions that are not hard.
    """
    first = instances.drop_duplicates("instruction_id")
    figure, (axes,) = grid_of(1, 3, height=2.0)
    sns.histplot(x=first["instruction"].str.len(), ax=axes[0], binwidth=2, color="#0072b2")
    axes[0].set(title="Length of instructions", xlabel="symbols in an instruction", ylabel="instructions")
    shared = instances.groupby("input")["task"].nunique()
    axes[1].bar(shared.index, shared, color="#0072b2")
    axes[1].set(title="Tasks that share an input", xlabel="input symbol", ylabel="tasks")
    axes[1].tick_params(axis="x", labelsize=5, length=0)
    symbols = first[~first["hard"]].groupby("distribution")["instruction"].agg(lambda t: set("".join(t)))
    sets = [symbols[d] for d in expressions["distribution"]]
    jaccard = [len(a & b) / len(a | b) for i, a in enumerate(sets) for b in sets[:i]]
    sns.histplot(x=jaccard, ax=axes[2], binwidth=0.05, color="#0072b2")
    shared_by = "share of the pair's symbols (Jaccard)"
    axes[2].set(title="Symbols in common", xlabel=shared_by, ylabel="pairs of distributions")
    return titled(figure, "The data set: instructions differ, inputs say little about the task")
