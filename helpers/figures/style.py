"""The style of figures: words for the short names in tables, colours, and the parts that figures share."""

import functools
import re
import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.rows import assignments, parts_of, runs_in

LABEL_TITLES = {"task": "Task", "distribution": "Distribution", "distribution_mapping": "Distribution-mapping"}
SPLIT_TITLES = {"subset": "Training subset", "validation": "Unseen instances"}
METRIC_TITLES = {"f1": "F1", "ari": "ARI", "ami": "AMI"}
SPACE_TITLES = {
    "raw": "raw states",
    "tsne": "t-SNE of the states",
    "centred": "input-centred states",
    "layer_normed": "layer-normed states",
    "unit_length": "states of unit length",
    "standardised": "standardised states",
    "whitened": "whitened, 50 components",
    "without_first_2": "without first 2 components",
    "without_first_10": "without first 10 components",
}
# What each claim is about, in few words; their statements are in verdict.claims.
CLAIM_TITLES = {
    "task_subset": "Task clusters, training subset (F1)",
    "task_validation": "Task clusters, unseen instances (F1)",
    "task_rises": "Gain in task clusters, training subset",
    "task_rises_validation": "Gain in task clusters, unseen instances",
    "deeper_is_better": "Task clusters grow with depth, training subset",
    "deeper_is_better_validation": "Task clusters grow with depth, unseen instances",
    "layer0_flat": "Layer 0 changes little",
    "persists": "Task clusters last after early stopping",
    "stops_at_51": "Early-stopping epoch",
    "stop_near_saturation": "Early stopping near clusters' saturation",
    "hard_separate": "Hard examples in another cluster than originals",
    "distribution": "Distribution clusters, training subset (F1)",
    "distribution_mapping": "Distribution-mapping clusters, training subset (F1)",
    "distribution_validation": "Distribution clusters, unseen instances (F1)",
    "distribution_mapping_validation": "Distribution-mapping clusters, unseen instances (F1)",
    "accuracy_late": "Accuracy near zero while the loss falls",
    "accuracy_abrupt": "Accuracy rises abruptly",
    "accuracy_subset": "Final accuracy, training subset",
    "accuracy_validation": "Final accuracy, unseen instances",
    "saturate_together": "Accuracy saturates with clusters",
    "same_task_share": "Gain in same-task neighbours",
    "knn_rises": "Gain in KNN accuracy",
    "knn_high": "Final KNN accuracy",
    "knn_deeper": "KNN accuracy grows with depth",
    "hard_nearer": "Hard examples nearer to their own task",
    "interventions": "Moved states answer as the other task",
    "same_task_high": "Final share of same-task neighbours",
    "within_input": "Task clusters among one input's instances (F1)",
    "probe": "Linear probe for the task",
    "peak": "Task clusters fade after their best epoch",
}
OTHERS = "another seed"  # the variant that stands for runs with nothing changed and other seeds
VARIANT_TITLES = {
    "default": "nothing changed",
    OTHERS: "other seeds",
    "training.loss_on=outputs": "loss on outputs",
    "training.weight_decay=0": "no weight decay",
    "model.tied_embeddings=False": "untied embeddings",
    "model.normalisation=post": "post-normalisation",
    "model.dropout=0": "no dropout",
    "data.train_on_hard_examples=False": "no hard examples",
    "data.shuffled_outputs=True": "outputs shuffled",
    "data.hard_replacement=task": "one word for a hard task",
    "model.output_bias=True": "output bias",
}
SETTING_TITLES = {
    "training.batch_size": "{} instances a step",
    "training.batches": "batches by {}",
    "training.weight_decay": "weight decay {}",
    "training.number_of_epochs": "schedule of {} epochs",
    "model.embedding_scale": "embeddings of scale {}",
    "model.position_embedding": "{} positions",
    "model.linear_init": "linear layers as in {}",
    "data.metacharacters": "metacharacters {}",
    "data.distributions": "{} distributions",
    "data.distributions_in_hard_examples": "{} of hard examples",
    "data.hard_replacement": "one symbol for each hard {}",
}
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
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "figure.constrained_layout.use": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "clm-clustering",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
}
PAGE = (7.0, 9.0)  # inches that a figure may take, so that A4 shows it at the size it was drawn
MANY = 2_000  # points beyond which an SVG holds them as a picture: as shapes they are megabytes, and slow to show


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


def by_layer(ax, part: pd.DataFrame, column: str, best: dict[int, int], x: str = "epoch") -> None:
    """One line a layer, the mean over seeds with a band from the lowest to the highest, and the best epochs marked."""
    palette, look = layer_colours(part["layer"]), {"marker": "o", "ms": 3, "lw": 1, "mec": "none"}
    if part["seed"].nunique() > 1:
        sns.lineplot(
            data=part, x=x, y=column, hue="layer", palette=palette, legend=False, ax=ax, errorbar=("pi", 100),
            **look,
        )  # fmt: skip
    else:  # many times as fast, and there is nothing to average
        for layer, line in part.sort_values(x).groupby("layer"):
            ax.plot(line[x], line[column], color=palette[layer], **look)
    mark_epochs(ax, best)


def mark_epochs(ax, best: dict[int, int], zorder: float = 0) -> None:
    """A dashed line at the early-stopping epoch of each seed, behind what is drawn if not told otherwise."""
    for epoch in set(best.values()):
        ax.axvline(epoch, color="0.35", lw=0.9, ls="--", zorder=zorder)


def layer_colours(layers) -> dict[int, tuple]:
    """Layer -> colour, from dark (0) to light."""
    numbers = range(max(layers, default=0) + 1)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.92, len(numbers)))
    return {n: tuple(c) for n, c in zip(numbers, colours, strict=True)}


def layer_legend(figure: Figure, layers, best: bool = True) -> None:
    """A legend of layers below the axes; `best` adds the mark of early stopping."""
    palette, some = layer_colours(layers), max(1, len(layers) // 10)  # deep models: some of the layers
    shown = sorted(layers)[::some]
    handles = [mpl.lines.Line2D([], [], color=palette[n], marker="o", ms=4, label=n) for n in shown]
    handles[0].set_label(f"layer {shown[0]}")
    if best:
        label = "best validation epoch"
        handles.append(mpl.lines.Line2D([], [], color="0.35", ls="--", lw=0.9, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncol=len(handles), columnspacing=1.2)


def grid_of(rows: int, columns: int, height: float, widths: tuple[float, ...] | None = None):
    """A Figure as wide as a page and its axes (rows, columns).

    Args:
        rows, columns: of axes.
        height: inches of a row; half an inch for title and legend is added.
        widths: of the columns, relative to each other; equal by default.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(PAGE[0], min(height * rows + 0.5, PAGE[1])))
        return figure, figure.subplots(rows, columns, squeeze=False, width_ratios=widths)


def titled(figure: Figure, title: str, runs: str = "") -> Figure:
    """The figure with a title above all of its axes, and beneath it which runs it shows.

    Args:
        title: its lines are kept, and long ones broken.
        runs: as `rows.runs_in` says it; nothing for figures of pretrained models, which their legend names.
    """
    lines = [part for line in title.split("\n") for part in _even_lines(line, 78)]
    lines += _even_lines(runs[:1].upper() + runs[1:], 84)
    figure.suptitle("\n".join(lines), fontsize=10)
    return figure


def runs_and_bands(rows: pd.DataFrame) -> str:
    """Which runs are drawn, and what a band is where there are several seeds."""
    return runs_in(rows) + ("; bands: lowest to highest" if rows["seed"].nunique() > 1 else "")


def _even_lines(text: str, longest: int) -> list[str]:
    """As few lines as that length allows, about equally long, so that no word stands alone on the last."""
    lines = textwrap.wrap(text, longest)
    width = max(1, len(text) // max(1, len(lines)))
    while len(textwrap.wrap(text, width)) > len(lines):
        width += 1
    return textwrap.wrap(text, width)


def variant_title(variant: str) -> str:
    """Changed settings in words, as in "loss on outputs, post-normalisation"; those without words by name and value.

    Args:
        variant: as multiverse.csv has it: assignments separated by blanks, or default.
    """
    return ", ".join(VARIANT_TITLES.get(part) or _setting_title(part) for part in assignments(variant))


def reading_title(reading: str) -> str:
    """A reading's name, with the open choices that were changed in words."""
    name, changes = parts_of(reading)
    return f"{name}, {variant_title(changes)}" if changes else name


def _setting_title(assignment: str) -> str:
    name, _, value = assignment.partition("=")
    words = SETTING_TITLES.get(name, name.rpartition(".")[2].replace("_", " ") + " {}")
    return words.format(re.sub(r"[\[\]']", "", value))
