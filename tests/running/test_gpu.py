"""make gpu, rehearsed on the CPU: killed in the middle of its runs, and gone on with."""

import json
import os
import tarfile
import time

import pandas as pd
import pytest
import torch
from pool_tasks import LONG
from programs import Program

from helpers import store
from helpers.benchmarks import speed
from helpers.profiles import reading_of
from helpers.running import archive, gpu, pool, sweep
from helpers.tables import columns

BEYOND = {"surface", "controls", "interventions", "alternatives"}  # tables that the grid asks of its first run alone
COMMAND = ("helpers.running.gpu", "--device", "cpu", "--profile", "smoke", "--minutes", "20")


def output(program):
    return "".join(program.communicate(timeout=2 * LONG))


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """What the command says when it is begun, killed while it trains, and begun again; and where its files lie."""
    root = tmp_path_factory.mktemp("gpu")
    environment = os.environ | {"CLM_ROOT": str(root), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(store.REPOSITORY)}
    with Program(*COMMAND, environment=environment) as program:
        deadline = time.monotonic() + 2 * LONG
        while not list(root.glob("data/runs/*/progress.json")) and time.monotonic() < deadline:
            assert program.poll() is None, output(program)
            time.sleep(0.01)
        program.kill()
        first = output(program)
    with Program(*COMMAND, environment=environment) as again:
        second = output(again)
        assert again.returncode == 0, second
    return root, first, second


def test_each_step_is_done_once_however_often_the_command_is_stopped(rehearsed):
    root, first, second = rehearsed
    steps = json.loads((root / "data/smoke/tables/gpu.json").read_text())["steps"]
    checks = ["agreement, smoke widths=16 model.number_of_layers=2 model.number_of_heads=2", "resumption"]
    assert list(steps) == [*checks, "runs"]
    assert {steps[name]["status"] for name in checks} == {"done"}
    for name in checks:
        assert f"{name}: done (" in first
        assert f"{name}: done before" in second


def test_the_checks_stand_in_a_table(rehearsed):
    checks = pd.read_csv(rehearsed[0] / "data/smoke/tables/gpu_checks.csv")
    assert list(checks) == columns("gpu_checks")
    assert checks["check"].value_counts().to_dict() == {"agreement": 5, "resumption": 1}
    assert checks["passed"].all()


def test_runs_are_done_in_the_order_of_the_grid_and_give_every_table(rehearsed):
    root, _, _ = rehearsed
    tables = root / "data/smoke/tables"
    done = pd.read_csv(tables / "gpu_runs.csv")
    assert done[["width", "seed", "status"]].to_numpy().tolist() == [
        [32, 1, "done"],
        [32, 0, "done"],
    ]
    for name in (*sweep.TABLES, "quantities", "claims", "thresholds"):
        table = store.read_table(tables / f"{name}.csv", "")
        assert list(table) == columns(name)
        if "seed" in table:
            runs = {(32, 1)} if name in BEYOND else {(32, 1), (32, 0)}
            assert set(zip(table["width"], table["seed"], strict=True)) == runs
    assert list(json.loads((tables / "verdict.json").read_text())) == ["gpu_smoke", "sha256"]


def test_the_archive_is_the_tables_and_figures_and_nothing_else(rehearsed, tmp_path):
    root, _, second = rehearsed
    (path,) = root.glob("data/gpu-results-*.tar.gz")
    assert str(path) in second
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert {f.rpartition("/")[0] for f in files} == {"data/smoke/tables", "figures/smoke"}
    assert {"data/smoke/tables/gpu_checks.csv", "figures/smoke/training_w32.svg"} <= files
    assert not any(f.endswith((".safetensors", ".parquet")) for f in files)
    assert len(store.read_table(tmp_path / "data/smoke/tables/training.csv", "")), "its SHA-256 is in the archive"
    facts = store.read_json(tmp_path / "data/smoke/tables/gpu.json", "")
    assert {"card", "cpu", "commit", "versions", "steps"} <= set(facts)


def test_without_a_card_one_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no GPU with CUDA" in said
    assert "--device cpu --profile smoke" in said
    assert gpu.main(["--device", "cpu"]) == 2
    assert "add --profile smoke" in capsys.readouterr().err


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROOT", tmp_path)
    monkeypatch.setattr(store, "DATA", tmp_path / "data")
    monkeypatch.setattr(store, "FIGURES", tmp_path / "figures")
    return gpu.GpuJob("smoke", "cpu")


def test_a_step_is_repeated_where_it_failed_or_the_code_changed(job, monkeypatch):
    calls = []

    def broken():
        calls.append("broken")
        raise RuntimeError("CUDA error: out of memory")

    def status():
        return store.read_json(job.tables / "gpu.json", "")["steps"]["a"]["status"]

    gpu.Ledger(job).do("a", broken)
    assert status() == "failed: RuntimeError: CUDA error: out of memory"
    gpu.Ledger(job).do("a", lambda: calls.append("late"), over=True)
    assert status() == "left for lack of time"
    for _ in range(2):
        gpu.Ledger(job).do("a", lambda: calls.append("well"))
    assert status() == "done"
    monkeypatch.setattr(gpu.fingerprint, "of_code", lambda *_: "other code")
    gpu.Ledger(job).do("a", lambda: calls.append("again"))
    assert calls == ["broken", "well", "again"]


def test_a_failed_check_is_said_and_its_row_replaced_when_it_passes(job):
    ledger, nothing = gpu.Ledger(job), {"runs": pd.DataFrame({"status": ["done"]})}
    gpu._save_checks(job, "agreement", "smoke, width 16", {"loss": 1e-3, "states": 0.0})
    gpu._save_checks(job, "resumption", "smoke, width 16", {"weights, records and history": 0.0})
    with pytest.raises(gpu.GpuError, match=r"agreement, smoke, width 16: loss 0\.001 > 1e-05"):
        gpu._say_what_failed(job, ledger, nothing)
    gpu._save_checks(job, "agreement", "smoke, width 16", {"loss": 1e-7, "states": 0.0})
    gpu._say_what_failed(job, ledger, nothing)
    assert len(store.read_table(job.tables / "gpu_checks.csv", "")) == 3


def test_a_piece_of_the_bench_that_fails_does_not_stop_the_rest(job, monkeypatch):
    monkeypatch.setitem(gpu.BENCHES, "smoke", ("no such piece", "lens"))
    monkeypatch.setenv("CLM_ROOT", str(store.ROOT))
    ledger = gpu.Ledger(job)
    gpu._bench(job, ledger, 1.0)
    assert ledger.steps["bench, no such piece"]["status"].startswith("failed: CalledProcessError")
    assert ledger.steps["bench, lens"]["status"] == "done"
    job.minutes = 0
    ledger.steps.clear()
    gpu._bench(job, ledger, 1.0)
    assert ledger.steps["bench, lens"]["status"] == "left for lack of time"


def test_a_pool_that_cannot_start_is_noted_and_what_was_done_before_is_kept(job, monkeypatch):
    def fails(*_, **__):
        raise pool.EngineError("2 workers cannot start on this machine")

    monkeypatch.setattr(sweep, "run", fails)
    ledger = gpu.Ledger(job)
    made = gpu._train(job, gpu._points(job), ledger)
    assert set(made["runs"]["status"]) == {"not run"}
    with pytest.raises(gpu.GpuError, match=r"runs \(failed: 2 workers cannot start"):
        gpu._say_what_failed(job, ledger, made)


def test_every_piece_of_the_bench_is_measured():
    assert sorted(gpu.BENCHES["paper"]) == sorted(speed.BENCHES)


def test_the_papers_widths_come_in_order_on_complete_schedules(job):
    points = gpu._points(gpu.GpuJob("paper", "cuda"))
    first = [(reading_of(p.run), p.run.model.hidden_dimension, p.run.seed) for p in points[:5]]
    assert first == [("fitted", 768, 0), ("fitted", 768, 1), ("fitted", 768, 2), ("fitted", 2048, 0), ("gpt2", 768, 0)]
    assert {(p.run.model.hidden_dimension, p.run.training.last_epoch) for p in points} == {
        (768, 200),
        (32, 500),
        (256, 200),
        (2048, 200),
    }
    assert {p.run.training.device for p in points} == {"auto"}


def test_an_archive_over_the_limit_is_refused_and_the_largest_files_named(job):
    store.write_bytes(job.tables / "small.csv", b"1")
    store.write_bytes(job.tables / "large.csv", os.urandom(2_000_000))
    with pytest.raises(
        archive.PackingError, match=r"take 2\.0 MB, .* may have 1; .*: data/smoke/tables/large.csv 2\.0"
    ):
        archive.pack("smoke", most=1_000_000)
    assert not list(store.DATA.glob("*.tar.gz"))
    assert archive.pack("smoke").exists()


def test_after_the_time_to_begin_nothing_is_begun_and_after_the_end_nobody_waits():
    tasks = [pool.Task(f"sleep-{n}", f"{n}", time.sleep, (s,)) for n, s in enumerate((0.1, LONG, 0.1))]
    with pool.connect(workers=1) as client:
        now = time.monotonic()
        ended = [o.task.name for o in pool.run(client, tasks, "sleep", pool.Time(now + LONG, now + 10))]
        assert ended == ["0"], "the second does not end, and the third is never begun"
        assert time.monotonic() - now < LONG / 2
    with pool.connect(workers=1) as client:
        now = time.monotonic()
        assert list(pool.run(client, tasks[:1], "sleep", pool.Time(now - 1, now + LONG))) == []
        assert time.monotonic() - now < LONG / 2
