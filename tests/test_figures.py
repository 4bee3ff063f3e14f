import numpy as np
import pandas as pd
import pytest

from helpers import figures
from helpers.analysis import clustering, neighbours
from helpers.gpt.runs import histories
from helpers.task import synthetic


@pytest.fixture(scope="module")
def tables(run, settings):
    return clustering.analyse(run, settings.clustering, settings.tsne, jobs=1)


def curves(ax):
    return {tuple(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) > 2}


def test_clustering_figure_draws_the_table(tables):
    scores = tables["clustering"]
    figure = figures.clustering(scores, 16, "raw", {0: 3}, metrics=("f1", "ari"))
    axes = figure.axes
    assert len(axes) == 2 * 2 * 3
    part = scores.query("split == 'subset' and label == 'task' and space == 'raw' and layer == 2")
    assert tuple(part.sort_values("epoch")["f1"]) in curves(axes[0])
    assert [ax.get_title() for ax in axes[:3]] == ["Task", "Distribution", "Distribution-mapping"]
    assert any(line.get_xdata()[0] == 3 for line in axes[0].lines), "the best epoch is marked"


def test_several_seeds_become_a_mean_with_an_interval(tables):
    scores = tables["clustering"]
    both = pd.concat([scores, scores.assign(seed=1, f1=scores["f1"] + 0.1)])
    figure = figures.clustering(both, 16, "raw", {0: 3, 1: 4})
    part = scores.query("split == 'subset' and label == 'task' and space == 'raw' and layer == 2")
    drawn = np.array([line.get_ydata() for line in figure.axes[0].lines if len(line.get_xdata()) > 2])
    assert np.isclose(drawn, part.sort_values("epoch")["f1"].to_numpy() + 0.05).all(1).any()
    assert figure.axes[0].collections, "the interval is drawn"


def test_the_other_figures_draw_their_tables(run, tables, dataset):
    history = histories([run])
    knn = neighbours.analyse(run, (1, 5, 12))
    drawn = {
        "training": figures.training(history, 16, {0: 3}),
        "neighbours": figures.neighbours(knn, history, 16, 5, {0: 3}),
        "sensitivity": figures.neighbour_sensitivity(knn, 16, 4),
        "variance": figures.variance(tables["variance"], 16, "validation", {0: 3}),
        "hard": figures.hard_examples(tables["hard"], 16, {0: 3}),
        "data": figures.lengths_and_overlap(dataset.instances, dataset.distributions.query("not hard")),
    }
    assert tuple(history["accuracy_validation"]) in curves(drawn["training"].axes[2])
    assert tuple(knn.query("layer == 1 and k == 5")["same_task"]) in curves(drawn["neighbours"].axes[0])
    assert tuple(knn.query("layer == 1 and epoch == 4")["accuracy"]) in curves(drawn["sensitivity"].axes[1])
    part = tables["variance"].query("split == 'validation' and part == 'input' and layer == 2 and epoch == 4")
    lowest = drawn["variance"].axes[2].collections[0].get_paths()[0].vertices  # the first area, of the input
    assert part["share"].item() == pytest.approx(lowest[lowest[:, 0] == 4, 1].max())
    assert (
        sum(patch.get_height() for patch in drawn["data"].axes[0].patches) == dataset.instances["instruction"].nunique()
    )
    assert (
        max(patch.get_height() for patch in drawn["data"].axes[1].patches) == synthetic.tasks_per_input(dataset).max()
    )


def test_levels_without_a_model_are_those_of_the_seeds_drawn():
    flat = [{"width": width, "seed": 0, "split": split, "control": control, "label": "task", "f1": width / 1000}
            for width in (100, 900) for split in ("subset", "validation")
            for control in ("input", "bag_of_symbols", "edit_distance")]  # fmt: skip
    states = [{"width": 900, "seed": 0, "reading": "gpt2", "epoch": 1, "split": split, "layer": layer, "label": "task",
               "space": "raw", "control": "linear_probe", "f1": 0.5, "value": 0.5}
              for split in ("subset", "validation") for layer in (0, 1)]  # fmt: skip
    states = pd.DataFrame(states)
    figure = figures.controls(states.drop(columns="f1"), states, pd.DataFrame(flat), 900)
    for ax in figure.axes:
        assert {line.get_ydata()[0] for line in ax.lines if line.get_linestyle() != "-"} == {0.9}


def test_readings_are_drawn_as_they_are_ordered():
    place = {"width": 32, "epochs": 50}
    rows = [{**place, "reading": f"gpt2 training.batch_size={n} model.dropout=0", "fit": 0.9 - n / 10, "learns": 1.0,
             "late": None if n else 0.25} for n in range(3)]  # fmt: skip
    figure = figures.readings(pd.DataFrame(rows), {"learns": "It learns", "late": "Accuracy is late"})
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        f"gpt2, {n} instances a step, no dropout\n(width 32, epoch 50)" for n in range(3)
    ]
    columns = [text.get_text() for text in ax.get_xticklabels()]
    assert columns == ["fit: mean of the others", "It learns", "Accuracy is late"]
    assert [text.get_text() for text in ax.texts][:3] == ["0.90", "1.00", "0.25"]
