import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from helpers import figures, store
from helpers.analysis import spaces
from helpers.analysis.scores import matched_f1
from helpers.errors import Refused
from helpers.pretrained import answers, cli, loading, natural, table1
from helpers.pretrained.probe import Probe
from helpers.tables import LABELS, columns


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
    counts = {name: len(set(values)) for name, values in table1.natural_labels(clustered.instances).items()}
    assert counts == {"task": 3, "distribution": 16, "distribution_mapping": 64}


def test_scores_find_the_structure_and_the_best_layer(clustered):
    scores = table1.score_layers(clustered, jobs=1)
    assert table1.best_layer(scores) == 1
    at_best = scores.query("layer == 1 and space == 'raw'").set_index("label")["f1"]
    assert at_best["task"] == pytest.approx(1)
    assert at_best["distribution"] > 0.9
    points, truth = clustered.states(1), table1.natural_labels(clustered.instances)["distribution"]
    plain = KMeans(16, n_init=table1.STARTS // 16, random_state=0).fit_predict(points)
    assert at_best["distribution"] == pytest.approx(matched_f1(truth, plain))


def test_single_starts_are_measured_against_the_lowest_inertia(clustered):
    table = table1.restarts(clustered, 1, starts=4, jobs=1)
    assert len(table) == 8
    assert (table.groupby("label")["inertia"].min() == 1).all()
    assert table.loc[table["label"] == "task", "f1"].max() == pytest.approx(1)


def test_centring_takes_the_input_away(clustered):
    inputs = clustered.instances["input"]
    centred = spaces.input_centred(clustered.states(0), inputs)
    assert np.abs(centred).max() < 0.1
    means = pd.DataFrame(spaces.input_centred(clustered.states(1), inputs)).groupby(inputs.to_numpy()).mean()
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
    found = table1.intervals(clustered, 1, resamples=5, jobs=1)
    assert len(found) == 9
    assert (found["low"] <= found["high"]).all()
    task = found.query("label == 'task' and metric == 'f1'").iloc[0]
    assert (task["low"], task["high"]) == pytest.approx((1, 1))


@pytest.mark.parametrize("layer", [0, 1])
def test_intervals_hold_their_own_estimate(clustered, layer):
    found = table1.intervals(clustered, layer, resamples=5, jobs=1)
    estimates = table1.score_layers(clustered)
    for row in found.itertuples():
        at = (estimates["layer"] == layer) & (estimates["space"] == "raw") & (estimates["label"] == row.label)
        estimate = estimates.loc[at, row.metric].item()
        assert row.low - 1e-9 <= estimate <= row.high + 1e-9, (row, estimate)


def test_halves_keep_half_of_the_instructions_and_every_pair(clustered):
    rows = table1.half_of(clustered.instances, np.random.default_rng(0))
    kept = clustered.instances.iloc[rows]
    assert len(rows) == len(set(rows)) == len(clustered.instances) / 2
    assert (kept.groupby("task")["instruction_id"].nunique() == 3).all()
    assert (kept.groupby("instruction_id").size() == 4).all(), "an instruction comes with all of its pairs"


def test_intervals_hold_the_start_of_kmeans(tmp_path, monkeypatch):
    """Four equal blobs in a square and two categories by chance of the start: instructions alone would say nothing."""
    monkeypatch.setattr(table1, "STARTS", 4)
    drawn = natural.draw(natural.load()[:4], pairs=2, instructions=8)
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    tasks = pd.factorize(drawn["task"])[0]
    drawn["category"] = np.array(["left", "left", "right", "right"])[tasks]
    noise = np.random.default_rng(0).normal(scale=0.01, size=(len(drawn), 2))
    square = Fake(tmp_path, drawn, [(corners[tasks] + noise).astype(np.float32)])
    found = table1.intervals(square, 0, resamples=30, jobs=1).set_index(["label", "metric"])
    task = found.loc["task", "f1"]
    assert task["high"] == pytest.approx(1)
    assert task["low"] < 0.6, "a start may as well cut the square the other way"
    assert found.loc["distribution", "f1"].tolist() == pytest.approx([1, 1])


def test_intervals_are_about_a_standard_error(tmp_path, monkeypatch):
    """Of a score that is a mean over instructions: the interval is 1.96 standard errors to each side, or near it."""
    monkeypatch.setattr(table1, "STARTS", 2)
    rng = np.random.default_rng(3)
    drawn = natural.draw(natural.load()[:2], pairs=1, instructions=40)
    drawn["category"] = drawn["task"]
    wrong = pd.Series(rng.random(80) < 0.3, index=range(80))  # instructions whose states lie with the other task's
    side = (pd.factorize(drawn["task"])[0] + drawn["instruction_id"].map(wrong)) % 2
    states = side.to_numpy()[:, None] * 10 + rng.normal(scale=0.01, size=(len(drawn), 2))
    found = table1.intervals(Fake(tmp_path, drawn, [states.astype(np.float32)]), 0, n_init=1, resamples=100, jobs=1)
    f1 = found.query("label == 'task' and metric == 'f1'").iloc[0]
    expected = 2 * 1.96 * np.sqrt(wrong.mean() * (1 - wrong.mean()) / 80)
    assert f1["high"] - f1["low"] == pytest.approx(expected, rel=0.25)


def small(tmp_path, tasks: int, categories: int, pairs: int, instructions: int):
    """A probe of few instances, all labels plain to see in its states."""
    drawn = natural.draw(natural.load()[:tasks], pairs=pairs, instructions=instructions)
    drawn["category"] = [f"c{code % categories}" for code in pd.factorize(drawn["task"])[0]]
    states = np.random.default_rng(0).normal(size=(drawn["mapping"].nunique(), 8))[drawn["mapping"]]
    states = states + 0.01 * np.random.default_rng(1).normal(size=(len(drawn), 8))
    return Fake(tmp_path, drawn, [states.astype(np.float32)] * 2)


def test_what_any_clustering_would_get_is_left_empty_and_said(tmp_path):
    one = small(tmp_path, tasks=2, categories=1, pairs=3, instructions=2)
    scores = table1.score_layers(one, jobs=1)
    raw = scores.query("space == 'raw' and layer == 0").set_index("label")
    assert raw.loc["task", ["f1", "ari", "ami"]].isna().all()
    assert raw.loc[["distribution", "distribution_mapping"], "f1"].notna().all()
    assert table1.best(scores)[1] == "distribution"
    said = " ".join(table1.remarks(one.instances))
    assert "task: cannot be told, for there is only one" in said
    assert "2 for the paper's 16 (distribution)" in said
    assert table1.table1({("m", "r"): scores}).query("source == 'ours' and label == 'task'")["f1"].isna().all()
    bounds = table1.intervals(one, 0, resamples=10, jobs=1).set_index(["label", "metric"])
    assert bounds.loc["task"].isna().all(axis=None)
    assert set(table1.restarts(one, 0, starts=2, jobs=1)["label"]) == {"distribution"}


def test_one_instance_a_label_cannot_be_told_either(tmp_path):
    one = small(tmp_path, tasks=2, categories=2, pairs=3, instructions=1)
    raw = table1.score_layers(one, jobs=1).query("space == 'raw' and layer == 0").set_index("label")
    assert np.isnan(raw.loc["distribution_mapping", "f1"])
    assert "distribution-mapping: cannot be told, for every instance has its own" in table1.remarks(one.instances)[0]
    with pytest.raises(Refused, match="two instructions of a task"):
        table1.held_out_neighbours(one)
    assert table1.intervals(one, 0, resamples=10)[["low", "high"]].isna().all(axis=None)


def test_a_single_instance_is_drawn_without_a_score(tmp_path):
    one = small(tmp_path, tasks=1, categories=1, pairs=1, instructions=1)
    scores = table1.score_layers(one, jobs=1)
    assert scores["f1"].isna().all()
    assert table1.best(scores) == (1, "no")
    sample, points = table1.map_of(one, 1)
    assert (len(sample), points.shape) == (1, (1, 2))
    assert len(table1.restarts(one, 0, starts=2, jobs=1)) == 0
    assert figures.llm_layers(scores.assign(model="m", revision="r"))


def test_prompts_that_two_tasks_share_are_counted():
    task = natural.NaturalTask("c", "one", {"a": "b", "x": "y"}, ("Say it.", "Do it."))
    other = natural.NaturalTask("c", "two", {"a": "z", "w": "v"}, ("Say it.", "Write it."))
    said = table1.remarks(natural.draw([task, other], pairs=2, instructions=2))
    assert "25% of the prompts stand under several tasks: no state can tell those tasks apart" in said


def test_the_papers_numbers_of_labels_need_no_remark():
    assert table1.remarks(natural.draw(natural.load())) == []


def test_fewer_than_ten_known_instances(tmp_path):
    near = table1.held_out_neighbours(small(tmp_path, tasks=2, categories=1, pairs=3, instructions=2))
    assert near["k"].tolist() == [6, 6]


@pytest.mark.parametrize("instructions", [1, 2, 4])
def test_a_map_of_few_instances(tmp_path, instructions):
    one = small(tmp_path, tasks=1, categories=1, pairs=4, instructions=instructions)
    sample, points = table1.map_of(one, 0)
    assert points.shape == (len(sample), 2) == (4 * instructions, 2)
    assert np.isfinite(points).all()


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
    assert "other numbers of labels than in the paper's rows" in shown
    assert f"solved: {answers.MEANING['first']}" in shown
    assert "LLaMa-13B" in shown
    report = next(tmp_path.glob("data/probes/reports/*"))
    assert str(report) in shown
    made = pd.read_csv(report / "table1.csv")
    assert set(made["source"]) == {"ours", "paper"}
    for name in ("llm_layers", "table1", "llm_solved"):
        assert list(pd.read_csv(report / f"{name}.csv")) == columns(name)
    assert (report / "llm_layers.png").exists()


def test_the_command_refuses_what_cannot_be_in_one_line(tmp_path, capsys):
    assert cli.main(["./nothing-here"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert cli.main(["--data", str(tmp_path)]) == 2
    assert "holds no <category>/<task>.json" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["--out", str(tmp_path / "file" / "report")]) == 1
    assert "cannot write into" in capsys.readouterr().err
    assert cli.main(["--device", "gpu"]) == 2
    assert "none that torch knows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pairs", "0"], "not a number from 1 on"),
        (["--pairs", "-1"], "not a number from 1 on"),
        (["--per-task", "0"], "not a number from 1 on"),
        (["--seed", "-1"], "not a number from 0 to"),
        (["--seed", "1e3"], "not a number from 0 to"),
        (["--layers", "-1"], "not a list of layers"),
        (["--layers", "0,x"], "not a list of layers"),
        (["--template", "{instruction} {input} {input}"], "{input} once"),
        (["--solved", "half"], "invalid choice"),
        (["--max-memory", "lots"], "not of the form"),
        (["--max-memory", "0=lots"], "not of the form"),
    ],
)
def test_values_are_checked_before_anything_is_loaded(arguments, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_help_shows_the_shape_of_a_folder_of_words(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert natural.SHAPE.splitlines()[0] in shown
    assert '[{"input": "cat", "output": "chat"}, ...]' in shown
    assert "huggyllama/llama-7b" in shown


def test_memory_for_each_device_is_read_from_the_command_line():
    assert cli._memory("0=70GiB,cpu=60GiB") == {0: "70GiB", "cpu": "60GiB"}


def test_one_category_of_two_small_tasks_prints_no_perfect_score_beside_the_papers(
    saved, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    folder = tmp_path / "words" / "animals"
    folder.mkdir(parents=True)
    for task in ("noise", "young"):
        (folder / f"{task}.json").write_text('[{"input": "dog", "output": "a"}, {"input": "cat", "output": "b"}]')
        (folder / f"{task}.instructions.txt").write_text(f"Say its {task}.\nWhat is its {task}?")
    arguments = ["--data", str(tmp_path / "words"), "--pairs", "2", "--per-task", "2", "--dtype", "float32"]
    assert cli.main([str(saved["gpt2"]), *arguments, "--solved", "full", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "task: cannot be told, for there is only one" in shown
    ours = pd.read_csv(tmp_path / "out" / "table1.csv").query("source == 'ours' and label == 'task'")
    assert ours["f1"].isna().all()
    assert answers.MEANING["full"] in shown
    assert "(by distribution F1)" in shown


def test_checkpoints_are_rows_of_one_table(saved, instances, tmp_path, monkeypatch):
    """Revisions of a model, here two folders in a revision's place."""
    monkeypatch.setattr(store, "DATA", tmp_path)
    real = loading.load
    folders = {"step1": saved["gpt2"], "step2": saved["llama"]}

    def load(name, revision, **options):
        model = real(str(folders[revision]), **options)
        return loading.Loaded(**{**model.__dict__, "name": name, "revision": revision})

    monkeypatch.setattr(cli, "load", load)
    results = cli.run(("some/model",), instances, ("step1", "step2"), layers=[1], dtype="float32")
    layers = results.layers()
    assert set(layers["revision"]) == {"step1", "step2"}
    cli._write(results, tmp_path / "report")
    assert (tmp_path / "report" / "llm_revisions.png").exists()
    figure = figures.llm_revisions(layers)
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["step1", "step2"]
    drawn = figure.axes[1].lines[0].get_ydata()
    assert tuple(drawn) == tuple(layers.query("label == 'distribution' and space == 'raw'")["f1"])
    assert not figure.axes[0].lines, "these three tasks are of one category: nothing can be told, and nothing is drawn"
    assert isinstance(results.probes["some/model", "step1"], Probe)
