"""Sections 3.2 and 3.3: clusters, t-SNE (Table 5) and neighbours."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from helpers.settings.section import SKLEARN_SEEDS, Ints, Section, as_tuple


def _different(spaces: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(spaces)) < len(spaces):
        raise ValueError(f"clustering.spaces={list(spaces)} names one twice")
    return spaces


Space = Literal["raw", "tsne", "centred"]
Spaces = Annotated[tuple[Space, ...], BeforeValidator(as_tuple), Field(min_length=1), AfterValidator(_different)]


class ClusteringSettings(Section):
    """Section 3.2: KMeans."""

    spaces: Spaces = ("raw", "tsne", "centred")
    beyond_the_paper: bool = True  # controls, interventions and other ways to cluster as well, in a sweep
    n_init: int = Field(10, ge=1)  # restarts; the best inertia is kept
    max_iterations: int = Field(300, ge=1)  # scikit-learn's default
    seed: int = Field(0, ge=0, lt=SKLEARN_SEEDS)


class TsneSettings(Section):
    """Table 5."""

    number_of_components: int = Field(3, ge=1, le=3, title="Number of Components")
    perplexity: float = Field(10, gt=0, title="Perplexity")
    number_of_iterations: int = Field(2000, ge=250, title="Number of iterations")
    metric: Literal["euclidean"] = Field("euclidean", title="Metric")
    initialization_method: Literal["pca", "random"] = Field("pca", title="Initialization method")
    # t-SNE is fitted at this many of the recorded epochs, spread evenly; none: at all of them
    epochs: int | None = Field(None, ge=1)


class NeighbourSettings(Section):
    """Section 3.3."""

    k: int = Field(10, ge=1)  # the paper gives none; notebook 04 shows 1 to 50
    sensitivity: Ints = (1, 2, 5, 10, 20, 50)

    @property
    def all_ks(self) -> tuple[int, ...]:
        """Every number of neighbours that is looked at, in order."""
        return tuple(sorted({self.k, *self.sensitivity}))
