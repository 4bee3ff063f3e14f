"""The relation of F1 to ARI and AMI finds out which F1 was printed, where that is known."""

import numpy as np
import pandas as pd
import pytest

from helpers.analysis.scores import DEFINITIONS, score
from helpers.pretrained import which_f1
from helpers.pretrained.paper_models import PAPER_MODELS


@pytest.fixture(scope="module")
def found():
    """Clusterings of made-up labels: points moved to other clusters at random, and clusters put together."""
    rng, rows = np.random.default_rng(0), []
    for label, k in (("task", 3), ("distribution", 16), ("distribution_mapping", 40)):
        truth = np.repeat(np.arange(k), 480 // k)
        for layer in range(6):
            for share in np.linspace(0.02, 0.8, 12):
                moved = np.where(rng.random(len(truth)) < share, rng.integers(0, k, len(truth)), truth)
                moved[np.isin(moved, rng.integers(0, k, k // 4))] = 0
                scores = score(truth, moved) | {d: m(truth, moved) for d, m in DEFINITIONS.items()}
                rows.append({"layer": layer, "label": label} | scores)
    return pd.DataFrame(rows)


@pytest.mark.parametrize("definition", ["matched", "best_cluster", "pairwise"])
def test_the_definition_that_printed_the_rows_fits_them_best(found, definition, monkeypatch):
    picked = {label: part.iloc[[5, 17, 29, 41, 53]] for label, part in found.groupby("label")}
    models = []
    for i, model in enumerate(PAPER_MODELS):
        rows = {label: tuple(part.iloc[i][[definition, "ari", "ami"]]) for label, part in picked.items()}
        models.append(type(model)(model.name, model.hub_id, "", 1, 1, **rows))
    monkeypatch.setattr(which_f1, "PAPER_MODELS", models)
    table = which_f1.expected(found)
    assert len(table) == len(DEFINITIONS) * 3 * len(PAPER_MODELS)
    assert which_f1.fit(table).index[0] == definition
    assert (table["error"] < 0.1).all()


def test_where_no_label_can_be_told_nothing_is_expected():
    assert which_f1.fit(which_f1.expected(pd.DataFrame())).empty
