"""Notebooks as they are read: each opens with a question and its answer, and says what its figures show."""

import json
import re

import pytest

from helpers import store
from helpers.running import stages
from helpers.tables import TABLES

PATHS = sorted((store.REPOSITORY / "notebooks").glob("*.ipynb"))
LONGEST = 15  # lines of a code cell
SWEPT = {name for names in stages.FROM_SWEEPS.values() for name in names}
OTHERS = SWEPT | {"bench", "latency", "gpu_checks", "gpu_runs"}  # tables that no notebook writes


def cells(path) -> list[tuple[str, str]]:
    """(type, source) of each cell."""
    return [(c["cell_type"], "".join(c["source"])) for c in json.loads(path.read_text())["cells"]]


def test_the_stages_are_the_notebooks_in_their_order():
    assert [path.stem for path in PATHS] == list(stages.STAGES)
    for name, stage in stages.STAGES.items():
        assert all(need < name for need in stage.needs)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_it_opens_with_a_question_which_is_answered_before_any_figure(path):
    (kind, title), *rest = cells(path)
    assert kind == "markdown"
    assert title.startswith(f"# {path.stem[:2]} · ")
    assert title.splitlines()[0].endswith("?")
    assert f'Workspace("{path.stem}", profile, overrides)' in "".join(source for _, source in rest)
    code = [source for kind, source in rest if kind == "code"]
    answered = next(n for n, source in enumerate(code) if "Markdown(say." in source)
    assert "save_figure" not in "".join(code[: answered + 1])
    before = [kind for kind, _ in rest[: rest.index(("code", code[answered]))]]
    assert set(before) <= {"code"}, "the answer stands under the title"


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_readme_links_it_or_its_executed_copy(path):
    text = (store.REPOSITORY / "README.md").read_text()
    linked = [f"[{path.stem}]({folder}/{path.name})" in text for folder in ("notebooks", "data/laptop/notebooks")]
    assert sum(linked) == 1, "make readme writes README's list of notebooks"


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_cells_are_short_and_every_figure_is_followed_by_words_from_its_table(path):
    for kind, source in cells(path):
        if kind == "code":
            assert len(source.splitlines()) <= LONGEST, source
            after = source.rpartition("save_figure")[2]
            assert "save_figure" not in source or "Markdown(" in after, source


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_words_state_no_number_that_a_cell_computes(path):
    """Scores and shares in written text are the paper's, and the sentence says so."""
    for kind, source in cells(path):
        for paragraph in source.split("\n\n") if kind == "markdown" else ():
            without = re.sub(r"[Ss]ections? [\d., and]+|95% interval", "", paragraph)
            assert not re.search(r"\d\.\d|\d ?%", without) or "paper" in without.lower(), paragraph


def test_every_table_is_written_by_one_notebook():
    wrote = [name for path in PATHS for name in re.findall(r'save_table\("(\w+)"', "".join(s for _, s in cells(path)))]
    wrote += ["clustering", "hard", "variance", "course"]  # by one line of notebook 03
    assert 'for name in ("clustering", "hard", "variance", "course")' in "".join(s for _, s in cells(PATHS[2]))
    assert sorted(wrote) == sorted(set(TABLES) - OTHERS)


def test_what_sweeps_make_is_read_where_it_is_said_to_be():
    for path in PATHS:
        code = "".join(source for kind, source in cells(path) if kind == "code")
        for name in SWEPT:
            assert (f'"{name}"' in code) == (name in stages.FROM_SWEEPS.get(path.stem, ())), f"{path.stem}: {name}"
