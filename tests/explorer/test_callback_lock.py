import threading

import pytest

from helpers.explorer.callback_lock import Events


@pytest.fixture
def said():
    return []


def test_a_click_on_another_thread_waits_until_callbacks_are_not_suppressed(said):
    events, done = Events(said.append), []
    with events.suppressed():
        events.do(lambda: done.append("own change"))
        click = threading.Thread(target=lambda: events.do(lambda: done.append("click")))
        click.start()
        click.join(0.1)
        with events.suppressed():
            pass
        assert done == []
    click.join(10)
    assert done == ["click"]


def test_an_expected_error_is_said_and_another_one_raised(said):
    events = Events(said.append)

    def fail(error):
        raise error

    events.do(lambda: fail(ValueError("not offered")))
    assert said == ["not offered"]
    with pytest.raises(KeyError):
        events.do(lambda: fail(KeyError("oops")))
    with events.suppressed():
        pass
    done = []
    events.do(lambda: done.append(1))
    assert done == [1]
