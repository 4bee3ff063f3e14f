"""How fast the explorer answers, in a browser: `make bench` runs it and writes data/laptop/tables/latency.csv.

A change of a control begins the clock; the second frame after what it changes has come to the browser stops it. Points
are made up; what is measured is the way from the control through the kernel to the screen. "nothing" moves a control
without telling anybody: the fourth frame after it is the first on which an answer from the kernel can be, since the
control's own repainting takes the frames before.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import IDLE, Notebook, browsing, chromium, jupyterlab

from helpers import store
from helpers.device import processor
from helpers.tables import checked

TESTS = str(Path(__file__).resolve().parents[1])
REPEATS = 9
SOURCE = """
import sys
sys.path.insert(0, {tests!r})
from made_up import MadeUp
from helpers.explorer import explore

explorer = explore(MadeUp({count}, 6, {folder!r}), plots={plots})
for layer in range(3):
    explorer.source.coordinates("all", layer, "raw", "pca")
explorer
"""
CHANGE = """
async ([label, value, silent]) => {
  const row = [...document.querySelectorAll(".widget-dropdown, .jupyter-widget-dropdown")]
    .find((r) => r.textContent.includes(label));
  const select = row.querySelector("select");
  const marks = (kind) => performance.getEntriesByType("mark").filter((m) => m.name.startsWith("clm-" + kind));
  const before = marks("seen").length;
  const frame = () => new Promise(requestAnimationFrame);
  const begin = performance.now();
  select.value = [...select.options].find((o) => o.textContent.replaceAll("\\u00a0", " ") === value).value;
  if (silent) return frame().then(frame).then(frame).then(frame).then(() => performance.now() - begin);
  select.dispatchEvent(new Event("change", { bubbles: true }));
  while (marks("seen").length === before && performance.now() - begin < 20000)
    await new Promise((r) => setTimeout(r, 2));
  return marks("seen").at(-1).startTime - begin;
}
"""
ACTIONS = {
    "nothing": ("colour by", ("distribution", "answered rightly", "task")),
    "colour": ("colour by", ("distribution", "answered rightly", "task")),
    "epoch": ("epoch", ("1", "3", "5")),
    "layer": ("layer", ("0", "1", "2")),
}


def measure(count: int, plots: int) -> list[dict]:
    """Milliseconds from control to screen with so many points in each of so many plots, by action."""
    with tempfile.TemporaryDirectory() as name, browsing(viewport={"width": 1400, "height": 1000}) as (page, problems):
        folder = Path(name)
        with jupyterlab(folder) as address:
            code = SOURCE.format(tests=TESTS, folder=str(folder / "made-up"), count=count, plots=plots)
            notebook = Notebook(page, address, folder, "latency.ipynb", code)
            notebook.do("notebook:run-all-cells")
            page.wait_for_selector("canvas")
            notebook.until(IDLE, 120)
            rows = []
            for action, (label, values) in ACTIONS.items():
                taken = []
                for i in range(REPEATS):
                    taken.append(page.evaluate(CHANGE, [label, values[i % len(values)], action == "nothing"]))
                    notebook.until(IDLE, 120)
                    page.wait_for_timeout(1000)  # tables below the plots are laid out, and nobody is in a hurry
                took = {"milliseconds": statistics.median(taken[1:]), "slowest": max(taken[1:])}
                rows.append({"points": count, "plots": plots, "action": action, **took})
                print(rows[-1], flush=True)
            assert not problems, problems
    return rows


def main() -> None:
    """Measure and write the table, or say why not."""
    try:
        chromium()
    except pytest.skip.Exception as reason:
        print(f"the explorer's latency is not measured: {reason}")
        return
    rows = [row for count in (8_800, 100_000) for plots in (1, 2) for row in measure(count, plots)]
    table = checked("latency", pd.DataFrame(rows).assign(**processor(), commit=store.commit()))
    store.write_table(store.DATA / "laptop" / "tables" / "latency.csv", table, digits=3)


if __name__ == "__main__":
    main()
