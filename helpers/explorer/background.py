"""Work beside the kernel: KMeans and t-SNE in one thread, results handed back on the event loop that asked for them.

The thread touches no widget. Where no loop runs (a script, a test), or the loop is busy with a cell that waits, `wait`
hands over what is ready, in the order in which it was asked for.
"""

import asyncio
import functools
import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from helpers.explorer.callback_lock import EXPECTED, running_loop


@dataclass(eq=False)
class _Job:
    topic: Hashable
    then: Callable[[object], None]
    loop: asyncio.AbstractEventLoop | None
    future: Future | None = None


class Background:
    """One thread for slow work. Of the jobs of one topic only the newest counts.

    Args:
        lock: held while a result is handed over.
        wrong: told the message of an error that a job raised.
    """

    def __init__(self, lock: threading.RLock, wrong: Callable[[str], None]) -> None:
        self._lock, self._wrong, self._home = lock, wrong, running_loop()
        self._pool = ThreadPoolExecutor(1, "explorer")
        self._jobs: deque[_Job] = deque()  # not handed over yet, in the order of asking
        self._newest: dict[Hashable, _Job] = {}
        self._notes: deque[tuple[_Job, Callable[[], None]]] = deque()  # what jobs say on the way
        self._working: _Job | None = None
        self._news = threading.Condition()  # guards the four above; never held while a widget changes

    def run(self, topic: Hashable, work: Callable[[], object], then: Callable[[object], None]) -> None:
        """Do `work` in the thread, then call `then` with its result on the loop that runs now.

        Args:
            topic: earlier jobs of the same topic are skipped, or their results dropped.
            work: touches no widget.
            then: called with the lock held, one result at a time.
        """
        with self._news:
            job = self._newest[topic] = _Job(topic, then, running_loop())
            self._jobs.append(job)
            job.future = self._pool.submit(self._work, job, work)
            job.future.add_done_callback(lambda _: self._wake(job.loop))

    def has(self, topic: Hashable) -> bool:
        """Whether a result of this topic is still to come."""
        return topic in self._newest

    def drop(self, topic: Hashable) -> None:
        """Drop the results of this topic that are still to come."""
        with self._news:
            self._newest.pop(topic, None)

    def tell(self, action: Callable[[], None]) -> None:
        """Called by work on the way: do `action`, which may touch widgets, on the loop that asked."""
        with self._news:
            job = self._working
            self._notes.append((job, action))
        self._wake(job.loop)

    def wait(self) -> None:
        """Return when everything asked for has been handed over, also what results asked for in turn."""
        while True:
            with self._lock:  # nobody else is halfway through handing over
                self._deliver()
                if not self._jobs:
                    return
            with self._news:
                self._news.wait_for(lambda: not self._jobs or self._ready())

    def _ready(self) -> bool:
        return bool(self._notes) or bool(self._jobs and self._jobs[0].future.done())

    def _work(self, job: _Job, work: Callable[[], object]) -> object:
        with self._news:
            if self._newest.get(job.topic) is not job:
                return None
            self._working = job
        return work()

    def _wake(self, loop: asyncio.AbstractEventLoop | None) -> None:
        with self._news:
            self._news.notify_all()
        for one in (loop, self._home):  # a page that was closed takes its loop with it
            if one is not None:
                try:
                    one.call_soon_threadsafe(self._deliver)
                    return
                except RuntimeError:
                    continue

    def _deliver(self) -> None:
        with self._lock:
            while True:
                with self._news:
                    if not self._ready():
                        return
                    if self._notes:
                        job, action = self._notes.popleft()
                    else:
                        job = self._jobs.popleft()
                        action = functools.partial(self._finish, job)
                    counts = self._newest.get(job.topic) is job
                    self._news.notify_all()
                if counts:
                    action()

    def _finish(self, job: _Job) -> None:
        """Hand over a result, or say what went wrong; either way the next one can come."""
        self.drop(job.topic)
        try:
            job.then(job.future.result())
        except EXPECTED as error:
            self._wrong(str(error))
        except Exception as error:
            logging.getLogger(__name__).exception("a computation beside the explorer failed")
            self._wrong(f"{type(error).__name__}: {error}")
