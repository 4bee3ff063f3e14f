"""Every table that the analysis makes of a finished training run, in one call."""

import pandas as pd

from helpers.analysis import alternatives, clustering, controls, interventions, neighbours
from helpers.gpt.runs import Run
from helpers.settings import ClusteringSettings, NeighbourSettings, TsneSettings

# Modules whose code the tables depend on, beside those of the run itself.
OWN = ("alternatives", "clustering", "controls", "course", "interventions", "measure", "neighbours", "scores")
CODE = tuple(f"analysis.{name}" for name in (*OWN, "spaces", "tsne", "variance"))


def everything(
    run: Run, kmeans: ClusteringSettings, tsne: TsneSettings, near: NeighbourSettings, jobs: int | None = None
) -> dict[str, pd.DataFrame]:
    """All tables of one run, by the names of tables.TABLES; without clustering.beyond_the_paper, the paper's alone.

    Args:
        jobs: epochs or layers at once; all cores if None.
    """
    found = {"training": run.history.assign(**run.point)}
    found |= clustering.analyse(run, kmeans, tsne, jobs=jobs)
    found["neighbours"] = neighbours.analyse(run, near.all_ks)
    if not kmeans.beyond_the_paper:
        return found
    return found | beyond_the_paper(run, found["clustering"], kmeans, tsne, jobs)


def beyond_the_paper(
    run: Run, scores: pd.DataFrame, kmeans: ClusteringSettings, tsne: TsneSettings, jobs: int | None = None
) -> dict[str, pd.DataFrame]:
    """What the paper lacks: controls, moved states, other ways to look for clusters.

    Args:
        scores: clustering.csv, the run's rows among others or alone.
    """
    return {
        "surface": controls.surface(run.dataset, kmeans).assign(**run.point),
        "controls": controls.of_states(run, kmeans),
        "interventions": interventions.moves(run),
        "alternatives": alternatives.of_run(run, scores, kmeans, tsne, jobs),
    }
