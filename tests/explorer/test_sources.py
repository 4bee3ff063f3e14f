import json
import shutil

import numpy as np
import pytest
from conftest import CPU32

from helpers import store
from helpers.analysis import clustering, neighbours
from helpers.explorer import app, sources
from helpers.explorer.plot import COLOURS, SAME, UNKNOWN, groups, rgba
from helpers.figures.style import palette
from helpers.gpt import records
from helpers.pretrained import table1
from helpers.pretrained.probe import observe
from helpers.settings import ClusteringSettings, TsneSettings
from helpers.tables import LABELS


@pytest.fixture
def source(run):
    return sources.RunSource(run)


def test_states_are_those_of_the_record_and_of_the_model(source, run):
    record = run.record(4)
    inputs = source.frame("subset")["input"].map({s: i for i, s in enumerate(run.dataset.vocabulary)}).to_numpy()
    for layer in range(3):
        np.testing.assert_array_equal(source.states("subset", 4, layer), record.states("subset")[layer])
        np.testing.assert_allclose(
            source.states("subset", 4, layer, "centred"), record.centred("subset", inputs)[layer], atol=1e-6
        )
    seen = records.observe(run.model("last"), run.rows["validation"], CPU32)
    np.testing.assert_allclose(source.states("validation", 4, 2), seen.states[2], atol=2e-3)
    answers = source.answers("validation", 4)
    assert (answers["correct"] == seen.correct).all()
    assert (answers["correct"] == (answers["answer"] == source.frame("validation")["output"])).all()


def test_instances_say_where_they_come_from(source, run):
    import re

    for split in source.splits:
        frame = source.frame(split)
        plain = frame[frame["kind"] != "hard"]
        assert all(re.fullmatch(e, i) for e, i in zip(plain["expression"], plain["instruction"], strict=True))
    assert set(source.frame("subset")["kind"]) == {"hard", "original"}
    assert set(source.frame("validation")["kind"]) == {"unseen"}


def test_neighbours_are_those_of_knn_and_never_the_instance_itself(source, run):
    table = neighbours.analyse(run, (5,)).query("epoch == 4 and layer == 1")
    frame = source.frame("validation")
    shares = [(source.neighbours("validation", 4, 1, i, 5)["task"] == t).mean() for i, t in enumerate(frame["task"])]
    assert np.mean(shares) == pytest.approx(table["same_task"].item())
    for row in (0, 7):
        near = source.neighbours("subset", 4, 2, row)
        assert source.frame("subset")["instruction"].iloc[row] not in set(near["instruction"])
        assert near["distance"].is_monotonic_increasing
    history = source.neighbour_history("validation", 1, 3, 5)
    assert history["moment"].tolist() == source.moments
    assert history["stay"].iloc[-1] == 1
    assert history["same_task"].iloc[-1] == shares[3]


def test_scores_are_those_of_the_analysis_and_of_scikit_learn(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / run.folder.name, ignore=shutil.ignore_patterns("clustering"))
    alone = sources.RunSource(type(run)(run.settings, run.dataset, copy))
    assert not len(alone.known_scores())
    settings = ClusteringSettings(spaces=("raw", "centred"))
    tables = clustering.analyse(run, settings, TsneSettings(), jobs=1)["clustering"]
    analysed = sources.RunSource(run)
    for label in LABELS:
        row = tables.query("epoch == 4 and layer == 2 and split == 'subset' and space == 'centred' and label == @label")
        found = analysed.scores("subset", 4, 2, "centred", label)
        assert found == {s: pytest.approx(row[s].item()) for s in sources.SCORES}
        assert alone.scores("subset", 4, 2, "centred", label) == {s: pytest.approx(found[s], abs=0.08) for s in found}
    assert analysed.knows_scores("subset", 2, "centred", "task")
    curve = analysed.curve("subset", 2, "centred", "task", "ari")
    assert curve.index.tolist() == analysed.moments
    assert curve[4] == analysed.scores("subset", 4, 2, "centred", "task")["ari"]


def test_places_are_kept_on_disk_and_follow_the_states(source):
    first = source.coordinates("validation", 2, "centred", "pca")
    assert first.shape == (5, len(source.frame("validation")), 2)
    assert np.abs(first).max() <= 1
    assert source.has_coordinates("validation", 2, "centred", "pca")
    assert not source.has_coordinates("validation", 2, "centred", "tsne")
    np.testing.assert_array_equal(source.coordinates("validation", 2, "centred", "pca"), first)


def test_scores_of_a_selection(source):
    labels = source.labels("validation")
    clusters = labels["task"] + 5
    rows = np.arange(40)
    found = sources.selection_scores(labels, clusters, rows)
    assert found.loc["task"].tolist() == [1, 1, 1]
    assert found.loc["distribution_mapping", "f1"] < 1
    assert not len(sources.selection_scores(labels, clusters, rows[:1]))


def test_search_takes_the_text_as_it_is(source):
    frame = source.frame("validation")
    part = frame["instruction"].iloc[0][:3]
    assert sources.matching(frame, part).tolist() == np.flatnonzero([part in i for i in frame["instruction"]]).tolist()
    assert not len(sources.matching(frame, ""))
    assert not len(sources.matching(frame, ".*"))


def test_a_run_in_training_shows_its_epochs_so_far(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / run.folder.name)
    progress = json.loads((copy / "progress.json").read_text())
    progress["epoch"], progress["logged"] = 2, {e: h for e, h in progress["logged"].items() if int(e) <= 2}
    (copy / "progress.json").write_text(json.dumps(progress))
    source = sources.open_folder(copy)
    assert source.moments == [0, 1, 2]
    assert "2 of 4 epochs" in source.note
    shown = app.explore(source).wait()
    assert "still in training" in shown.status.value
    shown.show(moment=1, colour="cluster")
    assert shown.moment.value == 1


def test_what_cannot_be_shown_is_said(run, tmp_path, monkeypatch):
    copy = shutil.copytree(run.folder, tmp_path / "older")
    manifest = json.loads((copy / "manifest.json").read_text())
    changed = manifest | {"settings": manifest["settings"] | {"colour": "red"}}
    (copy / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(store.ArtefactError, match=r"settings that this version does not know.*colour"):
        sources.open_folder(copy)
    (copy / "manifest.json").write_text(json.dumps(manifest | {"data": "other"}))
    with pytest.raises(store.ArtefactError, match="no longer draws"):
        sources.open_folder(copy)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (copy / "epochs" / "0004.safetensors").write_bytes(b"broken")
    source = sources.open_folder(copy)
    with pytest.raises(store.ArtefactError, match=r"0004\.safetensors was changed"):
        source.states("subset", 4, 1)
    (copy / "progress.json").unlink()
    with pytest.raises(store.ArtefactError, match=r"progress\.json is missing"):
        sources.open_folder(copy)
    assert "make reproduce" in app.explore(copy).value
    monkeypatch.setattr(store, "DATA", tmp_path / "empty")
    with pytest.raises(store.ArtefactError, match="make reproduce"):
        sources.newest()


@pytest.fixture(scope="module")
def probe(saved, instances):
    from helpers.pretrained import loading

    model = loading.load(str(saved["gpt2"]), device="cpu", dtype="float32")
    return observe(model, instances, progress=lambda **_: _Bar())


class _Bar:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def update(self, _):
        pass


def test_a_probe_is_explored_like_a_run(probe):
    source = sources.open_folder(probe.folder)
    assert source.moment_name == "revision"
    assert len(source.frame("instances")) == len(probe.instances)
    np.testing.assert_array_equal(source.states("instances", source.moments[0], 1), probe.states(1))
    row = 5
    near = source.neighbours("instances", source.moments[0], 1, row, 3)
    distance = np.linalg.norm(probe.states(1) - probe.states(1)[row], axis=1)
    distance[(probe.instances["instruction"] == probe.instances["instruction"].iloc[row]).to_numpy()] = np.inf
    np.testing.assert_allclose(near["distance"], np.sort(distance)[:3], rtol=1e-3)
    shown = app.explore([probe]).wait()
    shown.show(colour="distribution", layers=(1, 2), spaces=("centred", "raw"))
    shown.select([row])
    assert "Nearest to" in shown.near.value
    assert shown.selection["instruction"].item() == probe.instances["instruction"].iloc[row]


def test_scores_of_a_probe_are_kept_and_found_again(probe):
    table = table1.score_layers(probe, n_init=1, jobs=1)
    again = table1.score_layers(probe, n_init=1, jobs=1)
    assert again.equals(table)
    source = sources.ProbeSource([probe])
    found = source.scores("instances", source.moments[0], 1, "raw", "task")
    row = table.query("layer == 1 and space == 'raw' and label == 'task'")
    assert found == {s: pytest.approx(row[s].item()) for s in sources.SCORES}
    assert source.curve("instances", 1, "raw", "task", "f1").notna().all()  # over layers


def test_clusters_keep_their_numbers():
    reference = np.array([0, 0, 1, 1, 2, 2])
    assert sources.same_numbers(np.array([2, 2, 0, 0, 1, 1]), reference).tolist() == reference.tolist()
    more = sources.same_numbers(np.array([5, 5, 3, 3, 1, 9]), reference)
    assert more[:4].tolist() == [0, 0, 1, 1]
    assert len(np.unique(more)) == 4


@pytest.mark.parametrize("count", [1, 2, 8, 9, 20, 21, 160])
def test_colours_are_as_many_as_asked_and_differ(count):
    assert len(set(palette(count))) == count


def drawn(shown, number: int = 0) -> np.ndarray:
    """The colours of a plot's points as the browser has them, once it says that it has drawn what it was sent."""
    while any(panel.wanted["new"] for panel in shown.panels):
        shown._pacer.drawn = shown._pacer.sent
    plot = shown.panels[number].scatter
    return np.array(plot.color)[plot.points[:, 2].astype(int)]


def test_every_point_has_the_colour_of_the_legend_however_it_is_sent(run):
    shown = app.explore(run).wait()
    for moment in (shown.source.moments[0], shown.source.moments[-1]):
        shown.show(moment=moment).wait()
        for by in (*COLOURS, *COLOURS):
            shown.show(colour=by).wait()
            colours = {name: rgba(colour) for name, colour, _ in shown.legend.items}
            for number, panel in enumerate(shown.panels):
                wanted = [colours[str(value)] for value in shown.values(panel, by)]
                np.testing.assert_array_equal(drawn(shown, number), wanted, err_msg=f"{by} at {moment}, plot {number}")


def test_a_plot_with_its_own_epoch_is_painted_anew_where_the_colour_depends_on_it(run):
    shown = app.explore(run).wait()
    first, last = shown.source.moments[0], shown.source.moments[-1]
    shown.show(moment=first, colour="correct")
    drawn(shown)
    shown.panels[1].moment.value = last
    colours = {name: rgba(colour) for name, colour, _ in shown.legend.items}
    assert list(colours) == ["right", "wrong"]
    for number, moment in enumerate((first, last)):
        correct = shown.source.answers("validation", moment)["correct"]
        wanted = [colours["right" if c else "wrong"] for c in correct]
        np.testing.assert_array_equal(drawn(shown, number), wanted)


def test_points_have_no_wrong_colour_while_their_clusters_are_computed(run):
    import threading

    shown = app.explore(run).wait().show(colour="cluster")
    drawn(shown)
    holding = threading.Event()
    shown._pool.submit(holding.wait)
    shown.split.value = "subset"
    assert {tuple(colour) for colour in drawn(shown)} == {tuple(rgba(UNKNOWN))}
    holding.set()
    shown.wait()
    colours = {name: rgba(colour) for name, colour, _ in shown.legend.items}
    wanted = [colours[str(c)] for c in shown.values(shown.panels[0], "cluster")]
    np.testing.assert_array_equal(drawn(shown), wanted)


def test_a_selection_has_the_clusters_that_the_plot_shows(run):
    shown = app.explore(run).wait()
    for moment in shown.source.moments:
        shown.show(moment=moment)
        shown.select(range(40))
        assert shown.selection["cluster"].tolist() == shown.values(shown.panels[0], "cluster")[:40].tolist()


def test_what_is_chosen_stays_and_a_run_that_cannot_be_opened_is_not_chosen(run):
    shown = app.explore(run).wait().show(k=4, count=1, colour="task")
    assert shown.k.value == 4
    broken = run.folder.with_name("w16-s0-broken")
    shutil.copytree(run.folder, broken, ignore=shutil.ignore_patterns("manifest.json"))
    try:
        shown.show(count=2)
        assert shown.k.value == 4
        shown._reload()
        for control in (shown.run, shown.panels[1].run):
            before = control.value
            control.value = str(broken)
            assert "no manifest.json" in shown.status.value
            assert control.value == before
    finally:
        shutil.rmtree(broken)


def test_points_are_not_sent_again_for_a_colour_that_their_groups_share(run):
    shown = app.explore(run).wait()
    for moment in (shown.source.moments[-1], shown.source.moments[0]):
        shown.show(moment=moment, colour="task").wait()
        drawn(shown)
        sent = [panel.scatter.points for panel in shown.panels]
        for by in ("correct", "distribution", "output", "task"):
            shown.show(colour=by).wait()
            drawn(shown)
            assert all(panel.scatter.points is points for panel, points in zip(shown.panels, sent, strict=True))


def test_groups_keep_what_their_labels_tell_and_stay_few():
    rng = np.random.default_rng(0)
    few, names, many = rng.integers(0, 5, 900), rng.choice(["a", "b"], 900), np.arange(900)
    found = groups([few, many, names])
    assert len(np.unique(found)) == 10 == found.max() + 1
    assert len(np.unique(groups([np.array(["a", "b", None, "a", None], dtype=object)]))) == 3
    for label in (few, names):
        assert all(len(np.unique(label[found == group])) == 1 for group in range(10))


def test_pictures_and_tables_are_saved_and_wrong_choices_refused(run, tmp_path):
    shown = app.explore(run).wait()
    shown.select([1, 2])
    for suffix in ("svg", "png", "csv"):
        assert shown.save(tmp_path / f"picture.{suffix}").stat().st_size > 100
    lines = (tmp_path / "picture.csv").read_text().splitlines()
    assert len(lines) == 3
    assert "cluster" in lines[0]
    with pytest.raises(ValueError, match="moment=99 is not offered"):
        shown.show(moment=99)
    with pytest.raises(ValueError, match="no control epoch"):
        shown.show(epoch=1)


def test_a_plot_can_show_another_run_linked_where_instances_are_the_same(run):
    copy = shutil.copytree(run.folder, run.folder.with_name("w16-s0-copy"))
    try:
        shown = app.explore(run).wait()
        panel = shown.panels[1]
        panel.run.value = str(copy)
        assert panel.source is not shown.source
        assert panel.linked
        assert shown.panels[0].run not in shown.panels[0].children[0].children  # its run is the explorer's
        shown.select([3])
        assert panel.scatter.selection.tolist() == [3]
        shown.run.value = str(copy)
        assert panel.run.value == SAME
        assert panel.source is shown.source
    finally:
        shutil.rmtree(copy)
