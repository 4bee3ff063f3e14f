"""How figures look: words for what tables call by short names, colours, and the parts that figures share."""

import functools

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

LABEL_TITLES = {"task": "Task", "distribution": "Distribution", "distribution_mapping": "Distribution-mapping"}
SPLIT_TITLES = {"subset": "Training subset", "validation": "Validation set"}
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
    """One line a layer, the mean over seeds with a band for their 95% interval, and the best epochs marked."""
    many = part["seed"].nunique() > 1
    sns.lineplot(
        data=part, x=x, y=column, hue="layer", palette=layer_colours(part["layer"]), legend=False, ax=ax,
        marker="o", ms=3, lw=1, mec="none", errorbar=("ci", 95) if many else None, seed=0,
    )  # fmt: skip
    mark_epochs(ax, best)


def mark_epochs(ax, best: dict[int, int]) -> None:
    """A dashed line at the early-stopping epoch of each seed."""
    for epoch in set(best.values()):
        ax.axvline(epoch, color="0.35", lw=0.9, ls="--", zorder=0)


def layer_colours(layers) -> dict[int, tuple]:
    """Layer -> colour, from dark (0) to light."""
    numbers = range(max(layers, default=0) + 1)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.92, len(numbers)))
    return {n: tuple(c) for n, c in zip(numbers, colours, strict=True)}


def layer_legend(figure: Figure, layers, best: bool = True) -> None:
    """A legend of layers beside the axes; `best` adds the mark of early stopping."""
    palette, some = layer_colours(layers), max(1, len(layers) // 10)  # deep models: some of the layers
    handles = [mpl.lines.Line2D([], [], color=palette[n], marker="o", ms=4, label=n) for n in sorted(layers)[::some]]
    if best:
        handles.append(mpl.lines.Line2D([], [], color="0.35", ls="--", lw=0.9, label="best\nvalidation\nepoch"))
    figure.legend(handles=handles, title="layer", loc="outside right center")


def grid_of(rows: int, columns: int, height: float, panel: float = 3.0):
    """A Figure and its axes (rows, columns); height and panel are the inches of one of them."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(panel * columns + 0.9, height * rows))
        return figure, figure.subplots(rows, columns, squeeze=False)


def titled(figure: Figure, title: str) -> Figure:
    """The figure with a title above all of its axes."""
    figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure
