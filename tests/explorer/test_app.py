"""The explorer as a person uses it: in JupyterLab, in a browser."""

import contextlib
import re

import numpy as np
import pytest
from browser import IDLE, LONG, Notebook, browsing, jupyterlab
from conftest import FAILED

from helpers.explorer import app, sources
from helpers.explorer.source import COLOURS

OPEN = "from helpers.explorer import explore\nexplorer = explore({!r})\nexplorer"


@pytest.fixture(scope="module")
def lab(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with (
        jupyterlab(folder) as address,
        browsing(viewport={"width": 1500, "height": 1500}) as (page, problems),
    ):
        notebook = Notebook(page, address, folder, "explorer.ipynb", OPEN.format(str(run.folder)))
        notebook.do("notebook:run-all-cells")
        page.wait_for_selector(".clm-legend button")
        page.wait_for_selector("canvas")
        notebook.until(IDLE)
        yield notebook, problems


@pytest.fixture
def opened(lab, request, tmp_path_factory):
    notebook, problems = lab
    del problems[:]
    notebook.until(IDLE)
    yield notebook
    if request.node.stash.get(FAILED, False):
        path = tmp_path_factory.getbasetemp() / f"{request.node.name}.png"
        notebook.page.screenshot(path=path)
        print(f"the page as it was: {path}")
    assert not problems


TOLD = """text => [...document.querySelectorAll(".jp-OutputArea div")].some(
    (div) => div.style.opacity === "1" && div.style.pointerEvents === "none" && div.innerText.includes(text))"""


def plot(notebook, number: int = 0) -> dict:
    return notebook.page.locator(".jp-OutputArea canvas").nth(2 * number).bounding_box()


def place(notebook, row: int, number: int = 0) -> tuple[float, float]:
    """Where on the page an instance is drawn."""
    x, y = notebook.ask(f"explorer.plots[{number}].points[{row}].tolist()")
    box = plot(notebook, number)
    return box["x"] + box["width"] / 2 + x * box["height"] / 2, box["y"] + box["height"] / 2 * (1 - y)


def lonely(notebook, number: int = 0, first: int = 0) -> int:
    """The instance, from the first on, farthest from its nearest neighbour on the page, so that a click means it."""
    points = np.array(notebook.ask(f"explorer.plots[{number}].points.tolist()"))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + 9 * np.eye(len(points))
    return first + int(distance.min(1)[first:].argmax())


def insist(notebook, gesture, expression: str) -> None:
    """Make a gesture until it has taken effect, as a person does.

    jupyter-scatter hears no mouse while it draws, and takes no click of over half a second, as a busy machine makes it.
    """
    for _ in range(LONG // 10):
        gesture()
        with contextlib.suppress(AssertionError):
            return notebook.until(expression, 10)
    pytest.fail(f"{expression} never came true")


def hover(notebook, row: int) -> None:
    """Bring the mouse to an instance from elsewhere."""

    def move():
        notebook.page.mouse.move(5, 5)
        notebook.page.mouse.move(*place(notebook, row))

    insist(notebook, move, f"explorer.plots[0].scatter.hovering == {row}")


def choose(notebook, label: str, option: str) -> None:
    row = notebook.page.locator(".widget-dropdown, .jupyter-widget-dropdown").filter(has_text=label).first
    row.locator("select").select_option(label=option)


def test_points_are_drawn_in_the_colours_of_the_legend(opened):
    for by in ("task", "cluster", "correct", "task"):  # by groups, point for point, and by groups again
        opened.ask(f"explorer.show(colour={by!r}).wait() is explorer")
        opened.until(IDLE)
        items = opened.ask("explorer.legend.items")
        colours = {c for _, c, _ in items}
        assert len(colours) == len(items)
        seen = pixels(opened)
        for colour in colours:
            rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
            near = np.abs(seen - (0.85 * rgb + 0.15 * 255)).max(-1) < 24
            assert near.sum() > 10, f"nothing drawn in {colour} by {by}"


def pixels(notebook) -> np.ndarray:
    import io

    from PIL import Image

    shot = notebook.page.screenshot(clip=plot(notebook))
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(float)


def test_the_slider_moves_points_title_and_cursor(opened):
    before, image = opened.ask("explorer.plots[0].points.tolist()"), pixels(opened)
    cursor = opened.page.locator(".clm-curve .cursor").first.get_attribute("x1")
    handle = opened.page.locator(".widget-slider .noUi-handle, .widget-hslider .noUi-handle").first
    handle.click()
    handle.press("Home")
    opened.until("explorer.controls.moment.value == 0 and 'epoch 0' in explorer.plots[0].title.value")
    opened.until(IDLE)
    assert opened.ask("explorer.plots[0].points.tolist()") != before
    opened.frames(2)
    assert np.abs(pixels(opened) - image).mean() > 1
    opened.shows("epoch 0")
    moved = "x => document.querySelector('.clm-curve .cursor').getAttribute('x1') !== x"
    opened.page.wait_for_function(moved, arg=cursor)
    handle.press("End")
    opened.until("explorer.controls.moment.value == explorer.source.moments[-1]")


def test_play_runs_through_training(opened):
    opened.ask("setattr(explorer.controls.moment, 'index', 0)")
    opened.page.locator(".widget-play button, .jupyter-widget-play button").first.click()
    opened.until("explorer.controls.moment.index >= 2")
    opened.until("explorer.controls.moment.value == explorer.source.moments[-1]")


def test_hovering_tells_of_the_instance_and_is_linked(opened):
    row = lonely(opened)
    hover(opened, row)
    opened.until(f"explorer.plots[1].scatter.hovering == {row}")
    instance = opened.ask(f"explorer.source.frame(explorer.controls.split.value).iloc[{row}].astype(str).to_dict()")
    opened.page.wait_for_function(TOLD, arg=instance["expression"])
    opened.page.get_by_text(re.compile(r"\((right|wrong)\)")).first.wait_for()
    opened.page.mouse.move(5, 5)


def test_fewer_instances_may_come_while_one_of_the_last_is_hovered(opened):
    row = lonely(opened, first=opened.ask("len(explorer.source.frame('subset'))"))
    hover(opened, row)
    expression = opened.ask(f"explorer.source.frame('validation')['expression'].iloc[{row}]")
    opened.page.wait_for_function(TOLD, arg=expression)  # its tooltip is there
    opened.until("explorer.show(split='subset').controls.split.value == 'subset'")
    opened.until(IDLE)
    opened.frames(10)  # an error would come with each of them; the fixture looks for errors
    opened.page.mouse.move(5, 5)
    opened.until("explorer.show(split='validation').controls.split.value == 'validation'")


def test_a_click_shows_neighbours_and_how_they_change(opened):
    row = lonely(opened)
    insist(opened, lambda: opened.page.mouse.click(*place(opened, row)), f"explorer.rows.tolist() == [{row}]")
    opened.until(f"explorer.plots[1].scatter.selection.tolist() == [{row}]")
    opened.shows("Nearest to", "same_task")
    opened.page.wait_for_function("() => document.querySelectorAll('.clm-curve').length === 3")
    assert opened.ask("explorer.selection['instruction'].tolist()") == [
        opened.ask(f"explorer.source.frame(explorer.controls.split.value)['instruction'].iloc[{row}]")
    ]


def test_a_lasso_selects_what_it_surrounds(opened):
    opened.page.locator(".jp-OutputArea button[title*='asso' i]").first.click()
    box = plot(opened)
    x, y, r = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["height"] * 0.4
    corners = [(x + r * np.cos(t), y + r * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 24)]

    def draw():
        opened.page.mouse.move(*corners[0])
        opened.page.mouse.down()
        for corner in corners[1:]:
            opened.page.mouse.move(*corner, steps=3)
        opened.page.mouse.up()

    insist(opened, draw, "len(explorer.rows) > 1")
    rows = opened.ask("explorer.rows.tolist()")
    points = np.array(opened.ask("explorer.plots[0].points.tolist()"))
    inside = set(np.flatnonzero(np.linalg.norm(points, axis=1) < 0.78))
    assert inside <= set(rows)
    assert not set(rows) & set(np.flatnonzero(np.linalg.norm(points, axis=1) > 0.82))
    opened.until("explorer.wait() is explorer")
    opened.shows(f"{len(rows)} selected", "AMI")
    opened.page.locator(".jp-OutputArea button[title*='pan' i]").first.click()


def test_the_legend_and_the_search_select(opened):
    opened.page.locator(".clm-legend button").first.click()
    name = opened.ask("explorer.legend.items[0][0]")
    opened.until("len(explorer.rows) > 0")
    assert set(opened.ask("explorer.selection['task'].astype(str).tolist()")) == {name}
    opened.page.locator(".clm-legend button").first.click()
    opened.until("len(explorer.rows) == 0")
    wanted = opened.ask("explorer.source.frame(explorer.controls.split.value)['instruction'].iloc[0][:4]")
    field = opened.page.get_by_placeholder("press Enter")
    field.fill(wanted)
    field.press("Enter")
    opened.until("len(explorer.rows) > 0")
    assert all(wanted in text for text in opened.ask("explorer.selection['instruction'].tolist()"))
    field.fill("")
    field.press("Enter")
    opened.until("len(explorer.rows) == 0")


BUTTONS = """names => {
    const buttons = [...document.querySelectorAll(".clm-legend button")];
    return buttons.length === names.length && buttons.every((button, i) => button.innerText.trim() === names[i].trim());
}"""


@pytest.mark.parametrize("by", list(COLOURS.values()))
def test_every_colour_can_be_chosen(opened, by):
    choose(opened, "colour by", by)
    key = {v: k for k, v in COLOURS.items()}[by]
    opened.until(f"explorer.wait().controls.colour.value == {key!r}")
    items = opened.ask("explorer.legend.items")
    opened.page.wait_for_function(BUTTONS, arg=[name for name, *_ in items])
    assert sum(count for *_, count in items) == opened.ask("len(explorer.plots[0].points)")


def test_instances_layers_spaces_projections_and_plots_can_be_changed(opened):
    choose(opened, "colour by", "task")
    choose(opened, "projection", "t-SNE")
    opened.until("explorer.wait().plots[0].title.value.endswith('t-SNE')")
    choose(opened, "layer", "0")
    opened.until("explorer.plots[0].layer.value == 0")
    choose(opened, "projection", "PCA")
    choose(opened, "plots", "4")
    opened.until("len(explorer.plots) == 4")
    opened.page.wait_for_function("() => document.querySelectorAll('.jp-OutputArea canvas').length === 8")
    opened.until(IDLE)
    opened.page.locator("select").filter(has_text="input-centred states").first.select_option(
        label="input-centred states"
    )
    opened.until("explorer.plots[0].space.value == 'centred'")
    choose(opened, "instances", opened.ask("explorer.source.splits['subset']"))
    opened.until("explorer.controls.split.value == 'subset'")
    choose(opened, "colour by", "hard, original or unseen")
    opened.until("{i[0] for i in explorer.wait().legend.items} == {'hard', 'original'}")
    choose(opened, "plots", "2")
    opened.until("len(explorer.plots) == 2")


def test_a_click_while_something_is_computed_is_not_lost(opened):
    opened.ask("globals().update(holding=__import__('threading').Event())")
    opened.ask("explorer.background.run('held', holding.wait, lambda _: None)")
    field = opened.page.locator("input[type=number]").first
    before = int(field.input_value())
    field.fill(str(before + 1))
    field.press("Enter")  # as many clusters are found once the background is free
    handle = opened.page.locator(".widget-slider .noUi-handle, .widget-hslider .noUi-handle").first
    handle.click()
    handle.press("Home")
    choose(opened, "colour by", "cluster found by KMeans")
    opened.ask("holding.set()")
    opened.until("'epoch 0' in explorer.plots[0].title.value and explorer.controls.colour.value == 'cluster'")
    opened.until(f"len(explorer.wait().legend.items) == {before + 1}")
    opened.until(IDLE)
    handle.press("End")
    choose(opened, "colour by", "task")
    opened.until("explorer.controls.moment.value == explorer.source.moments[-1]")


def test_pictures_and_selections_are_saved(opened):
    for suffix in ("SVG", "PNG", "CSV"):
        opened.page.locator(f"button[title='save as {suffix.lower()}']").click()
        opened.until(f"explorer.status.value.endswith('.{suffix.lower()}</div>')")
        saved = opened.ask("explorer.status.value").partition("saved ")[2].removesuffix("</div>")
        assert opened.ask(f"__import__('os').path.getsize({saved!r}) > 500")


def test_widgets_are_alive_after_a_restart_and_missing_artefacts_are_told(lab):
    notebook, problems = lab
    del problems[:]
    notebook.restart()
    notebook.do("notebook:run-all-cells")
    notebook.until("'explorer' in globals() and explorer.wait() is explorer")
    notebook.page.wait_for_selector(".clm-legend button")
    choose(notebook, "colour by", "input")
    notebook.until("explorer.wait().controls.colour.value == 'input'")
    assert "model not found" not in notebook.page.locator("body").inner_text().lower()
    assert not problems


def test_what_is_missing_is_said_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.store, "DATA", tmp_path)
    assert "make reproduce" in app.explore().value
    assert "no manifest.json" in app.explore(tmp_path / "nothing").value
