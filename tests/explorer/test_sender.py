import asyncio
import threading

import pytest

from helpers.explorer import sender as module
from helpers.explorer.sender import Sender


class Fake:
    """A plot that counts what it sends."""

    def __init__(self, pause: int = 60) -> None:
        self.pending, self.sent, self.pause = True, 0, pause

    def send(self) -> int:
        self.pending, self.sent = False, self.sent + 1
        return self.pause


@pytest.fixture
def plots():
    return [Fake(), Fake(430)]


@pytest.fixture
def sender(plots):
    return Sender(threading.RLock(), lambda: plots, lambda: False)


def drawn(sender):
    sender.pacer.drawn = sender.pacer.sent


def test_what_changes_while_the_browser_draws_is_sent_once_it_has_drawn(sender, plots):
    sender.send()
    assert [p.sent for p in plots] == [1, 1]
    assert sender.pacer.pause == 430  # the slower one's
    assert not sender.idle
    for _ in range(3):
        plots[0].pending = True
        sender.send()
    assert plots[0].sent == 1
    drawn(sender)
    assert [p.sent for p in plots] == [2, 1]
    assert sender.pacer.pause == 60
    drawn(sender)
    assert sender.idle
    assert plots[0].sent == 2


def test_an_answer_to_an_earlier_message_is_not_one_to_the_last(sender, plots):
    sender.send()
    sender.expect(500)
    plots[0].pending = True
    sender.pacer.drawn = sender.pacer.sent - 1
    assert plots[0].sent == 1
    drawn(sender)
    assert plots[0].sent == 2


def test_changes_made_together_are_sent_together_and_also_after_an_error(sender, plots):
    with sender.together():
        with sender.together():
            sender.send()
        assert plots[0].sent == 0
    assert plots[0].sent == 1
    drawn(sender)
    plots[0].pending = True
    with pytest.raises(ValueError, match="oops"), sender.together():
        raise ValueError("oops")
    assert plots[0].sent == 2


def test_other_plots_are_put_on_the_page_first(plots):
    arranged = [True, False]
    sender = Sender(threading.RLock(), lambda: plots, lambda: arranged.pop(0))
    sender.send()
    assert sender.pacer.pause == module.MAKING
    assert sender.pacer.plots == 2
    assert plots[0].sent == 0


def test_a_browser_that_does_not_answer_is_sent_to_anyway(plots, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def cell():
        sender = Sender(threading.RLock(), lambda: plots, lambda: False)
        sender.send()
        sender.expect(60, patience=0.05)
        alarms, loop = [], asyncio.get_running_loop()
        later = loop.call_later

        def counted(delay, action, *args):
            alarms.extend([delay] if action == sender.send else [])
            return later(delay, action, *args)

        monkeypatch.setattr(loop, "call_later", counted)
        for _ in range(4):
            plots[0].pending = True
            sender.send()
        assert plots[0].sent == 1
        assert len(alarms) == 1
        for _ in range(100):
            await asyncio.sleep(0.01)
            if plots[0].sent == 2:
                return
        pytest.fail("nothing was sent")

    asyncio.run(cell())
