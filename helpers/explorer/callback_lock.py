"""Callbacks of controls: one at a time, and none while the program itself changes controls.

More than one thread of a kernel touches widgets. Cells run on the main thread; JupyterLab may have what the browser
says handled on another one, a subshell, and each has an event loop of its own. Whoever changes widgets therefore holds
one lock. A click waits for it, and finds callbacks no longer suppressed: it is never mistaken for a change that the
program made.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

from helpers.errors import Failed

EXPECTED = (Failed, ValueError)  # their messages are for the user; anything else is a mistake in the code


class Events:
    """The lock on the widgets of one explorer, and what their controls call.

    Args:
        wrong: told the message of an error that a control's action raised.
    """

    def __init__(self, wrong: Callable[[str], None]) -> None:
        self.lock = threading.RLock()
        self._wrong, self._suppressed = wrong, 0

    def on(self, control, action: Callable[[], object], trait: str = "value") -> None:
        """Call `action` whenever the user changes a trait of a control."""
        control.observe(lambda _: self.do(action), trait)

    def do(self, action: Callable[[], object]) -> None:
        """Do what a control asks for, unless callbacks are suppressed; an expected error is said."""
        with self.lock:
            if self._suppressed:
                return
            try:
                action()
            except EXPECTED as error:
                self._wrong(str(error))

    @contextlib.contextmanager
    def suppressed(self):
        """Suppress callbacks while controls change."""
        with self.lock:
            self._suppressed += 1
            try:
                yield
            finally:
                self._suppressed -= 1


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs this thread; None in a plain script or a test."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
