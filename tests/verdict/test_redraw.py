import re

import pytest
from matplotlib.text import Text
from overlaps import overlapping

from helpers import figures, store
from helpers.figures.style import PAGE, grid_of
from helpers.table_folder import TableFolder
from helpers.verdict import gather, redraw, story

CODE = re.compile(r"[a-z0-9]_[a-z0-9]|=[a-zA-Z0-9]|\bw\d{2,}\b")  # names from code


@pytest.fixture(scope="module")
def drawn(committed):
    tables = TableFolder(committed / "data/laptop/tables")
    found = dict(redraw.drawn(tables))
    if "multiverse" in tables:
        found["flips"] = figures.flips(tables["multiverse"], redraw.other_seeds(tables), redraw.RULES)
    return found | {"found": story.figure(gather.of_story(tables))}


def test_every_figure_of_tables_alone_is_drawn_again(committed, drawn):
    there = {path.stem for path in (committed / "figures/laptop").glob("*.svg")}
    more = ("explorer_", "llm_map_", "data", "readings")  # states, data sets, and a search that a notebook sums up
    assert {s for s in there if not s.startswith(more)} <= set(drawn)


def test_every_figure_fits_a_page_and_says_in_words_what_it_shows(drawn):
    for name, figure in drawn.items():
        width, height = figure.get_size_inches()
        assert (width, height) <= PAGE and height <= PAGE[1], name  # noqa: PT018
        title = figure.get_suptitle()
        assert len(title) > 20, name
        if not name.startswith("llm_"):
            assert re.search(r"\breadings? ", title.lower()), f"{name} does not name its reading"
        for text in figure.findobj(Text):
            assert not CODE.search(text.get_text()), f"{name}: {text.get_text()}"


GROWING = ("claims", "thresholds", "course", "multiverse", "found")  # with the runs that there are


def test_no_words_of_a_figure_lie_on_each_other(drawn):
    for name, figure in drawn.items():
        if name.startswith(GROWING):
            assert not overlapping(figure), name


def test_words_that_lie_on_each_other_are_noticed():
    figure, ((ax,),) = grid_of(1, 1, height=1)
    ax.set_yticks([0.5, 0.52, 5], ["one", "other", "out of sight"])
    ax.set_ylim(0, 1)
    ax.text(0.2, 0.2, "in the axes")
    assert overlapping(figure) == [("one", "other")]
    ax.text(0.22, 0.22, "on it")
    assert overlapping(figure) == [("in the axes", "on it"), ("one", "other")]


def test_a_missing_table_is_named_with_the_remedy(tmp_path):
    tables = TableFolder(tmp_path)
    assert "multiverse" not in tables
    with pytest.raises(store.ArtefactError, match=r"training\.csv.*make reproduce"):
        next(redraw.drawn(tables))


@pytest.mark.parametrize(
    ("folder", "remedy"),
    [
        ("laptop", "run make reproduce"),
        ("smoke", "run make reproduce PROFILE=smoke"),
        ("paper--seed-7-abc", "run make reproduce PROFILE=paper with the READING and SET that this folder is named by"),
    ],
)
def test_a_missing_table_names_the_command_that_makes_it_there(tmp_path, folder, remedy):
    tables = TableFolder(tmp_path / folder / "tables")
    for read in (tables.provenance, lambda: tables["training"]):
        with pytest.raises(store.ArtefactError) as error:
            read()
        assert str(error.value).endswith(remedy)
