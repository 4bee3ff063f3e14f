"""Sends what plots are to show when the browser has drawn what it was sent before.

jupyter-scatter drops points that arrive while earlier ones are still on their way to their places. How long that takes
is for the browser to say: with a slow one, no fixed pause is long enough. What changes meanwhile is sent together.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable

import anywidget
import traitlets

from helpers.explorer.callback_lock import running_loop

PATIENCE = 5.0  # seconds after which a browser that does not answer is sent to anyway
MAKING = 500  # milliseconds in which a browser makes new plots


class Pacer(anywidget.AnyWidget):
    """Asks the browser to tell when it has drawn what it was sent."""

    _esm = """
    const say = (model, name, value) => { model.set(name, value); model.save_changes(); };
    const frames = (count, then) => count ? requestAnimationFrame(() => frames(count - 1, then)) : then();
    const whenDrawn = (model, pause, done) => {
      const begin = Date.now();
      const look = () => {
        const plots = [...document.querySelectorAll(".clm-plot")].filter((p) => p.querySelector("canvas")).length;
        if (plots < model.get("plots") && Date.now() - begin < 20000) setTimeout(look, 50);
        else frames(2, () => setTimeout(() => frames(2, done), pause));  // drawing begins and ends with a frame
      };
      look();
    };
    export default {
      initialize({ model }) {
        model.on("change:sent", () => {
          const sent = model.get("sent");
          // For measurements: when the change was on the screen.
          frames(2, () => performance.mark("clm-seen-" + sent));
          whenDrawn(model, model.get("pause"), () => say(model, "drawn", sent));
        });
      },
    };
    """
    pause = traitlets.Int(0).tag(sync=True)  # milliseconds that the drawing takes at least
    sent = traitlets.Int(0).tag(sync=True)
    drawn = traitlets.Int(0).tag(sync=True)
    plots = traitlets.Int(1).tag(sync=True)


class Sender:
    """Holds back what the browser cannot take yet.

    Args:
        lock: held while something is sent.
        plots: gives the plots that are shown: each says whether it is `pending`, and `send()` sends and returns the
            milliseconds that the browser needs for it.
        arrange: puts plots on the page, if other ones are shown than before; returns whether it did.
    """

    def __init__(self, lock: threading.RLock, plots: Callable[[], Iterable], arrange: Callable[[], bool]) -> None:
        self._lock, self._plots, self._arrange = lock, plots, arrange
        self._held, self._busy_until, self._alarm = 0, 0.0, 0.0
        self.pacer = Pacer()
        self.pacer.observe(self._drawn, "drawn")

    @property
    def idle(self) -> bool:
        """Whether the browser has drawn everything that plots are to show."""
        return self.pacer.drawn == self.pacer.sent and not any(plot.pending for plot in self._plots())

    def send(self) -> None:
        """Send what is pending, or leave it for when the browser is ready."""
        with self._lock:
            if self._held:
                return
            if self._arrange():
                self.expect(MAKING)
            pending = [plot for plot in self._plots() if plot.pending]
            if not pending:
                return
            if time.monotonic() < self._busy_until:
                self._send_later()
            else:
                self.expect(max([plot.send() for plot in pending]))

    def expect(self, pause: int, patience: float = PATIENCE) -> None:
        """Send nothing until the browser has had `pause` milliseconds and said so, or for `patience` seconds."""
        with self._lock:
            self._busy_until = time.monotonic() + patience
            self.pacer.plots = len(list(self._plots()))
            self.pacer.pause = pause
            self.pacer.sent += 1

    @contextlib.contextmanager
    def together(self):
        """Send everything that changes meanwhile at once."""
        with self._lock:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1
                self.send()

    def _send_later(self) -> None:
        """Try again when patience ends. Where no loop runs, there is no browser to wait for either."""
        now, loop = time.monotonic(), running_loop()
        if loop is not None and self._alarm <= now:
            self._alarm = self._busy_until + 0.01
            loop.call_later(self._alarm - now, self.send)

    def _drawn(self, change) -> None:
        with self._lock:
            if change["new"] == self.pacer.sent:
                self._busy_until = 0.0
                self.send()
