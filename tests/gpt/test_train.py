import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from conftest import CPU32, TINY
from programs import Program
from safetensors import SafetensorError
from safetensors.torch import load_file

from helpers import store
from helpers.device import Device
from helpers.errors import Refused
from helpers.gpt import runs, train
from helpers.profiles import resolve


def quiet(epochs, **_):
    return epochs


def fresh(monkeypatch, tmp_path, dataset, extra=""):
    """The tiny run in a folder of its own."""
    monkeypatch.setattr(store, "DATA", tmp_path)
    return resolve("smoke", f"{TINY} {extra}").run(16, 0), dataset


def last_tensors(run):
    return load_file(run.folder / run.progress["last"]["file"])


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_history_has_a_row_an_epoch_and_learning_lowers_the_loss(run):
    history = run.history
    assert history["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]
    assert history["learning_rate"].iloc[0] == run.settings.training.learning_rate
    assert history["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-12)
    assert run.logged_epochs == [0, 1, 2, 3, 4]
    assert run.complete


def test_the_untrained_model_is_recorded_as_epoch_0(run, dataset):
    from helpers.gpt import model, records

    net = model.build(run.settings.model, len(dataset.vocabulary), run.settings.training.init_seed)
    expected = records.observe(net, run.rows["validation"], CPU32).states
    np.testing.assert_allclose(run.record(0).states("validation"), expected, atol=2e-3, rtol=2e-3)


def test_recorded_epochs_are_in_the_order_of_training(run, dataset, tmp_path):
    long = resolve("smoke", f"{TINY} training.number_of_epochs=20").run(16, 0)
    store.write_json(tmp_path / "progress.json", run.progress | {"logged": {str(e): "" for e in (0, 2, 9, 10, 20)}})
    again = runs.Run(long, dataset, tmp_path)
    assert again.logged_epochs == [0, 2, 9, 10, 20]
    assert runs.Run(run.settings, dataset, tmp_path).logged_epochs == [0, 2], "this one stops at epoch 4"


def test_the_best_model_answers_as_the_history_says(run):
    from helpers.gpt import records

    seen = records.observe(run.model("best"), run.rows["validation"], CPU32)
    history = run.history.set_index("epoch")["accuracy_validation"]
    assert seen.correct.mean() == pytest.approx(history[run.best_epoch]) == history.max()


def test_stopped_and_continued_is_the_same_to_the_bit(run, dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.stop_epoch=2")
    begun = train.train(one, data, CPU32, progress=quiet)
    assert begun.epoch == 2
    whole, _ = fresh(monkeypatch, tmp_path, dataset)
    continued = train.train(whole, data, CPU32, progress=quiet)
    assert continued.folder == begun.folder
    assert same_bits(last_tensors(continued), last_tensors(run))
    columns = [c for c in run.history if c != "seconds"]
    assert (continued.history[columns] == run.history[columns]).all(axis=None)
    for epoch in run.logged_epochs:
        np.testing.assert_array_equal(continued.record(epoch).states("subset"), run.record(epoch).states("subset"))


def epoch_reached(root):
    found = list(root.glob("data/runs/*/progress.json"))
    return json.loads(found[0].read_text())["epoch"] if found else -1


def test_killed_at_any_moment_and_restarted_is_the_same_to_the_bit(run, dataset, tmp_path):
    command = ("helpers.running.gpu_checks", f"{TINY} training.device=cpu training.precision=float32")
    environment = os.environ | {"CLM_ROOT": str(tmp_path)}
    for target, delay in ((0, 0.05), (1, 0.0), (2, 0.1)):  # some land within an epoch, some while it is written
        with Program(*command, environment=environment) as program:
            deadline = time.monotonic() + 120
            while epoch_reached(tmp_path) < target and program.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(delay)
            program.kill()
            assert program.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    with Program(*command, environment=environment) as program:
        assert program.wait() == 0, program.communicate()
    folder = next(tmp_path.glob("data/runs/*"))
    progress = json.loads((folder / "progress.json").read_text())
    assert progress["epoch"] == 4
    assert same_bits(load_file(folder / progress["last"]["file"]), last_tensors(run))
    leftovers = {p.name for p in (folder / "checkpoints").iterdir()}
    assert leftovers == {os.path.basename(progress[w]["file"]) for w in ("last", "best")}


def test_fewer_checkpoints_give_the_same_bits_whenever_training_stops(run, dataset, tmp_path, monkeypatch):
    """Where checkpoints are slow they are spared; the best epoch's weights are kept all the same."""
    one, data = fresh(monkeypatch, tmp_path, dataset)
    monkeypatch.setattr(train, "QUICK", -1.0)
    monkeypatch.setattr(train, "SHARE", 1e-9)  # after the first, none but the last
    real, seen = train._Trainer.epoch, []

    def epoch(trainer, number):
        if number == 3 and not seen:
            seen.append(trainer.saved)
            raise KeyboardInterrupt
        return real(trainer, number)

    monkeypatch.setattr(train._Trainer, "epoch", epoch)
    with pytest.raises(KeyboardInterrupt):
        train.train(one, data, CPU32, progress=quiet)
    stopped = runs.open_run(one, data)
    assert (stopped.epoch, seen[0]["epoch"]) == (0, 2)
    assert stopped.history["epoch"].tolist() == [0]
    done = train.train(one, data, CPU32, progress=quiet)
    assert same_bits(last_tensors(done), last_tensors(run))
    assert done.best_epoch == run.best_epoch
    assert 0 < run.best_epoch < 4, "between the checkpoints"
    best = [load_file(r.folder / r.progress["best"]["file"]) for r in (done, run)]
    assert same_bits(*best)
    assert done.logged_epochs == run.logged_epochs
    assert (done.record_path(2).read_bytes()) == run.record_path(2).read_bytes()
    assert len(list((done.folder / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize(
    ("cost", "passed", "due"), [(0.4, 0.0, True), (0.6, 5.9, False), (0.6, 6.1, True), (5.0, 49.0, False)]
)
def test_slow_checkpoints_take_a_tenth_of_the_time(run, monkeypatch, cost, passed, due):
    trainer = train._Trainer(run, CPU32)
    trainer.saved_at, trainer.cost = 100.0, cost
    monkeypatch.setattr(train.time, "perf_counter", lambda: 100.0 + passed)
    assert trainer._checkpoint_is_due(2) == due
    assert trainer._checkpoint_is_due(4), "the last epoch always has one"


def test_a_finished_run_is_not_trained_again(run, dataset, monkeypatch):
    monkeypatch.setattr(train, "_Trainer", None)
    assert train.train(run.settings, dataset, CPU32, progress=quiet).complete


def test_a_changed_checkpoint_is_refused_and_finished_epochs_stay_readable(run, dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.stop_epoch=1")
    begun = train.train(one, data, CPU32, progress=quiet)
    path = begun.folder / begun.progress["last"]["file"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    whole, _ = fresh(monkeypatch, tmp_path, dataset)
    with pytest.raises(store.ArtefactError, match=r"last-0001\.safetensors was changed .*delete"):
        train.train(whole, data, CPU32, progress=quiet)
    assert begun.record(1).states("validation").shape[0] == 3
    path.unlink()
    with pytest.raises(store.ArtefactError, match=r"last-0001\.safetensors is missing"):
        train.train(whole, data, CPU32, progress=quiet)


def test_precision_is_part_of_a_runs_name_as_it_is_on_this_machine(run, dataset, monkeypatch):
    def folder(extra):
        return runs.open_run(resolve("smoke", f"{TINY} {extra}").run(16, 0), dataset).folder

    assert folder("training.precision=float32") == run.folder
    half = folder("training.precision=bfloat16")
    assert half != run.folder
    monkeypatch.setattr(runs, "choose", lambda *_: Device(torch.device("cpu"), "bfloat16", "another machine"))
    assert folder("") == half


def test_the_device_asked_for_is_trained_on_and_is_no_part_of_a_runs_name(run, dataset, tmp_path, monkeypatch):
    """An Apple GPU, which this machine only says it has: nothing chooses it, and training.device=mps does."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    asked = []

    def begun(opened, where, progress):
        asked.append((where.device.type, where.precision))

    monkeypatch.setattr(train, "_train", begun)
    for device in ("auto", "mps", "cpu"):
        one, data = fresh(monkeypatch, tmp_path, dataset, f"training.device={device} training.precision=float32")
        assert train.train(one, data, progress=quiet).folder.name == run.folder.name
    assert asked == [
        ("cuda" if torch.cuda.is_available() else "cpu", "float32"),
        ("mps", "float32"),
        ("cpu", "float32"),
    ]
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.device=mps training.precision=bfloat16")
    monkeypatch.undo()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(store, "DATA", tmp_path)
    with pytest.raises(train.TrainingError, match=r"bfloat16 is not written for mps: set training\.precision=float32"):
        train.train(one, data, progress=quiet)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.device=mps")
    with pytest.raises(Refused, match="no device 'mps'"):
        train.train(one, data, progress=quiet)


def test_resuming_in_bfloat16_is_the_same_to_the_bit(dataset, tmp_path, monkeypatch):
    where = Device(torch.device("cpu"), "bfloat16", "test")
    extra = "training.precision=bfloat16"
    whole, data = fresh(monkeypatch, tmp_path / "a", dataset, extra)
    straight = train.train(whole, data, where, progress=quiet)
    part, _ = fresh(monkeypatch, tmp_path / "b", dataset, f"{extra} training.stop_epoch=2")
    train.train(part, data, where, progress=quiet)
    continued = train.train(whole, data, where, progress=quiet)
    assert continued.folder != straight.folder
    assert same_bits(last_tensors(continued), last_tensors(straight))


def test_a_manifest_that_tells_of_other_settings_is_refused(dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.stop_epoch=1")
    begun = train.train(one, data, CPU32, progress=quiet)
    whole, _ = fresh(monkeypatch, tmp_path, dataset)
    manifest = store.read_json(begun.folder / "manifest.json", "")
    manifest["settings"]["training"]["learning_rate"] = 0.5
    store.write_json(begun.folder / "manifest.json", manifest)
    with pytest.raises(train.TrainingError, match=r"begun with training\.learning_rate=0\.5, not 0\.003"):
        train.train(whole, data, CPU32, progress=quiet)


def test_two_processes_cannot_train_one_run(dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset)
    folder = runs.open_run(one, data).folder
    with store.locked(folder), pytest.raises(store.ArtefactError, match="another process is working on"):
        train.train(one, data, CPU32, progress=quiet)


def test_a_changed_or_lost_record_is_named_with_a_remedy_that_works(dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.stop_epoch=1")
    made = train.train(one, data, CPU32, progress=quiet)
    path = made.record_path(1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(store.ArtefactError, match=r"0001\.safetensors was changed .*delete .*run notebook 02"):
        made.record(1)
    path.unlink()
    with pytest.raises(store.ArtefactError, match=r"0001\.safetensors is missing"):
        made.record(1)
    with pytest.raises(store.ArtefactError, match=r"no record of epoch 7; it has \[0, 1\]"):
        made.record(7)
    shutil.rmtree(made.folder)
    assert train.train(one, data, CPU32, progress=quiet).record(1)


def test_a_full_disk_keeps_the_epochs_before_and_training_goes_on_later(run, dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset)
    real, calls = train.save_file, []

    def full_after_a_while(tensors, path):
        calls.append(path)
        if len(calls) > 4:  # in its words, as seen on a full tmpfs
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        real(tensors, path)

    monkeypatch.setattr(train, "save_file", full_after_a_while)
    with pytest.raises(store.ArtefactError, match="disk is full"):
        train.train(one, data, CPU32, progress=quiet)
    monkeypatch.setattr(train, "save_file", real)
    stopped = runs.open_run(one, data)
    assert 0 <= stopped.epoch < 4
    assert stopped.record(stopped.epoch)
    assert same_bits(last_tensors(train.train(one, data, CPU32, progress=quiet)), last_tensors(run))


def test_a_diverged_loss_stops_with_the_remedy(dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.learning_rate=1e30 training.max_gradient_norm=1e30")
    with pytest.raises(train.TrainingError, match=r"diverged in epoch \d.*Lower training\.learning_rate=1e\+30"):
        train.train(one, data, CPU32, progress=quiet)
    assert runs.open_run(one, data).epoch >= 0


def test_identity_follows_settings_data_and_code_not_where_to_stop(run, dataset, monkeypatch):
    def folder(extra):
        return runs.open_run(resolve("smoke", f"{TINY} {extra}").run(16, 0), dataset).folder

    assert folder("training.stop_epoch=2") == run.folder
    assert folder("training.learning_rate=1e-3") != run.folder
    assert folder("model.dropout=0.1") != run.folder
    monkeypatch.setattr(runs.fingerprint, "of_code", lambda *modules: "other code")
    assert folder("") != run.folder


def test_all_logged_checkpoints_are_kept_on_request(dataset, tmp_path, monkeypatch):
    one, data = fresh(monkeypatch, tmp_path, dataset, "training.keep_checkpoints=true training.stop_epoch=2")
    kept = train.train(one, data, CPU32, progress=quiet)
    names = {p.name for p in (kept.folder / "checkpoints").glob("epoch-*")}
    assert names == {f"epoch-{e:04d}.safetensors" for e in range(3)}


def test_a_run_saved_by_us_loads_into_plain_transformers(run):
    from transformers import GPT2LMHeadModel

    net = run.model("best")
    net.save_pretrained(run.folder / "export")
    loaded = GPT2LMHeadModel.from_pretrained(run.folder / "export")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), loaded.parameters(), strict=True))
    shutil.rmtree(run.folder / "export")


def test_a_run_that_went_on_keeps_the_best_weights_of_where_it_stopped_before(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    accuracy = iter([0.0, 0.5, 0.1, 0.2, 0.9, 0.3])  # of epochs 0 to 5: the best are 1, then 4
    observed = train._Trainer._observed

    def told(trainer, epoch):
        seen, logged = observed(trainer, epoch)
        right = np.full(seen["validation"].correct.shape, next(accuracy))
        return seen | {"validation": seen["validation"]._replace(correct=right)}, logged

    monkeypatch.setattr(train._Trainer, "_observed", told)
    common = f"{TINY} training.number_of_epochs=20"
    first, then = (resolve("smoke", f"{common} training.stop_epoch={n}").run(16, 0) for n in (3, 5))
    before = train.train(first, dataset, CPU32, progress=quiet).model("best").state_dict()
    train.train(then, dataset, CPU32, progress=quiet)
    again = runs.open_run(first, dataset)
    assert again.best_epoch == 1
    assert all(torch.equal(weight, before[name]) for name, weight in again.model("best").state_dict().items())
    assert runs.open_run(then, dataset).progress["best"]["epoch"] == 4
    assert len(list((again.folder / "checkpoints").glob("best-*"))) == 2


def test_weights_of_a_later_epoch_than_the_settings_stop_at_are_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    longer, shorter = (resolve("smoke", f"{TINY} training.stop_epoch={n}").run(16, 0) for n in (4, 2))
    train.train(longer, dataset, CPU32, progress=lambda epochs, **_: epochs)
    run = runs.open_run(shorter, dataset)
    assert run.epoch == 4, "the same run"
    with pytest.raises(store.ArtefactError, match=r"last weights are of epoch 4, after training.stop_epoch=2"):
        run.model("last")


def test_open_grid_says_which_run_is_unfinished(settings, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DATA", tmp_path)
    from helpers.task import synthetic

    synthetic.save(dataset)
    with pytest.raises(store.ArtefactError, match=r"w16-s0-.* has 0 of 4 epochs; run notebook 02"):
        runs.open_grid(settings)
