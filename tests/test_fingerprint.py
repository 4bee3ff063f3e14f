import json

import pytest

from helpers import fingerprint


@pytest.fixture
def package(tmp_path, monkeypatch):
    def write(**modules):
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        fingerprint._tree.cache_clear()
        fingerprint._source_digest.cache_clear()

    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    yield write
    fingerprint._tree.cache_clear()
    fingerprint._source_digest.cache_clear()


def notebook(path, *code):
    cells = [{"cell_type": "code", "source": source, "outputs": [], "execution_count": 1} for source in code]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_comments_and_docstrings_do_not_count_code_does(package):
    package(a='"""Old."""\ndef f():\n    """Doc."""\n    return 1\n')
    before = fingerprint.of_code("a")
    package(a='"""New."""\n\ndef f():  # said differently\n    """Other."""\n    return 1\n')
    assert fingerprint.of_code("a") == before
    package(a="def f():\n    return 2\n")
    assert fingerprint.of_code("a") != before


def test_a_notebook_depends_on_its_imports_and_theirs_alone(package, tmp_path):
    package(a="from helpers import b\n", b="X = 1\n", c="Y = 1\n")
    path = notebook(tmp_path / "n.ipynb", "%matplotlib inline\nfrom helpers import a\n")
    before = fingerprint.of_notebook(path)
    package(c="Y = 2\n")
    assert fingerprint.of_notebook(path) == before
    package(b="X = 2\n")
    changed = fingerprint.of_notebook(path)
    assert changed != before
    notebook(path, "from helpers.a import something\n")
    assert fingerprint.of_notebook(path) != changed


def test_outputs_of_a_notebook_do_not_count(package, tmp_path):
    package(a="")
    path = notebook(tmp_path / "n.ipynb", "import helpers.a")
    before = fingerprint.of_notebook(path)
    content = json.loads(path.read_text())
    content["cells"][0]["outputs"] = ["something"]
    path.write_text(json.dumps(content))
    assert fingerprint.of_notebook(path) == before
