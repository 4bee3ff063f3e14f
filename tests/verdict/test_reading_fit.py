"""The score of a reading: high for tables that look like the paper's figures, low for the contrary."""

import numpy as np
import pytest
from made_up_tables import made_up

from helpers.settings import ModelSettings
from helpers.tables import columns
from helpers.verdict import reading_fit

VOCABULARY = 60
TORCH = {"position_embedding": "sinusoidal", "tied_embeddings": False, "output_bias": True}


def test_tables_like_the_papers_figures_fit_and_others_do_not():
    good, bad = (reading_fit.fit(made_up(g), ModelSettings(), VOCABULARY, whole=True) for g in (True, False))
    assert good["fit"] > 0.8
    assert bad["fit"] < 0.4
    assert all(good[t.key] >= bad[t.key] for t in reading_fit.TARGETS)


def test_a_target_counts_linearly_between_bad_and_good():
    target = reading_fit.Target("key", "words", "3", 0.2, 0.05, lambda tables: 0.0)
    shares = [target.share(value) for value in (0.9, 0.2, 0.125, 0.05, 0.0)]
    assert shares == pytest.approx([0, 0, 0.5, 1, 1])
    assert target.share(float("nan")) == 0


def test_clusters_above_the_embeddings_do_not_count():
    tables = made_up(True)
    base = reading_fit.fit(tables, ModelSettings(), VOCABULARY, whole=True)
    rng = np.random.default_rng(0)
    scores = tables["clustering"]
    for column in ("f1", "ari", "ami"):
        if column in scores:
            scores.loc[scores["layer"] > 0, column] = rng.uniform(size=(scores["layer"] > 0).sum())
    assert reading_fit.fit(tables, ModelSettings(), VOCABULARY, whole=True) == base


def test_the_best_epoch_is_asked_of_whole_schedules_alone():
    tables = made_up(True)
    assert "stops" not in reading_fit.fit(tables, ModelSettings(), VOCABULARY, whole=False)
    late = reading_fit.fit(tables, ModelSettings(), VOCABULARY, whole=True)["stops"]  # epoch 51 of 100
    training = tables["training"].assign(epoch=tables["training"]["epoch"])
    training.loc[training["epoch"] == 26, "accuracy_validation"] = 1.0
    early = reading_fit.fit(tables | {"training": training}, ModelSettings(), VOCABULARY, whole=True)["stops"]
    assert early > late


def test_both_readings_of_table_6_fit_it_and_other_models_do_not():
    assert reading_fit.parameters(ModelSettings(), VOCABULARY) == 1
    assert reading_fit.parameters(ModelSettings(**TORCH), VOCABULARY) == 1
    assert reading_fit.parameters(ModelSettings(number_of_layers=5), VOCABULARY) == 0


def test_a_model_that_never_learns_has_no_jump():
    tables = made_up(True)
    tables["training"]["accuracy_validation"] *= 0.1
    found = reading_fit.fit(tables, ModelSettings(), VOCABULARY, whole=True)
    assert found["abrupt"] == found["learns"] == 0


def test_every_target_is_a_column():
    keys = {t.key for t in (*reading_fit.TARGETS, *reading_fit.AT_THE_END)} | {"parameters", "fit"}
    assert keys <= set(columns("readings"))
