import numpy as np
import pytest
import torch
from conftest import CPU32
from plain_rows import plain_rows

from helpers import store
from helpers.gpt import records


def test_states_stand_in_the_order_of_the_frame(run, dataset):
    """Against transformers' own hidden states, one instance at a time."""
    net, rows, frame = run.model("last"), run.rows["validation"], dataset.split("validation")
    seen = records.observe(net, rows, CPU32)
    number = dataset.number
    for place in (0, 7, 33, len(frame) - 1):
        row = frame.iloc[place]
        tokens = torch.tensor([[number[s] for s in row["instruction"] + row["input"]]])
        with torch.no_grad():
            output = net(tokens, output_hidden_states=True)
        theirs = np.stack([h[0, -1].numpy() for h in output.hidden_states])
        np.testing.assert_allclose(seen.states[:, place], theirs, rtol=1e-3, atol=1e-5)
        assert seen.predictions[place] == output.logits[0, -1].argmax()
        assert seen.correct[place] == (seen.predictions[place] == number[row["output"]])


def test_a_part_is_observed_in_the_order_asked_for(run):
    net, rows = run.model("last"), run.rows["train"]
    whole = records.observe(net, rows, CPU32)
    part = np.array([9, 2, 30])
    seen = records.observe(net, rows, CPU32, part=part)
    np.testing.assert_allclose(seen.states, whole.states[:, rows.instance[part].ravel()], rtol=1e-3, atol=1e-5)
    assert (seen.correct == whole.correct[rows.instance[part].ravel()]).all()


def test_neighbours_and_means_equal_the_direct_computation(run, dataset, monkeypatch):
    monkeypatch.setattr(records, "CHUNK", 200)  # several chunks, to be merged
    net, rows = run.model("last"), run.rows
    queries = records.observe(net, rows["validation"], CPU32).states
    found, means = records.compare_with_training(net, rows["train"], queries, 12, len(dataset.vocabulary), CPU32)
    training = records.observe(net, rows["train"], CPU32).states
    inputs = rows["train"].inputs.ravel()[np.argsort(rows["train"].instance.ravel())]
    for layer in range(len(queries)):
        distance = np.linalg.norm(queries[layer][:, None] - training[layer][None], axis=-1)
        np.testing.assert_allclose(found.distance[layer], np.sort(distance, 1)[:, :12], rtol=1e-3, atol=2e-3)
        own = np.take_along_axis(distance, found.index[layer].astype(int), 1)
        np.testing.assert_allclose(own, found.distance[layer], rtol=1e-3, atol=2e-3)
        for symbol in np.unique(inputs):
            expected = training[layer][inputs == symbol].mean(0)
            np.testing.assert_allclose(means.mean[layer, symbol], expected, rtol=1e-3, atol=1e-5)
    assert means.count.sum() == len(inputs)


def test_a_gpu_finds_the_neighbours_that_scikit_learn_finds():
    rng = np.random.default_rng(0)
    states, queries = (rng.standard_normal((n, 24)).astype(np.float32) for n in (300, 40))
    queries[0] = states[7]
    distance, index = records._nearest(states, queries, 9, CPU32)
    by_torch = records._nearest_by_torch(torch.from_numpy(states), torch.from_numpy(queries), 9)
    np.testing.assert_array_equal(by_torch[1], index)
    np.testing.assert_allclose(by_torch[0], distance, rtol=1e-6, atol=1e-6)


def test_a_training_instance_is_its_own_nearest_and_unseen_ones_are_looked_up_beside_it(run, dataset):
    kept = run.record(4)
    train, subset = dataset.split("train"), dataset.split("subset")
    own = train["instance"].to_numpy()[kept.neighbours["subset"].index[-1, :, 0]]
    assert (own == subset["instance"]).mean() > 0.95  # equal up to the rounding of batches of other lengths
    assert kept.neighbours["subset"].distance[-1, :, 0].max() < 0.1
    direct, _ = records.compare_with_training(
        run.model("last"), run.rows["train"], kept.validation.states, 5, len(dataset.vocabulary), CPU32
    )
    np.testing.assert_array_equal(kept.neighbours["validation"].index[-1, :, 0], direct.index[-1, :, 0])


def test_record_survives_the_disk_and_a_broken_file_is_named(run, tmp_path):
    kept = run.record(2)
    records.save_record(tmp_path / "r.safetensors", kept)
    again = records.load_record(tmp_path / "r.safetensors")
    np.testing.assert_array_equal(again.validation.states, kept.validation.states)
    for split in records.SPLITS:
        np.testing.assert_array_equal(again.neighbours[split].index, kept.neighbours[split].index)
    path = tmp_path / "r.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(store.ArtefactError, match=r"r\.safetensors is broken"):
        records.load_record(path)
    with pytest.raises(store.ArtefactError, match="is missing"):
        records.load_record(tmp_path / "none.safetensors")


def test_centring_removes_the_input_mean_of_the_training_states(run, dataset):
    kept = run.record(4)
    inputs = dataset.inputs("validation")
    centred = kept.centred("validation", inputs)
    np.testing.assert_allclose(centred + kept.means.mean[:, inputs], kept.states("validation"), atol=1e-6)


def test_plain_rows_really_hold_the_instances(run, dataset):
    """The reference of the other tests, checked against the frame itself."""
    rows, frame = run.rows["validation"], dataset.split("validation")
    tokens, attention, _ = plain_rows(rows, [1])
    members = frame.iloc[rows.instance[1]]
    for line, mask, row in zip(tokens, attention, members.itertuples(), strict=True):
        text = "".join(dataset.vocabulary[t] for t in line[mask.bool()])
        assert text == row.instruction + row.input + row.output
