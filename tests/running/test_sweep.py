"""Sweeps for real: a pool on this machine, and a scheduler with workers that share no folder, one of them killed."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import artefacts
import pandas as pd
import pool_tasks
import psutil
import pytest
from pool_tasks import LONG, wait_for
from programs import Program

from helpers import store
from helpers.device import cores
from helpers.running import grid_files, pool, readings, sweep, verdict_grids

# Epochs of half a second: long enough to be killed in.
COMMON = (
    "model.number_of_heads=2 model.number_of_layers=2 training.log_every=4 training.number_of_epochs=8 "
    "training.stop_epoch=none clustering.spaces=raw clustering.beyond_the_paper=false epochs_by_width={}"
)
TABLES = {"training", "clustering", "variance", "hard", "course", "neighbours"}  # of the paper; test_gpu.py has all
GRID = {"width": [16, 24], "seed": [0]}
REPOSITORY = store.REPOSITORY


def grid_file(folder: Path, **content) -> Path:
    path = folder / "grid.yaml"
    path.write_text(json.dumps({"profile": "smoke", "set": COMMON, **content}))  # JSON is YAML
    return path


def environment(root: Path, **more) -> dict:
    return os.environ | {"CLM_ROOT": str(root), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)} | more


@contextlib.contextmanager
def cluster(folder: Path, roots: list[Path]):
    """A scheduler, and workers on addresses of their own, each with a root of its own."""
    file = folder / "scheduler.json"
    with contextlib.ExitStack() as stack:
        scheduler = stack.enter_context(
            Program("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                    "--scheduler-file", file)
        )  # fmt: skip
        address = wait_for(lambda: address_in(file), "the scheduler to start")
        workers = [
            stack.enter_context(
                Program("distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", "1", "--no-nanny",
                        "--no-dashboard", "--host", f"127.0.0.{2 + i}", "--local-directory", root / "dask",
                        environment=environment(root))
            )
            for i, root in enumerate(roots)
        ]  # fmt: skip
        yield address, scheduler, workers


def address_in(file: Path) -> str | None:
    """Where a scheduler is to be found, once its file is whole."""
    with contextlib.suppress(ValueError, OSError):
        return json.loads(file.read_text())["address"]
    return None


def without_time(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[c for c in ("seconds", "computed", "commit", "error", "variant") if c in table])


@pytest.fixture(scope="module")
def wanted():
    return grid_files.points("smoke", COMMON, GRID)


@pytest.fixture(scope="module")
def undisturbed(wanted, tmp_path_factory):
    """The tables of the grid, made by a pool on this machine; where its artefacts lie; tables with a run that fails."""
    fails = grid_files.points("smoke", COMMON, {"width": [16]}, [{"training.learning_rate": 1e30, "seed": 5}])
    root = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "DATA", root / "data")
        patch.setenv("CLM_ROOT", str(root))  # for the workers
        made = sweep.run([*fails, *wanted], workers=2)
        return sweep.tables(wanted), root / "data", made


def test_a_sweep_is_one_table_over_its_runs(undisturbed, wanted):
    tables = undisturbed[0]
    assert tables["runs"]["status"].tolist() == ["done"] * 2
    assert tables["runs"][["width", "seed"]].to_numpy().tolist() == [[16, 0], [24, 0]]
    assert set(tables) == {"runs", *TABLES}
    for name in TABLES:
        assert set(tables[name]["run"]) == {p.key for p in wanted}
    assert (tables["training"].groupby("run").size() == 9).all()


def test_what_exists_is_not_run_again_and_sweeps_share_it(undisturbed, monkeypatch):
    tables, data, _ = undisturbed
    monkeypatch.setattr(store, "DATA", data)
    monkeypatch.setattr(pool, "connect", None)  # nothing may be started
    others = grid_files.points("smoke", COMMON, {"seed": [0]}, [{"width": 24}])
    again = sweep.run(others)
    expected = tables["clustering"][tables["clustering"]["run"] == others[0].key]
    pd.testing.assert_frame_equal(again["clustering"], expected.reset_index(drop=True))


def test_a_flipped_bit_in_a_result_is_found(undisturbed, wanted, monkeypatch):
    data = undisturbed[1]
    monkeypatch.setattr(store, "DATA", data)
    rng, silent = random.Random(0), []
    paths = sorted(wanted[0].folder.glob("[!.]*"))  # what is hidden is empty
    assert {path.suffix for path in paths} == {".csv", ".json", ""}
    for path in paths:
        silent += artefacts.flip(rng, path, lambda path: sweep.tables(wanted))
    assert not silent
    assert set(sweep.tables(wanted)["runs"]["status"]) == {"done"}, "all is as it was"


def test_variants_that_no_reading_tells_apart_stand_in_one_table(undisturbed, monkeypatch):
    tables, data, _ = undisturbed
    monkeypatch.setattr(store, "DATA", data)
    variants = [{"model.dropout": rate} for rate in (0.1, 0.2)]
    wanted = grid_files.points("smoke", COMMON, {"width": [16], "seed": [0]}, variants)
    done = tables["runs"]["run"][0]
    for point in wanted:  # what training them would leave: their rows are told apart by the run alone
        if point.key != done:
            shutil.copytree(point.folder.with_name(done), point.folder)
    both = sweep.tables(wanted)["clustering"]
    assert (both.groupby("run").size() == (tables["clustering"]["run"] == done).sum()).tolist() == [True, True]


def test_a_run_has_another_name_with_another_setting_and_the_same_with_another_order_of_the_grid(wanted):
    keys = {p.key for p in wanted}
    assert len(keys) == 2
    assert {p.key for p in grid_files.points("smoke", COMMON, dict(reversed(GRID.items())))} == keys
    assert not keys & {p.key for p in grid_files.points("smoke", COMMON + " training.weight_decay=0", GRID)}
    assert not keys & {p.key for p in grid_files.points("smoke", COMMON + " clustering.n_init=4", GRID)}


def test_a_killed_worker_without_a_shared_folder_loses_an_epoch_at_most(undisturbed, tmp_path, monkeypatch):
    """Scheduler and two workers on separate addresses with separate folders; one is killed within a run."""
    expected = undisturbed[0]
    roots = [tmp_path / "a", tmp_path / "b"]
    here = tmp_path / "here"
    file = grid_file(tmp_path, grid=GRID)
    with cluster(tmp_path, roots) as (address, _, workers):
        command = ("helpers.running.sweep", file, "--scheduler", address)
        with Program(*command, environment=environment(here)) as client:
            path = wait_for(lambda: begun(roots[0], 3), "a run of the first worker to reach epoch 3")
            os.kill(workers[0].pid, signal.SIGKILL)
            left = json.loads(path.read_text())
            output, errors = client.communicate(LONG)
            assert client.returncode == 0, output + errors
        assert "2 runs on 2 workers" in output
    tables = {name: pd.read_csv(here / "data" / "sweeps" / "grid" / f"{name}.csv") for name in expected}
    for name, table in expected.items():
        pd.testing.assert_frame_equal(without_time(tables[name]), without_time(table), check_dtype=False)
    mine = here / "data" / "runs" / path.parent.name / "progress.json"  # sent back through the engine
    kept = [r["seconds"] for r in json.loads(mine.read_text())["history"]]
    before = [r["seconds"] for r in left["history"]]
    same = sum(a == b for a, b in zip(kept, before, strict=False))
    assert same >= left["epoch"], "the epochs before the last were not trained again"
    assert json.loads(mine.read_text())["epoch"] == 8


def begun(root: Path, epoch: int) -> Path | None:
    """progress.json of a run that has come so far; raises AssertionError where it is near its end already."""
    for path in root.glob("data/runs/*/progress.json"):
        with contextlib.suppress(ValueError, OSError):
            reached = json.loads(path.read_text())["epoch"]
            assert reached < 7, "the run went on too fast to be stopped within"
            if reached >= epoch:
                return path
    return None


def test_a_scheduler_that_goes_away_is_one_clear_error_and_the_sweep_goes_on_later(tmp_path):
    file = grid_file(tmp_path, grid={"width": [16], "seed": [2]})
    root = tmp_path / "shared"  # this time client and workers share it
    with cluster(tmp_path, [root]) as (address, scheduler, _):
        command = ("helpers.running.sweep", file, "--scheduler", address)
        with Program(*command, environment=environment(root)) as client:
            wait_for(lambda: begun(root, 2), "the run to reach epoch 2")
            scheduler.kill()
            errors = client.communicate(LONG)[1]
            assert client.returncode == 2, errors
    assert "the scheduler went away with 1 of 1 tasks left" in errors
    assert "Traceback" not in errors
    before = json.loads(next(root.glob("data/runs/*/progress.json")).read_text())
    with Program("helpers.running.sweep", file, "--workers", 1, environment=environment(root)) as again:
        assert again.wait(LONG) == 0, again.communicate()
    after = json.loads(next(root.glob("data/runs/*/progress.json")).read_text())
    assert [r["seconds"] for r in after["history"]][: before["epoch"] + 1] == [r["seconds"] for r in before["history"]]


def test_a_run_that_fails_is_recorded_and_the_others_are_done(undisturbed):
    tables = undisturbed[2]
    assert tables["runs"]["status"].tolist() == ["failed", "done", "done"]
    assert "the loss diverged" in tables["runs"]["error"][0]
    assert set(tables["training"]["seed"]) == {0}


def test_a_worker_with_other_code_refuses(wanted):
    sections = [getattr(wanted[0].settings, name) for name in grid_files.ANALYSIS]
    with pytest.raises(sweep.WorkerError, match="has other code"):
        sweep.train_and_analyse(wanted[0].run, *sections, "another", "token")


def test_ctrl_c_stops_cleanly(tmp_path):
    file = grid_file(tmp_path, grid={"width": [16], "seed": [3, 4]})
    with Program("helpers.running.sweep", file, "--workers", 2, environment=environment(tmp_path)) as client:
        wait_for(lambda: begun(tmp_path, 1), "a run to begin")
        os.killpg(client.pid, signal.SIGINT)  # as a terminal does
        errors = client.communicate(LONG)[1]
        assert client.returncode == 130, errors
        assert "the same command goes on" in errors
        assert "Traceback" not in errors
        wait_for(lambda: not alive(client.pid), "its workers to end", 20)


def orphans(root: Path) -> list[str]:
    """Command lines of processes that a sweep in this root started and that outlive the one that started them."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.ppid() == 1 and one.environ().get("CLM_ROOT") == str(root):
                found.append(" ".join(one.cmdline()))
    return found


def alive(session: int) -> list[str]:
    found = subprocess.run(["pgrep", "-g", str(session)], capture_output=True, text=True).stdout
    return found.split()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("grid: {width: 32}", "grid: width must be a list"),
        ("grid: {widht: [32]}", "did you mean"),
        ("grid: {width: [16, 24]}\nvariants: [{model.hidden_dimension: 32}]", "one setting is given twice"),
        ("grid: {width: [16], widths: [24]}", "width and widths: one setting is given twice"),
        ("grid: {seed: [0]}\nvariants: [{seed: 1}]", "seed: one setting is given twice"),
        ("grid: {reading: [[gpt2, fitted]]}", "unknown reading"),
        ("widths: [32]", "must be a mapping with profile, set, grid and variants"),
        ("grid: [", "is not YAML"),
        ("variants: [3]", "list of mappings"),
        ("grid: {training.learning_rate: [-1]}", "training.learning_rate"),
        ("grid: [width, 32]", "grid must be a mapping"),
        ("grid: width", "grid must be a mapping"),
        ("profile: 3", "profile: 3 is no word"),
        ("profile: [smoke]", "is no word"),
        ("set: {seed: 3}", "is no word"),
        ("variants: 3", "list of mappings"),
        ("grid: {probe.revisions: [2024-01-01]}", "put it in quotes"),
        ("grid: {seed: [[2024-01-01]]}", "put them in quotes"),
        ("grid: {seed: [2024-13-45]}", "bad.yaml"),
        ("grid: {seed: [1], width: [32], seed: [2]}", "'seed' is given twice"),
        ("profile: smoke\nprofile: laptop", "'profile' is given twice"),
        ("grid: {seed: [1]}\n# é".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_with_its_file(content, message, tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert sweep.main([str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "bad.yaml" in error


def test_a_key_that_is_merged_may_be_given_again(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_text(f"set: {COMMON}\nprofile: smoke\nvariants:\n- &a {{width: 16, seed: 0}}\n- {{<<: *a, seed: 1}}\n")
    assert [(p.run.model.hidden_dimension, p.run.seed) for p in grid_files.read_grid(path)] == [(16, 0), (16, 1)]


@pytest.mark.parametrize("command", [sweep.main, readings.main, verdict_grids.main])
@pytest.mark.parametrize("arguments", [["--workers", "-2"], ["--workers", "0"], ["--per-gpu", "-1"]])
def test_numbers_of_workers_start_at_one(command, arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        command([*(["grid.yaml"] if command == sweep.main else []), *arguments])
    assert stopped.value.code == 2
    assert "not a number from 1 on" in capsys.readouterr().err


GRIDS = [p for p in sorted(store.NATURAL.parent.glob("grids/*.yaml")) if not p.stem.startswith("readings_")]


@pytest.mark.parametrize("path", GRIDS, ids=lambda p: p.stem)
def test_committed_grids_can_be_read(path):
    wanted = grid_files.read_grid(path)
    assert len(wanted) >= {"outputs": 4, "gpu_smoke": 2}.get(path.stem, 10)
    assert len({p.key for p in wanted}) == len(wanted)


def test_no_scheduler_and_no_grid_are_said_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pool.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert sweep.main([str(tmp_path / "none.yaml")]) == 2
    assert "does not exist" in capsys.readouterr().err
    with (
        pytest.raises(pool.EngineError, match="does not exist"),
        pool.connect("slurm", cluster_file=tmp_path / "c.yaml"),
    ):
        pass


@pytest.mark.filterwarnings("ignore:unclosed cluster", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_batch_systems_settings_are_passed_on(tmp_path, monkeypatch):
    """The job that Slurm would get; Slurm itself is not needed to write it."""
    path = tmp_path / "cluster.yaml"
    path.write_text("queue: gpu\ncores: 1\nmemory: 4GB\nwalltime: '01:00:00'\nlocal_directory: /tmp")
    monkeypatch.setattr(pool.shutil, "which", lambda name: None)
    with pytest.raises(pool.EngineError, match="submits jobs with sbatch, which is not on this machine"):
        pool._jobqueue("slurm", 2, path)
    monkeypatch.setattr(pool.shutil, "which", lambda name: f"/usr/bin/{name}")
    before = signal.getsignal(signal.SIGINT)
    from dask_jobqueue import SLURMCluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SLURMCluster, "scale", lambda self, jobs: None)
        with pool._jobqueue("slurm", 2, path) as made:
            script = made.job_script()
    assert "#SBATCH -p gpu" in script
    assert "--nthreads 1" in script
    path.write_text("colour: blue\ncores: 1\nmemory: 1GB")
    for wrong in (path, tmp_path):
        with pytest.raises(pool.EngineError, match=str(wrong)):
            pool._jobqueue("slurm", 2, wrong)
    assert signal.getsignal(signal.SIGINT) == before, "Ctrl-C stays Python's"


def test_tasks_begin_in_the_order_of_the_list(tmp_path):
    """One worker, so that the order in which tasks begin is the order in which they end."""
    path = tmp_path / "order.txt"
    tasks = [pool.Task(f"{hash(str(n)):016x}", str(n), pool_tasks.note, (str(path), n)) for n in range(14)]
    with pool.connect(workers=1) as client:
        ended = [outcome.value for outcome in pool.run(client, tasks, "order")]
    assert sorted(ended) == list(range(14))
    assert path.read_text().split() == [str(n) for n in range(14)]


def test_a_worker_has_its_threads_and_draws_no_bars_of_its_own():
    """They must be known before torch is loaded, which is when a worker imports what a task needs."""
    task = pool.Task("e" * 16, "tells", pool_tasks.threads)
    with pool.connect(workers=1) as client:
        (outcome,) = pool.run(client, [task], "tells")
    assert outcome.value == (cores(), cores(), "1")


def test_what_a_task_has_started_ends_with_its_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("CLM_ROOT", str(tmp_path))
    task = pool.Task("f" * 16, "shares out", pool_tasks.share_out)
    with pool.connect(workers=1) as client:
        (outcome,) = pool.run(client, [task], "shares")
        assert all(psutil.pid_exists(pid) for pid in outcome.value), "they would stay"
    wait_for(lambda: not orphans(tmp_path), "the processes that the task started to end", 20)


def _kill_the_first(path: Path) -> threading.Thread:
    """Kill the worker that a first call of `wait_at_first` ran on, in the middle of that call."""

    def kill():
        os.kill(int(wait_for(lambda: path.exists() and path.read_text().split(), "a task to begin")[0]), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def _tasks(path: Path, count: int) -> list[pool.Task]:
    return [pool.Task(f"{n:016x}", str(n), pool_tasks.wait_at_first, (str(path), 600.0)) for n in range(count)]


def test_a_pool_whose_only_worker_is_killed_in_a_task_starts_another_that_runs_it_again(tmp_path):
    path = tmp_path / "workers.txt"
    with pool.connect(workers=1) as client:
        killer = _kill_the_first(path)
        outcomes = list(pool.run(client, _tasks(path, 3), "killed"))
    killer.join()
    first, second = dict.fromkeys(map(int, path.read_text().split()))
    assert [(o.task.name, o.value, o.error) for o in outcomes] == [(str(n), second, "") for n in range(3)]
    assert first != second


def break_python(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """From now on no worker process starts: each ends at once with status 1."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif any('spawn_main' in word for word in sys.orig_argv):\n    os._exit(1)\n"
    )
    patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_a_pool_whose_workers_end_and_cannot_start_again_stops_with_an_error_and_keeps_what_ended(
    tmp_path, monkeypatch
):
    path = tmp_path / "workers.txt"
    monkeypatch.setattr(pool, "_local_config", lambda before=pool._local_config: before() | {
        "distributed.scheduler.no-workers-timeout": "3s", "distributed.deploy.lost-worker-timeout": "3s"
    })  # fmt: skip
    with pool.connect(workers=1) as client:
        path.write_text("0\n")  # so that no call waits
        ended = [o.error for o in pool.run(client, _tasks(path, 1), "before")]
        path.unlink()
        break_python(tmp_path / "broken", monkeypatch)
        killer = _kill_the_first(path)
        start = time.monotonic()
        with pytest.raises(pool.EngineError, match=r"every worker ended, and none came back in .* 3 of 3 tasks left"):
            list(pool.run(client, _tasks(path, 4)[1:], "none left"))
        assert time.monotonic() - start < 30
    killer.join()
    assert ended == [""]


def test_a_pool_that_cannot_start_a_worker_says_so(tmp_path, monkeypatch):
    break_python(tmp_path / "broken", monkeypatch)
    with pytest.raises(pool.EngineError, match="1 workers cannot start on this machine"), pool.connect(workers=1):
        pass


def test_the_pool_is_bounded_by_memory():
    assert pool.pool_size(10_000) == 1
    assert 1 <= pool.pool_size(0.01) <= os.cpu_count()
