import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from helpers import figures, store
from helpers.analysis import clustering
from helpers.pretrained import cli, loading, natural, table1
from helpers.pretrained.probe import Probe
from helpers.tables import LABELS, TABLES


class Fake:
    """A probe whose states are written down here."""

    def __init__(self, folder, instances, states):
        self.folder, self.instances, self._states, self.layers = folder, instances, states, len(states)

    def states(self, layer):
        return self._states[layer]

    def solved(self):
        return np.arange(len(self.instances)) % 2 == 0


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    """Layer 0 knows the input alone; layer 1 category, task and input, each weaker than the last."""
    drawn = natural.draw(natural.load(), pairs=4, instructions=6)
    rng = np.random.default_rng(0)

    def spread(column, scale):
        values = pd.factorize(drawn[column])[0]
        return scale * rng.normal(size=(values.max() + 1, 40))[values]

    noise = 0.01 * rng.normal(size=(len(drawn), 40))
    layers = [spread("input", 1) + noise, spread("category", 9) + spread("task", 3) + spread("input", 1) + noise]
    return Fake(tmp_path_factory.mktemp("probe"), drawn, [x.astype(np.float32) for x in layers])


def test_labels_are_the_papers(clustered):
    counts = {name: len(set(values)) for name, values in table1.labels_of(clustered.instances).items()}
    assert counts == {"task": 3, "distribution": 16, "distribution_mapping": 64}


def test_scores_find_the_structure_and_the_best_layer(clustered):
    scores = table1.score_layers(clustered, jobs=1)
    assert table1.best_layer(scores) == 1
    at_best = scores.query("layer == 1 and space == 'raw'").set_index("label")["f1"]
    assert at_best["task"] == pytest.approx(1)
    assert at_best["distribution"] > 0.9
    points, truth = clustered.states(1), table1.labels_of(clustered.instances)["distribution"]
    plain = KMeans(16, n_init=table1.STARTS // 16, random_state=0).fit_predict(points)
    assert at_best["distribution"] == pytest.approx(clustering.matched_f1(truth, plain))


def test_single_starts_are_measured_against_the_lowest_inertia(clustered):
    table = table1.restarts(clustered, 1, starts=4, jobs=1)
    assert len(table) == 8
    assert (table.groupby("label")["inertia"].min() == 1).all()
    assert table.loc[table["label"] == "task", "f1"].max() == pytest.approx(1)


def test_centring_takes_the_input_away(clustered):
    inputs = clustered.instances["input"]
    centred = table1.input_centred(clustered.states(0), inputs)
    assert np.abs(centred).max() < 0.1
    means = pd.DataFrame(table1.input_centred(clustered.states(1), inputs)).groupby(inputs.to_numpy()).mean()
    assert np.abs(means).max(axis=None) < 1e-4
    twins = natural.with_twins(clustered.instances)
    assert 0 < twins.mean() < 1
    scores = table1.score_layers(clustered, [0], jobs=1).set_index("space")["f1"]
    assert scores["twins_centred"] < 0.5  # layer 0 knows nothing but the input


def test_table_1_has_our_rows_and_the_papers(clustered):
    scores = table1.score_layers(clustered, jobs=1)
    rows = table1.table1({("m", "main"): scores})
    assert (rows["source"] == "paper").sum() == 15
    ours = rows[rows["source"] == "ours"]
    assert ours["label"].tolist() == list(LABELS)
    assert set(ours["layer"]) == {1}
    published = rows.query("model == 'LLaMa-7B' and label == 'task'").iloc[0]
    assert (published["f1"], published["ari"], published["ami"]) == (0.959, 0.872, 0.869)


def test_intervals_of_a_perfect_clustering_are_a_point(clustered):
    found = table1.intervals(clustered, 1, resamples=30)
    assert len(found) == 9
    assert (found["low"] <= found["high"]).all()
    task = found.query("label == 'task' and metric == 'f1'").iloc[0]
    assert (task["low"], task["high"]) == (1, 1)


@pytest.mark.parametrize("layer", [0, 1])
def test_intervals_hold_their_own_estimate(clustered, layer):
    found = table1.intervals(clustered, layer, resamples=60)
    estimates = table1.score_layers(clustered)
    for row in found.itertuples():
        at = (estimates["layer"] == layer) & (estimates["space"] == "raw") & (estimates["label"] == row.label)
        estimate = estimates.loc[at, row.metric].item()
        assert row.low - 1e-9 <= estimate <= row.high + 1e-9, (row, estimate)


def test_resamples_draw_instructions_and_keep_every_pair(clustered):
    rows = table1._redrawn(np.random.default_rng(0), clustered.instances)
    drawn = clustered.instances.iloc[rows]
    assert len(rows) == len(clustered.instances)
    assert (drawn.groupby("task").size() == 24).all()
    one = drawn[drawn["task"] == "antonyms"]
    counts = one.groupby(["instruction_id", "mapping"]).size().unstack(fill_value=0)
    assert counts.nunique(axis=1).eq(1).all(), "an instruction comes with all of its pairs, each time it is drawn"
    assert counts.shape[1] == clustered.instances.query("task == 'antonyms'")["mapping"].nunique()


def test_held_out_neighbours(clustered):
    near = table1.held_out_neighbours(clustered, k=5).set_index("layer")
    assert near.loc[1, "same_task"] > 0.95
    assert near.loc[1, "same_category"] == pytest.approx(1)
    assert near.loc[1, "accuracy"] > 0.9
    assert near.loc[0, "same_task"] < near.loc[1, "same_task"]


def test_solved_is_counted_by_task(clustered):
    share = table1.solved(clustered)
    assert len(share) == 16
    assert share["solved"].tolist() == [0.5] * 16


def test_the_command_probes_a_folder_of_models_and_of_words_that_are_not_ours(
    saved,
    tmp_path,
    monkeypatch,
    capsys,
):
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    for category, pairs in {
        "animals": '{"dog": "barks", "cat": "meows"}',
        "colours": '{"dog": "brown", "sky": "blue"}',
    }.items():
        folder = tmp_path / "words" / category
        folder.mkdir(parents=True)
        (folder / "one.json").write_text(pairs)
        (folder / "one.instructions.txt").write_text(f"Say the {category} word.\nWhich {category} word is it?\nAnswer.")
    arguments = [str(saved["llama"]), "--data", str(tmp_path / "words"), "--pairs", "2", "--per-task", "3"]
    assert cli.main([*arguments, "--dtype", "float32"]) == 0
    shown = capsys.readouterr().out
    assert "12 instances of 2 tasks; 50% have an input" in shown
    assert "Table 1, distribution-mapping" in shown
    assert "LLaMa-13B" in shown
    report = next(tmp_path.glob("data/probes/reports/*"))
    assert str(report) in shown
    made = pd.read_csv(report / "table1.csv")
    assert set(made["source"]) == {"ours", "paper"}
    for name in ("llm_layers", "table1", "llm_solved"):
        assert list(pd.read_csv(report / f"{name}.csv")) == TABLES[name].split()
    assert (report / "llm_layers.png").exists()


def test_the_command_refuses_what_cannot_be_in_one_line(tmp_path, capsys):
    assert cli.main(["./nothing-here"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert cli.main(["--data", str(tmp_path)]) == 1
    assert "holds no <category>/<task>.json" in capsys.readouterr().err


def test_memory_for_each_device_is_read_from_the_command_line(capsys):
    assert cli._memory("0=70GiB,cpu=60GiB") == {0: "70GiB", "cpu": "60GiB"}
    with pytest.raises(SystemExit):
        cli.main(["--max-memory", "lots"])
    assert "not of the form" in capsys.readouterr().err


def test_checkpoints_are_rows_of_one_table(saved, instances, tmp_path, monkeypatch):
    """Revisions of a model, here two folders in a revision's place."""
    monkeypatch.setattr(store, "DATA", tmp_path)
    real = loading.load
    folders = {"step1": saved["gpt2"], "step2": saved["llama"]}

    def load(name, revision, **options):
        model = real(str(folders[revision]), **options)
        return loading.Loaded(**{**model.__dict__, "name": name, "revision": revision})

    monkeypatch.setattr(loading, "load", load)
    results = cli.run(("some/model",), instances, ("step1", "step2"), layers=[1], dtype="float32")
    layers = results.layers()
    assert set(layers["revision"]) == {"step1", "step2"}
    cli._write(results, tmp_path / "report")
    assert (tmp_path / "report" / "llm_revisions.png").exists()
    figure = figures.llm_revisions(layers)
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["step1", "step2"]
    drawn = figure.axes[0].lines[0].get_ydata()
    assert tuple(drawn) == tuple(layers.query("label == 'task' and space == 'raw'")["f1"])
    assert isinstance(results.probes["some/model", "step1"], Probe)
