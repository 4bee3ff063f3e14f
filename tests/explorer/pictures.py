"""The README's pictures of the explorer, taken from JupyterLab in a browser: `python tests/explorer/pictures.py [RUN]`.

Writes figures/readme/explorer.gif (through training), explorer_hover.png and explorer_neighbours.png.
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import IDLE, Notebook, browsing, jupyterlab

from helpers import store
from helpers.explorer import sources

OPEN = "from helpers.explorer import explore\nexplorer = explore({!r})\nexplorer"
WIDTH = 920  # of the pictures, in pixels
FRAMES = 28  # of the GIF at most


def shot(page, until: str | None = None) -> Image.Image:
    """The explorer as it is shown, down to an element."""
    box = page.locator(".clm-explorer").bounding_box()
    end = page.locator(until).first.bounding_box() if until else None
    height = (end["y"] + end["height"] if end else box["y"] + box["height"]) - box["y"]
    clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": height}
    image = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    return image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)


def main(run: Path) -> None:
    """Take all pictures of a run."""
    target = store.FIGURES / "readme"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, browsing(viewport={"width": 1280, "height": 1400}) as (page, problems):
        folder = Path(name)
        with jupyterlab(folder) as address:
            notebook = Notebook(page, address, folder, "explorer.ipynb", OPEN.format(str(run)))
            notebook.do("notebook:run-all-cells")
            page.wait_for_selector("canvas")
            deep = notebook.ask("explorer.source.layers - 1")
            layers, spaces = [round(deep / 3), round(deep * 5 / 6)], ["centred", "centred"]
            notebook.until(f"explorer.show(layers={layers}, spaces={spaces}) is explorer", 120)
            frames = []
            moments = notebook.ask("len(explorer.source.moments)")
            for i in sorted({round(i) for i in np.linspace(0, moments - 1, FRAMES)}):
                notebook.ask(f"setattr(explorer.controls.moment, 'index', {i})")
                notebook.until(IDLE, 30)
                page.wait_for_timeout(600)
                # The usual way to choose colours merges those of small points.
                frames.append(shot(page, ".clm-plot canvas").quantize(96, Image.Quantize.MAXCOVERAGE))
            durations = [450] * len(frames)
            durations[0] = durations[-1] = 1500
            frames[0].save(
                target / "explorer.gif",
                save_all=True,
                append_images=frames[1:],
                duration=durations,
                loop=0,
                optimize=True,
            )
            box = page.locator(".clm-plot canvas").first.bounding_box()
            row = notebook.ask("int(abs(explorer.plots[0].points - [0.3, 0.3]).sum(1).argmin())")
            x, y = notebook.ask(f"explorer.plots[0].points[{row}].tolist()")
            at = (box["x"] + box["width"] / 2 + x * box["height"] / 2, box["y"] + box["height"] / 2 * (1 - y))
            page.mouse.move(*at)
            page.wait_for_timeout(1200)
            shot(page, ".clm-plot canvas").save(target / "explorer_hover.png", optimize=True)
            page.mouse.move(2, 2)
            page.wait_for_timeout(800)
            hard = notebook.ask(
                "int((explorer.show(split='subset', colour='kind').source.frame('subset')['kind'] == 'hard').argmax())"
            )
            notebook.ask(f"explorer.select([{hard}])")
            notebook.until(IDLE, 30)
            page.wait_for_timeout(1500)
            shot(page).save(target / "explorer_neighbours.png", optimize=True)
        assert not problems, problems
    for path in sorted(target.glob("explorer*")):
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else sources.newest().folder)
