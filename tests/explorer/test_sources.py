import shutil

import numpy as np
import pytest
from conftest import CPU32

from helpers import store
from helpers.analysis import clustering, neighbours
from helpers.explorer import app, sources
from helpers.explorer.source import COLOURS, Source, matching, same_numbers, selection_scores
from helpers.explorer.stage import _nearest
from helpers.gpt import records
from helpers.pretrained import table1
from helpers.pretrained.probe import observe
from helpers.settings import ClusteringSettings, TsneSettings
from helpers.tables import LABELS, SCORES


@pytest.fixture
def source(run):
    return sources.RunSource(run)


def test_states_are_those_of_the_record_and_of_the_model(source, run):
    record = run.record(4)
    inputs = run.dataset.inputs("subset")
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


def test_a_source_that_lacks_a_method_is_not_made():
    with pytest.raises(TypeError, match="abstract"):
        Source()


def test_instances_have_a_value_for_every_colour(source):
    for by in set(COLOURS) - {"cluster"}:
        assert len(source.values(by, "validation", 4)) == len(source.frame("validation"))
    assert set(source.values("correct", "validation", 4)) <= {"right", "wrong"}
    assert not source.values("expression of another kind", "validation", 4).any()


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
        assert found == {s: pytest.approx(row[s].item()) for s in SCORES}
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
    found = selection_scores(labels, clusters, rows)
    assert found.loc["task"].tolist() == [1, 1, 1]
    assert found.loc["distribution_mapping", "f1"] < 1
    assert not len(selection_scores(labels, clusters, rows[:1]))


def test_search_takes_the_text_as_it_is(source):
    frame = source.frame("validation")
    part = frame["instruction"].iloc[0][:3]
    assert matching(frame, part).tolist() == np.flatnonzero([part in i for i in frame["instruction"]]).tolist()
    assert not len(matching(frame, ""))
    assert not len(matching(frame, ".*"))


def test_a_run_in_training_shows_its_epochs_so_far(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / run.folder.name)
    progress = store.read_json(copy / "progress.json", "")
    progress["epoch"], progress["logged"] = 2, {e: h for e, h in progress["logged"].items() if int(e) <= 2}
    store.write_json(copy / "progress.json", progress)
    source = sources.open_folder(copy)
    assert source.moments == [0, 1, 2]
    assert "2 of 4 epochs" in source.note
    shown = app.explore(source).wait()
    assert "still in training" in shown.status.value
    shown.show(moment=1, colour="cluster")
    assert shown.controls.moment.value == 1


def test_what_cannot_be_shown_is_said(run, tmp_path, monkeypatch):
    copy = shutil.copytree(run.folder, tmp_path / "older")
    manifest = store.read_json(copy / "manifest.json", "")
    changed = manifest | {"settings": manifest["settings"] | {"colour": "red"}}
    store.write_json(copy / "manifest.json", changed)
    with pytest.raises(store.ArtefactError, match=r"settings that this version does not know.*colour"):
        sources.open_folder(copy)
    store.write_json(copy / "manifest.json", manifest | {"data": "other"})
    with pytest.raises(store.ArtefactError, match="no longer draws"):
        sources.open_folder(copy)
    store.write_json(copy / "manifest.json", manifest)
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
    found = source.scores("instances", source.moments[0], 1, "raw", "distribution")
    row = table.query("layer == 1 and space == 'raw' and label == 'distribution'")
    assert found == {s: pytest.approx(row[s].item()) for s in SCORES}
    assert source.curve("instances", 1, "raw", "distribution", "f1").notna().all()  # over layers


def test_a_run_is_shown_until_an_epoch(run):
    assert sources.RunSource(run, until=run.logged_epochs[1]).moments == run.logged_epochs[:2]


def test_the_nearest_moment_goes_by_the_first_number_in_its_name():
    moments = ["step1000-tokens2B", "step5000-tokens10B", "main"]
    assert _nearest(moments, "step4000-tokens8B") == "step5000-tokens10B"
    assert _nearest(moments, "main") == "main"
    assert _nearest([0, 5, 30], 28) == 30


def test_clusters_keep_their_numbers():
    reference = np.array([0, 0, 1, 1, 2, 2])
    assert same_numbers(np.array([2, 2, 0, 0, 1, 1]), reference).tolist() == reference.tolist()
    more = same_numbers(np.array([5, 5, 3, 3, 1, 9]), reference)
    assert more[:4].tolist() == [0, 0, 1, 1]
    assert len(np.unique(more)) == 4
