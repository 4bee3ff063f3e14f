"""Words of a figure that lie on each other, which no reader can read."""

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TOUCHING = 1.5  # pixels that boxes may share: they are a little larger than the letters


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of words that overlap where the figure is drawn; slanted ones are not looked at."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in _shown(figure) if not text.get_rotation() % 90]
    return [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if _overlap(one, other)]


def _overlap(one: Bbox, other: Bbox) -> bool:
    shared = Bbox.intersection(one, other)
    return shared is not None and min(shared.width, shared.height) > TOUCHING


def _shown(figure: Figure) -> list[Text]:
    found = [*figure.texts, *([figure._suptitle] if figure._suptitle else [])]
    for legend in figure.legends:
        found += legend.get_texts()
    for ax in figure.axes:
        if not ax.get_visible():
            continue
        found += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        if ax.get_legend():
            found += ax.get_legend().get_texts()
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    found += [label for label in (tick.label1, tick.label2) if label.get_visible()]
    return [text for text in dict.fromkeys(found) if text.get_visible() and text.get_text().strip()]
