import base64
import io
import json
import os

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from helpers import store
from helpers.running import copies, execute


def png() -> str:
    figure, into = Figure(figsize=(6, 4)), io.BytesIO()
    ax = figure.subplots()
    for n in range(7):
        ax.plot(np.sin(np.arange(40) / 5 + n), label=f"layer {n}", color=(n / 7, 0.3, 0.6))
    ax.legend()
    figure.savefig(into, format="png", dpi=110)
    return base64.b64encode(into.getvalue()).decode()


def tidied(tmp_path, *outputs, **metadata) -> dict:
    cell = nbformat.v4.new_code_cell("1", outputs=list(outputs), metadata={"tags": ["x"], "papermill": {"duration": 3}})
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=metadata)
    path = tmp_path / "n.ipynb"
    nbformat.write(notebook, path)
    copies.tidy(path)
    nbformat.validate(nbformat.read(path, 4))
    return json.loads(path.read_text())


def shown(tmp_path, **data):
    """What is left of the data of one output."""
    kinds = {kind.replace("_", "/", 1): content for kind, content in data.items()}
    outputs = tidied(tmp_path, nbformat.v4.new_output("display_data", kinds))["cells"][0]["outputs"]
    return {kind: "".join(content) for kind, content in outputs[0]["data"].items()} if outputs else None


def test_one_kind_of_each_output_is_kept_and_a_widget_is_not(tmp_path):
    assert shown(tmp_path, text_html="<b>a</b>", text_plain="a") == {"text/html": "<b>a</b>"}
    assert shown(tmp_path, text_plain="a", text_markdown="*a*") == {"text/markdown": "*a*"}
    assert set(shown(tmp_path, image_png=png(), **{"image_svg+xml": "<svg/>"})) == {"image/png"}
    assert shown(tmp_path, **{"image_svg+xml": "<svg/>"}) is None
    widget = nbformat.v4.new_output("display_data", {copies.WIDGET: {"model_id": "m"}, "text/plain": "VBox()"})
    found = tidied(tmp_path, widget, widgets={"state": "x" * 10_000}, papermill={"input_path": "/a/b"})
    assert found["cells"][0]["outputs"] == []
    assert found["cells"][0]["metadata"] == {"tags": ["x"]}
    assert set(found["metadata"]) == {"language_info"}


def test_a_picture_looks_the_same_and_is_smaller(tmp_path):
    before = png()
    after = shown(tmp_path, image_png=before)["image/png"]
    assert len(after) < len(before) / 2
    one, other = (np.asarray(Image.open(io.BytesIO(base64.b64decode(p))).convert("RGB")) for p in (before, after))
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).mean() < 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("10%\r50%\r100%\nnext", "100%\nnext"),
        (f"in {store.ROOT}/data/runs and {store.REPOSITORY}/helpers", "in data/runs and helpers"),
        ("<Axes at 0x7fa1b2c3d4e5>", "<Axes>"),
        ("#T_a1b2c td {} #T_a1b2c_row0 {} #T_fffff", "#T_0 td {} #T_0_row0 {} #T_1"),
        (os.path.expanduser("~/words"), "~/words"),
    ],
    ids=["colours", "progress", "folders", "addresses", "styles", "home"],  # the same in every worker
)
def test_what_differs_between_runs_is_taken_out(tmp_path, text, left):
    stream = nbformat.v4.new_output("stream", name="stdout", text=text)
    noise = nbformat.v4.new_output("stream", name="stderr", text="a warning of 12:03")
    (output,) = tidied(tmp_path, stream, noise)["cells"][0]["outputs"]
    assert "".join(output["text"]) == left


def test_two_runs_of_one_notebook_give_one_copy(tmp_path):
    code = "import pandas as pd\npd.DataFrame({'a': [1]}).style.hide()"
    cells = [nbformat.v4.new_code_cell(source) for source in ("object()", code, "print(__import__('os').getcwd())")]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    source = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), source)
    found = []
    for name in ("a", "b"):
        execute.run(source, tmp_path / name / "n.ipynb", tmp_path / "n.log", {})
        found.append((tmp_path / name / "n.ipynb").read_bytes())
    assert found[0] == found[1]
    assert b'"<object>"' in found[0]


@pytest.fixture
def made(tmp_path):
    """A copy, and the tables of the run that made it."""
    tables = tmp_path / "tables"
    store.write_table(tables / "t.csv", pd.DataFrame({"a": [1]}))
    store.write_json(tables / "provenance.json", {"n": {"key": "k", "commit": "c"}})
    tidied(tmp_path)
    copies.stamp(tmp_path / "n.ipynb", "k", "c", {"t.csv": store.sha256(tables / "t.csv")})
    return tmp_path / "n.ipynb", tables


def test_a_copy_of_the_tables_run_is_not_stale(made):
    assert copies.stale(*made) == ""
    nbformat.validate(nbformat.read(made[0], 4))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda copy, tables: copies.tidy(copy), "does not say"),
        (lambda copy, tables: copies.stamp(copy, "other", "c", {}), "key other, the tables k"),
        (lambda copy, tables: copies.stamp(copy, "k", "d", {}), "commit d, the tables c"),
        (lambda copy, tables: store.write_table(tables / "t.csv", pd.DataFrame({"a": [2]})), "another t.csv"),
        (lambda copy, tables: (tables / "t.csv").unlink(), "another t.csv"),
        (lambda copy, tables: store.write_json(tables / "provenance.json", {}), "the tables None"),
    ],
)
def test_a_copy_of_another_run_is_stale(made, spoil, words):
    spoil(*made)
    assert words in copies.stale(*made)
