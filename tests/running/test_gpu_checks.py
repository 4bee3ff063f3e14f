import contextlib
import json
import os

import pytest
import torch
from conftest import TINY
from programs import Program
from safetensors.torch import load_file, save_file

from helpers.errors import Failed
from helpers.gpt import model as gpt
from helpers.gpt import train
from helpers.profiles import resolve
from helpers.running import gpu_checks

CPU = torch.device("cpu")


def settings(extra=""):
    return resolve("smoke", f"{TINY} {extra}").runs()[0]


def failed(found):
    return {name for name, value in found.items() if value > gpu_checks.TOLERANCES[name]}


@pytest.fixture
def second(monkeypatch):
    """Has the second of two devices compute with another `_linear`; here both are the CPU."""

    def change(linear):
        real, seen = gpu_checks._on, []

        def on(*arguments):
            seen.append(1)
            with pytest.MonkeyPatch.context() as patch:
                if len(seen) == 2:
                    patch.setattr(gpt, "_linear", linear)
                return real(*arguments)

        monkeypatch.setattr(gpu_checks, "_on", on)

    return change


def test_a_device_agrees_with_itself():
    found = gpu_checks.agreement(settings(), CPU)
    assert set(found) == set(gpu_checks.TOLERANCES) - {"weights, records and history", "replayed weights"}
    assert set(found.values()) == {0.0}


def test_rounding_passes_by_far(second):
    """Products summed in float64."""

    def linear(conv, x, _):
        return torch.addmm(conv.bias.double(), x.double(), conv.weight.double()).float()

    second(linear)
    found = gpu_checks.agreement(settings(), CPU)
    assert found["gradients"] > 0
    assert all(value <= gpu_checks.TOLERANCES[name] / 10 for name, value in found.items())


def test_tf32_is_noticed(second):
    """Factors rounded to ten bits, as TF32 rounds them."""

    def rounded(x):
        bits = (x.detach().contiguous().view(torch.int32) + 0x1000).bitwise_and(~0x1FFF)
        return x + (bits.view(torch.float32) - x).detach()

    second(lambda conv, x, _: torch.addmm(conv.bias, rounded(x), rounded(conv.weight)))
    assert {"gradients", "states"} <= failed(gpu_checks.agreement(settings(), CPU))


def test_a_wrong_term_is_noticed(second):
    second(lambda conv, x, _: torch.addmm(1.1 * conv.bias + 1e-3, x, conv.weight))
    found = gpu_checks.agreement(settings(), CPU)
    assert {"gradients", "states", "neighbour distances"} <= failed(found)


def test_replays_that_do_another_thing_are_noticed(monkeypatch):
    """A graph that takes its last batch again: here steps of a plain trainer stand for a GPU's."""

    class Stuck:
        def __init__(self, trainer):
            self.trainer, self.first = trainer, None

        def step(self, batch):
            self.first = self.first or batch
            self.trainer._forget()
            self.trainer._losses(self.first)
            self.trainer._update()

    real = train._Trainer.__init__

    def begun(trainer, *arguments):
        real(trainer, *arguments)
        trainer.graphs = Stuck(trainer)

    assert gpu_checks.replays(settings("training.precision=float32"), CPU) == {"replayed weights": 0.0}
    monkeypatch.setattr(train._Trainer, "__init__", begun)
    assert failed(gpu_checks.replays(settings("training.precision=float32"), CPU)) == {"replayed weights"}


@pytest.fixture
def quick(monkeypatch):
    """Has the processes that `resumption` starts and kills begin with torch imported."""
    with contextlib.ExitStack() as stack:

        def begin(root, overrides):
            environment = os.environ | {"CLM_ROOT": str(root), "TQDM_DISABLE": "1"}
            return stack.enter_context(Program("helpers.running.gpu_checks", overrides, environment=environment))

        monkeypatch.setattr(gpu_checks, "_begin", begin)
        yield


def test_a_killed_run_is_compared_with_one_that_was_not(quick):
    found = gpu_checks.resumption(f"{TINY} training.device=cpu training.stop_epoch=4", kills=2, seed=0)
    assert found == {"weights, records and history": 0.0}


def test_a_run_that_fails_by_itself_is_no_resumption():
    with pytest.raises(Failed, match=r"the small run failed: .*no device 'cuda:77'"):
        gpu_checks.resumption(f"{TINY} training.device=cuda:77")


def test_other_weights_or_records_are_a_difference(run, tmp_path):
    def copy(name, **changes):
        folder = tmp_path / name / "data" / "runs" / "w"
        folder.mkdir(parents=True)
        for which in ("last", "best"):
            path = folder / run.progress[which]["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((run.folder / run.progress[which]["file"]).read_bytes())
        (folder / "progress.json").write_text(json.dumps(run.progress | changes))
        return tmp_path / name

    same, also = copy("a"), copy("b")
    assert gpu_checks._difference(same, also) == 0
    assert gpu_checks._difference(same, copy("c", logged={"0": "other"})) == float("inf")
    assert gpu_checks._difference(same, copy("d", epoch=3)) == float("inf")
    other = copy("e")
    path = other / "data" / "runs" / "w" / run.progress["last"]["file"]
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] += 0.5
    save_file(tensors, path)
    assert gpu_checks._difference(same, other) == pytest.approx(0.5)
