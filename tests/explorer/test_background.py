import asyncio
import threading
import time

import pytest

from helpers import store
from helpers.explorer.background import Background

MAIN = threading.get_ident()


@pytest.fixture
def said():
    return []


@pytest.fixture
def background(said):
    return Background(threading.RLock(), said.append)


def test_results_come_in_the_order_of_asking_and_only_to_who_waits(background):
    found = []
    for n in range(5):
        background.run(n, lambda n=n: (n, threading.get_ident()), found.append)
    assert not found  # no loop runs here: nothing happens behind the caller's back
    background.wait()
    assert [n for n, _ in found] == list(range(5))
    assert MAIN not in {thread for _, thread in found}


def test_of_a_topic_only_the_newest_counts(background):
    found, holding, worked = [], threading.Event(), []
    background.run("held", holding.wait, lambda _: None)
    for n in range(3):
        background.run("topic", lambda n=n: worked.append(n) or n, found.append)
    background.run("other", lambda: "other", found.append)
    background.run("dropped", lambda: "dropped", found.append)
    assert background.has("dropped")
    background.drop("dropped")
    assert not background.has("dropped")
    holding.set()
    background.wait()
    assert worked == [2]
    assert found == [2, "other"]


def test_waiting_covers_what_results_ask_for_in_turn(background):
    found = []
    background.run(1, lambda: 1, lambda _: background.run(2, lambda: 2, found.append))
    background.wait()
    assert found == [2]


def test_an_error_is_said_and_the_next_result_comes(background, said, caplog):
    def fail(error):
        raise error

    found = []
    background.run(1, lambda: fail(store.ArtefactError("a file is missing")), found.append)
    background.run(2, lambda: fail(KeyError("oops")), found.append)
    background.run(3, lambda: 3, lambda _: fail(ValueError("no such k")))
    background.run(4, lambda: 4, found.append)
    background.wait()
    assert said == ["a file is missing", "KeyError: 'oops'", "no such k"]
    assert "oops" in caplog.text  # with its traceback, for whoever has to mend it
    assert found == [4]
    assert not background.has(1)


def test_what_work_tells_on_the_way_is_said_by_the_thread_that_waits(background):
    told = []

    def work():
        for n in range(3):
            background.tell(lambda n=n: told.append((n, threading.get_ident())))

    background.run("topic", work, told.append)
    background.wait()
    assert told == [(0, MAIN), (1, MAIN), (2, MAIN), None]


def test_a_loop_that_runs_gets_results_without_waiting(said):
    async def cell():
        background, done, found = Background(threading.RLock(), said.append), asyncio.Event(), []
        background.run(1, lambda: 1, lambda n: (found.append((n, threading.get_ident())), done.set()))
        await asyncio.wait_for(done.wait(), 60)
        background.run(2, lambda: 2, lambda n: found.append((n, threading.get_ident())))
        background.wait()  # as a cell does, which holds up the loop
        return found

    assert asyncio.run(cell()) == [(1, MAIN), (2, MAIN)]


def test_a_result_of_a_page_that_was_closed_comes_on_the_loop_of_the_cells(said):
    async def cells():
        background, done, holding = Background(threading.RLock(), said.append), asyncio.Event(), threading.Event()

        async def page():
            background.run(1, holding.wait, lambda _: done.set())

        closed = threading.Thread(target=lambda: asyncio.run(page()))
        closed.start()
        await asyncio.to_thread(closed.join)
        holding.set()
        await asyncio.wait_for(done.wait(), 60)

    asyncio.run(cells())


def test_two_threads_may_wait(background):
    found, holding = [], threading.Event()
    background.run(1, holding.wait, lambda _: (time.sleep(0.05), found.append(1)))
    seen = []
    waiting = [threading.Thread(target=lambda: (background.wait(), seen.append(list(found)))) for _ in range(2)]
    for thread in waiting:
        thread.start()
    holding.set()
    for thread in waiting:
        thread.join(10)
    assert seen == [[1], [1]]
