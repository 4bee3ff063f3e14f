import json

import pytest

from helpers import fingerprint


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes modules into a package of its own: write({"gpt/train.py": source})."""
    where = tmp_path / "helpers"

    def write(modules):
        for name, source in modules.items():
            path = where / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        forget()

    def forget():
        fingerprint._known.cache_clear()

    monkeypatch.setattr(fingerprint, "PACKAGE", where)
    write({"__init__.py": ""})
    yield write
    forget()


def notebook(path, *code):
    cells = [{"cell_type": "code", "source": source, "outputs": [], "execution_count": 1} for source in code]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_comments_and_docstrings_do_not_count_code_does(package):
    package({"a.py": '"""Old."""\ndef f():\n    """Doc."""\n    return 1\n'})
    before = fingerprint.of_code("a")
    package({"a.py": '"""New."""\n\ndef f():  # said differently\n    """Other."""\n    return 1\n'})
    assert fingerprint.of_code("a") == before
    package({"a.py": "def f():\n    return 2\n"})
    assert fingerprint.of_code("a") != before


def test_a_module_that_moves_keeps_its_hash(package):
    body = "\ndef f(x):\n    return states.observe(x)\n"
    package({"states.py": "X = 1\n", "train.py": "import numpy\nfrom helpers import states\n" + body})
    before = fingerprint.of_code("train", "states")
    package(
        {
            "gpt/observing.py": "X = 1\n",
            "gpt/fitting.py": "import numpy\nfrom helpers.gpt import observing as states\n" + body,
        }
    )
    assert fingerprint.of_code("gpt.fitting", "gpt.observing") == before
    package({"gpt/fitting.py": "import scipy\nfrom helpers.gpt import observing as states\n" + body})
    assert fingerprint.of_code("gpt.fitting", "gpt.observing") != before  # other libraries do count


@pytest.mark.parametrize(
    "statement",
    [
        "from helpers.task.synthetic import draw",
        "from helpers.task import synthetic",
        "import helpers.task.synthetic",
        "from helpers.task import draw",  # which the package hands on
    ],
)
def test_a_notebook_depends_on_modules_inside_packages(package, tmp_path, statement):
    package(
        {
            "task/__init__.py": "from helpers.task.synthetic import draw\n",
            "task/synthetic.py": "from helpers.task.grammar import word\n\ndef draw():\n    return word()\n",
            "task/grammar.py": "def word():\n    return 1\n",
            "other.py": "Y = 1\n",
        }
    )
    path = notebook(tmp_path / "n.ipynb", f"%matplotlib inline\n{statement}\n")
    before = fingerprint.of_notebook(path)
    package({"other.py": "Y = 2\n"})
    assert fingerprint.of_notebook(path) == before
    package({"task/grammar.py": "def word():\n    return 2\n"})
    assert fingerprint.of_notebook(path) != before


def test_what_a_package_runs_when_it_is_imported_counts(package, tmp_path):
    package({"task/__init__.py": "X = 1\n", "task/synthetic.py": "Y = 1\n"})
    path = notebook(tmp_path / "n.ipynb", "from helpers.task.synthetic import Y")
    before = fingerprint.of_notebook(path)
    package({"task/__init__.py": "X = 2\n"})
    assert fingerprint.of_notebook(path) != before


@pytest.mark.parametrize(
    "statement", ["from helpers import nowhere", "from helpers.task.nowhere import x", "import helpers.nowhere"]
)
def test_an_import_that_names_no_module_is_an_error(package, tmp_path, statement):
    package({"a.py": statement + "\n", "task/synthetic.py": ""})
    with pytest.raises(fingerprint.FingerprintError, match=r"a, line 1: .*nowhere"):
        fingerprint.closure({"a"})
    path = notebook(tmp_path / "n.ipynb", "x = 1\n" + statement)
    with pytest.raises(fingerprint.FingerprintError, match=r"n\.ipynb, line 2: .*nowhere"):
        fingerprint.of_notebook(path)


def test_an_unknown_module_is_an_error(package):
    with pytest.raises(fingerprint.FingerprintError, match="nowhere"):
        fingerprint.of_code("nowhere")


def test_a_relative_import_is_an_error(package):
    package({"a.py": "from .b import x\n", "b.py": "x = 1\n"})
    with pytest.raises(fingerprint.FingerprintError, match="relative"):
        fingerprint.closure({"a"})


def test_a_notebook_depends_on_its_own_code_and_not_on_its_outputs(package, tmp_path):
    package({"a.py": "something = 1\n"})
    path = notebook(tmp_path / "n.ipynb", "import helpers.a")
    before = fingerprint.of_notebook(path)
    content = json.loads(path.read_text())
    content["cells"][0]["outputs"] = ["something"]
    path.write_text(json.dumps(content))
    assert fingerprint.of_notebook(path) == before
    notebook(path, "from helpers.a import something\n")
    assert fingerprint.of_notebook(path) != before
