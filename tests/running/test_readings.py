"""Successive halving over readings, with trainings whose outcome is made up."""

import dataclasses

import pandas as pd
import pytest
from made_up_tables import made_up

from helpers import store
from helpers.profiles import reading_of
from helpers.running import grid_files, readings, sweep, verdict_grids
from helpers.tables import columns

PLAN = """
profile: smoke
set: width=32 clustering.beyond_the_paper=false
rungs: [2, 6, 12]
keep: 3
grid:
  training.batch_size: [20, 40, 80]
  training.loss_on: [sequence, outputs]
variants: [{}, {model.normalisation: post}, {model.tied_embeddings: false}]
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return readings.read_plan(path)


class Trainer:
    """Stands for sweep.run: the smaller the batch, the better; the loss on outputs with post norm fails."""

    def __init__(self) -> None:
        self.asked = []

    def __call__(self, points, label):
        self.asked.append([(p.run.training.last_epoch, reading_of(p.run)) for p in points])
        rows, parts = [], {}
        for point in points:
            training = point.run.training
            failed = training.loss_on == "outputs" and point.run.model.normalisation == "post"
            rows.append(
                {"run": point.key, "width": 32, "seed": 0, "status": "failed" if failed else "done", "commit": "c"}
            )
            for name, table in made_up(training.batch_size < 80).items() if not failed else ():
                if name == "training":  # of good ones, the smaller batch learns more
                    table["accuracy_subset"] *= 1 - training.batch_size / 100
                parts.setdefault(name, []).append(table.assign(run=point.key))
        return {"runs": pd.DataFrame(rows)} | {name: pd.concat(tables) for name, tables in parts.items()}


def test_the_best_third_goes_on_from_rung_to_rung(plan):
    train = Trainer()
    found = readings.search(plan, train)
    assert [len(asked) for asked in train.asked] == [18, 6, 2]
    assert [{epochs for epochs, _ in asked} for asked in train.asked] == [{2}, {6}, {12}]
    assert list(found) == columns("readings")
    assert len(found) == 26
    for n, rung in found.groupby("rung"):
        assert rung["fit"].is_monotonic_decreasing
        gone_on = set(rung.loc[rung["kept"], "reading"])
        assert gone_on == ({words for _, words in train.asked[n + 1]} if n < 2 else set())
        if gone_on:
            assert rung.loc[rung["kept"], "fit"].min() >= rung.loc[~rung["kept"], "fit"].max()
    assert all("batch_size=20" in words for _, words in train.asked[-1])
    assert found.query("rung < 2")["stops"].isna().all()
    assert found.query("rung == 2")["stops"].notna().all()


def test_each_rung_is_kept_as_soon_as_it_is_done(plan):
    """Also of a plan that ends no schedule, so that nobody knows the best epoch."""
    kept = []
    found = readings.search(dataclasses.replace(plan, rungs=(2, 6)), Trainer(), kept.append)
    assert [table["rung"].nunique() for table in kept] == [1, 2]
    assert kept[-1].equals(found)
    assert found["stops"].isna().all()


def test_what_fails_counts_nothing_and_is_listed(plan):
    found = readings.search(plan, Trainer())
    failed = found[found["status"] == "failed"]
    assert len(failed) == 3
    assert (failed["fit"] == 0).all()
    assert not failed["kept"].any()


def test_another_plans_rows_stay(plan, tmp_path):
    found = readings.search(plan, Trainer())
    readings.save(found.assign(plan="other"), tmp_path)
    readings.save(found, tmp_path)
    readings.save(found, tmp_path)
    table = store.read_table(tmp_path / "readings.csv", "")
    assert table["plan"].value_counts().to_dict() == {"other": 26, "plan": 26}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("rungs: []", "rungs must be a list of epochs"),
        ("rungs: [6, 2]", "must rise"),
        ("rungs: [2, many]", "rungs must be a list of epochs"),
        ("rungs: [2]\nkeep: 1", "keep=1 must be a number from 2 on"),
        ("rungs: [2]\nwidths: 3", "must be a mapping with profile, set, grid, variants, keep and rungs"),
        ("rungs: [2, 600]", "stop_epoch"),
        ("rungs: [2]\ngrid: {widht: [2]}", "did you mean width"),
        ("rungs: [2]\ngrid: {training.stop_epoch: [1]}", "is what rungs say"),
        ("rungs: [2]\nvariants: [{}, {training.stop_epoch: 1}]", "is what rungs say"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_any_work(tmp_path, entry, message):
    path = tmp_path / "plan.yaml"
    path.write_text(f"profile: smoke\n{entry}\n")
    with pytest.raises(grid_files.GridError, match=message) as refused:
        readings.read_plan(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("command", [readings.main, verdict_grids.main])
def test_an_unknown_profile_is_refused_before_any_work(command, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "run", lambda *_, **__: pytest.fail("it began"))
    assert command(["--profile", "labtop"]) == 2
    assert "unknown profile 'labtop'; did you mean laptop?" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [True, False])
def test_a_run_that_failed_is_the_exit_status(bad, tmp_path, monkeypatch, capsys):
    path = tmp_path / "plan.yaml"
    grid = "normalisation: post, training.loss_on: outputs" if bad else "normalisation: post"
    path.write_text(f"profile: smoke\nset: width=32\nrungs: [2]\nvariants: [{{model.{grid}}}]\n")
    monkeypatch.setattr(store, "DATA", tmp_path)
    monkeypatch.setattr(sweep, "run", lambda points, label, **_: Trainer()(points, label))
    assert readings.main([str(path)]) == int(bad)
    said = capsys.readouterr().out
    assert ("none came to the end" if bad else "these fit best") in said
    assert ("reading=" in said) != bad


def test_the_committed_plans_can_be_read_and_their_readings_differ():
    plans = [readings.read_plan(path) for path in sorted(readings.PLANS.glob("readings_*.yaml"))]
    assert plans
    for plan in plans:
        for epochs in plan.rungs:
            points = grid_files.points(**readings._at(plan, epochs))
            assert len({p.key for p in points}) == len(points)
            assert all(not p.settings.clustering.beyond_the_paper for p in points)
