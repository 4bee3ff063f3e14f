"""Many independent tasks at once, on this machine's cores or on a cluster, through Dask distributed.

What is ours is small: how many workers this machine bears, one line of progress, and what a task may do from
inside: report how far it is and notice that it was cancelled. Who runs what, and again after a failure, is Dask's
business. What a task leaves for whoever takes it over when its worker dies is in mirror.py.
"""

import argparse
import contextlib
import logging
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dask
import psutil
import torch
import yaml
from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, as_completed, get_worker
from distributed.client import FutureCancelledError
from distributed.scheduler import NoValidWorkerError, NoWorkerError
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from helpers.device import cores
from helpers.errors import Refused
from helpers.profiles import count

TOPIC = "clm-progress"
PREFIX = "run-"  # of the keys that Dask knows
JOBQUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub", "sge": "qsub"}  # the program that submits a job
SHARE = "CLM_WORKER_CORES"  # in a worker's environment: the cores that are its own
BEFORE_START = "distributed.nanny.pre-spawn-environ"  # Dask's setting: the environment that workers start with
LONGEST_START = 180  # seconds that a worker of a local pool may take to start, at first and after it ended
CLUSTER = Path("cluster.yaml")  # settings for a batch system
MEMORY = 0.85  # of the machine's, that all workers may take
REMEDY = "see that it has memory and space in its temporary folder, or give fewer workers"


class EngineError(Refused):
    """The engine cannot start, or its scheduler or all its workers went away; the message says what to do."""


class Lost(RuntimeError):
    """The scheduler, or every worker, went away."""


class Cancelled(RuntimeError):
    """Raised inside a task that nobody waits for any more."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that say where its tasks run."""
    parser.add_argument(
        "--scheduler", default="", help="tcp://host:port, or slurm, pbs, lsf, sge; default: this machine"
    )
    parser.add_argument("--workers", type=count, help="processes here, or jobs on a cluster (default: as many as fit)")
    parser.add_argument("--per-gpu", type=count, default=1, help="runs at once on a GPU (default: %(default)s)")
    parser.add_argument(
        "--cluster-file",
        type=Path,
        default=CLUSTER,
        help="settings for dask-jobqueue (default: %(default)s)",
    )


def options(given: argparse.Namespace) -> dict:
    """What a command was given by `add_options`, as arguments of `connect`."""
    return {name: getattr(given, name) for name in ("scheduler", "workers", "per_gpu", "cluster_file")}


@dataclass(frozen=True)
class Task:
    """A call that a worker makes: function(*arguments).

    Attributes:
        key: identity; a task with the same key is not run twice at once.
        name: for people.
    """

    key: str
    name: str
    function: Callable
    arguments: tuple = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its value, or why it has none."""

    task: Task
    value: object = None
    error: str = ""


@contextlib.contextmanager
def connect(
    scheduler: str = "",
    workers: int | None = None,
    gigabytes: float = 2.0,
    cluster_file: Path | None = None,
    per_gpu: int = 1,
) -> Iterator[Client]:
    """A Dask client, and a cluster of its own where none is named.

    Args:
        scheduler: empty for a pool on this machine; an address such as tcp://host:8786; or a batch system
            (slurm, pbs, lsf, sge), through dask-jobqueue.
        workers: processes or jobs; by default as many as this machine's cores, memory or GPUs allow.
        gigabytes: memory that one task needs; bounds the pool, so that it never swaps.
        cluster_file: YAML with what dask-jobqueue's cluster takes (queue, cores, memory, walltime, ...).
        per_gpu: tasks at once on a GPU.

    Raises:
        EngineError: the scheduler does not answer, the batch system's settings are missing or wrong, or no worker
            can be started on this machine.
    """
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.startswith("distributed"):  # each has a level of its own; what goes wrong is said here, once
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if scheduler in JOBQUEUES:
            target = stack.enter_context(_jobqueue(scheduler, workers, cluster_file))
        elif scheduler:
            target = scheduler
        else:
            stack.enter_context(dask.config.set(_local_config()))
            target = stack.enter_context(_local(workers, gigabytes, per_gpu))
        try:
            client = stack.enter_context(Client(target, timeout="15s"))
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineError(
                f"no scheduler answers at {scheduler}: start one with `dask scheduler` and name its address, such as "
                f"tcp://host:8786, or a batch system ({', '.join(JOBQUEUES)}), or leave SCHEDULER out to use this "
                f"machine ({type(error).__name__})"
            ) from None
        client.register_plugin(_NothingLeft())
        yield client


class _NothingLeft(WorkerPlugin):
    """A worker that ends kills the processes that joblib started for its analyses, which would stay for minutes."""

    name = "nothing-left"

    def teardown(self, worker) -> None:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _local_config() -> dict:
    """Dask's settings for a pool on this machine, where they are not its defaults.

    By default Dask gives a worker up that is not back 15 seconds after its process ended, and starts no other; tasks
    then wait for ever. Importing torch alone can take as long on a busy machine.
    """
    return {
        "distributed.scheduler.worker-saturation": 1.0,  # no worker holds a task that it has not begun
        "distributed.deploy.lost-worker-timeout": f"{LONGEST_START}s",
        "distributed.scheduler.no-workers-timeout": f"{LONGEST_START}s",  # then every waiting task fails
        # A worker has one task. If it took none while short of memory, it might never take one again; above its limit
        # it is ended, and started afresh.
        "distributed.worker.memory.pause": False,
        "distributed.worker.daemon": False,  # it may have processes of its own, that share out a run's analysis
    }


@contextlib.contextmanager
def _local(workers: int | None, gigabytes: float, per_gpu: int) -> Iterator[LocalCluster]:
    count = workers or pool_size(gigabytes, per_gpu)
    try:
        cluster = _start(count)
    except (RuntimeError, OSError, AssertionError) as error:  # the last where a worker hangs while it starts
        raise EngineError(
            f"{count} workers cannot start on this machine within {LONGEST_START} s ({error}); {REMEDY}"
        ) from None
    try:
        yield cluster
    finally:
        with contextlib.suppress(AssertionError):  # as above
            cluster.close()


def _environment(count: int) -> dict[str, str]:
    """What each of so many workers finds in its environment before it imports anything: torch reads some of it then."""
    threads = str(max(1, cores() // count))
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
        "TQDM_DISABLE": "1",  # one line for all, and not one a task
        SHARE: threads,
        "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",  # of what it removes for a worker that ended
    }


def _start(count: int) -> LocalCluster:
    environment = _environment(count)
    with _interrupts_ignored(), dask.config.set({BEFORE_START: dask.config.get(BEFORE_START) | environment}):
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=int(MEMORY * psutil.virtual_memory().total / count),
            death_timeout=LONGEST_START,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
            env=environment,  # for what a worker starts; over what this process has there
        )


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, which a terminal sends them too: the client ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def pool_size(gigabytes: float, per_gpu: int = 1) -> int:
    """Tasks that this machine can run at once: one a core, or some a GPU, as far as memory goes."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = gpus * per_gpu or cores()
    return max(1, min(wanted, int(MEMORY * psutil.virtual_memory().total / 2**30 / gigabytes)))


def _jobqueue(system: str, workers: int | None, cluster_file: Path | None):
    before = signal.getsignal(signal.SIGINT)
    import dask_jobqueue  # which takes Ctrl-C away from Python

    with contextlib.suppress(ValueError):  # not the main thread: nothing was taken
        signal.signal(signal.SIGINT, before)
    if shutil.which(SUBMIT[system]) is None:
        raise EngineError(
            f"SCHEDULER={system} submits jobs with {SUBMIT[system]}, which is not on this machine: give the command on "
            "a login node, or leave SCHEDULER out to use this machine"
        )
    path = cluster_file or CLUSTER
    if not path.exists():
        raise EngineError(
            f"SCHEDULER={system} reads {path}, which does not exist; write there what dask-jobqueue's "
            f"{JOBQUEUES[system]} takes, for example:\nqueue: gpu\ncores: 1\nmemory: 16GB\nwalltime: '04:00:00'"
        )
    try:
        options = yaml.safe_load(path.read_text()) or {}
        cluster = getattr(dask_jobqueue, JOBQUEUES[system])(**{"processes": 1, **options})
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise EngineError(f"{path}: {error}") from None
    cluster.scale(jobs=workers or 4)
    return cluster


@dataclass(frozen=True)
class Time:
    """How long tasks may take, in seconds of time.monotonic().

    Attributes:
        begin: after it no task is begun.
        end: after it nobody waits for those that were.
    """

    begin: float
    end: float


def run(client: Client, tasks: list[Task], label: str, until: Time | None = None) -> Iterator[Outcome]:
    """Outcomes of tasks in the order in which they end, behind one line of progress.

    A task whose worker dies is begun again by Dask on another one, a few times. One that raises does not stop the
    others. Leaving the loop early cancels what has not ended.

    Args:
        until: none: all tasks are brought to their end. What has not ended in time has no outcome.

    Raises:
        EngineError: the scheduler went away, or the pool has no worker left and none came back within LONGEST_START
            seconds; what had ended was yielded before.
    """
    # Each task has a lower priority than the one before it, and all keys share a prefix: Dask keeps tasks of one group
    # in the scheduler's queue, where it would assign others to workers at once, out of order.
    waiting, futures = deque(enumerate(tasks)), {}
    ended = as_completed(timeout=until and max(0.0, until.end - time.monotonic()))

    def begin() -> None:
        if waiting and (until is None or time.monotonic() < until.begin):
            n, t = waiting.popleft()
            future = client.submit(t.function, *t.arguments, key=PREFIX + t.key, pure=False, priority=-n)
            futures[future] = t
            ended.add(future)

    line = _Line(tasks, label)
    client.subscribe_topic(TOPIC, line.event)
    try:
        for _ in range(len(tasks) if until is None else workers(client)):  # no more than begin at once
            begin()
        for future in ended:
            begin()
            try:
                outcome = _outcome(futures[future], future)
            except Lost as lost:
                raise EngineError(
                    f"{lost} with {len(tasks) - line.ended} of {len(tasks)} tasks left; "
                    "what ended is kept, and the same command goes on from there"
                ) from None
            line.end(outcome)
            yield outcome
    except TimeoutError:
        tqdm.write(f"{label}: time is over; {len(tasks) - line.ended} of {len(tasks)} are left")
    finally:
        line.close()
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.unsubscribe_topic(TOPIC)
            client.cancel([f for f in futures if not f.done()])


def workers(client: Client) -> int:
    """How many workers a client's scheduler has now."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _outcome(task: Task, future) -> Outcome:
    """Raises Lost if the scheduler or every worker is gone."""
    try:
        return Outcome(task, future.result())
    except FutureCancelledError:
        raise Lost("the scheduler went away") from None
    except (NoWorkerError, NoValidWorkerError):
        raise Lost(f"every worker ended, and none came back in {LONGEST_START} s ({REMEDY})") from None
    except KilledWorker:
        return Outcome(task, error="its worker died each time (killed, or out of memory)")
    except Exception as error:
        return Outcome(task, error=f"{type(error).__name__}: {error}")


class _Line:
    """One line: tasks done, failed, running, and the time left by the share of the work that is done."""

    def __init__(self, tasks: list[Task], label: str) -> None:
        self.done = self.failed = 0
        self.shares: dict[str, float] = {t.key: 0.0 for t in tasks}
        self.label = label
        form = "{desc} |{bar:20}| {percentage:.0f}%, {elapsed} elapsed, {remaining} left"
        self.bar = tqdm(total=len(tasks), bar_format=form)
        self._show()

    @property
    def ended(self) -> int:
        return self.done + self.failed

    def event(self, event) -> None:
        """A task says how far it is: (time, {"key": ..., "share": 0 to 1})."""
        key, share = event[1]["key"], event[1]["share"]
        if self.shares.get(key, 1.0) < 1:
            self.shares[key] = min(share, 0.99)
            self._show()

    def end(self, outcome: Outcome) -> None:
        self.shares[outcome.task.key] = 1.0
        self.failed += bool(outcome.error)
        self.done += not outcome.error
        if outcome.error:
            tqdm.write(f"failed: {outcome.task.name}: {outcome.error}")
        self._show()

    def _show(self) -> None:
        self.bar.n = round(sum(self.shares.values()), 3)
        running = sum(0 < s < 1 for s in self.shares.values())
        self.bar.set_description_str(f"{self.label}: {self.done} done, {self.failed} failed, {running} running")

    def close(self) -> None:
        self.bar.close()


def report(share: float) -> None:
    """From inside a task: say that this share of it (0 to 1) is done; raises Cancelled if nobody waits for it."""
    with contextlib.suppress(ValueError):  # no worker: called directly
        worker = get_worker()
        key = worker.get_current_task()
        worker.log_event(TOPIC, {"key": key.removeprefix(PREFIX), "share": share})
        state = worker.state.tasks.get(key)
        if state is not None and state.state == "cancelled":
            raise Cancelled(f"{key} was cancelled")


def own_cores() -> int:
    """Cores that a worker has to itself: those of this machine, shared out over a pool's; one on a cluster."""
    return int(os.environ.get(SHARE, 1))


def task_key() -> str:
    """From inside a task: its key."""
    return get_worker().get_current_task().removeprefix(PREFIX)


def worker_number() -> int:
    """A number that tells apart the workers of a pool on one machine."""
    try:
        name = get_worker().name
    except ValueError:
        return 0
    return name if isinstance(name, int) else abs(hash(name))
