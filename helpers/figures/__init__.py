"""One function a figure: tidy table in, matplotlib Figure out.

Every figure can be redrawn from the tables alone. Layers keep one colour throughout, from dark (0, the embedding) to
light, in a map that colour-blind readers can order; with several seeds a line is their mean, and a band goes from the
lowest to the highest of them.
"""

from helpers.figures.controls import alternatives, controls, interventions
from helpers.figures.course import course, seen
from helpers.figures.explorer import explorer
from helpers.figures.paper import (
    clustering,
    hard_examples,
    lengths_and_overlap,
    neighbour_sensitivity,
    neighbours,
    training,
    variance,
)
from helpers.figures.pretrained import llm_layers, llm_map, llm_neighbours, llm_revisions
from helpers.figures.readings import flips, multiverse, readings
from helpers.figures.verdict import claims, summary, thresholds, verdicts

__all__ = [
    "alternatives",
    "claims",
    "clustering",
    "controls",
    "course",
    "explorer",
    "flips",
    "hard_examples",
    "interventions",
    "lengths_and_overlap",
    "llm_layers",
    "llm_map",
    "llm_neighbours",
    "llm_revisions",
    "multiverse",
    "neighbour_sensitivity",
    "neighbours",
    "readings",
    "seen",
    "summary",
    "thresholds",
    "training",
    "variance",
    "verdicts",
]
