"""The report of the committed tables, in a browser."""

import re

import pytest
from browser import browsing

from helpers import store
from helpers.verdict import report, story

TALLEST = 12_000  # pixels of the page before anything is unfolded, 1,280 pixels wide
PAGES = 25  # of A4


@pytest.fixture(scope="module")
def written(committed, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        data = tmp_path_factory.mktemp("report") / "data"
        (data / "laptop").mkdir(parents=True)
        (data / "laptop/tables").symlink_to(committed / "data/laptop/tables")
        patched.setattr(store, "DATA", data)
        patched.setattr(store, "FIGURES", committed / "figures")
        return report.write("laptop")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_can_be_read_on_a_desk_and_on_a_phone(written, width):
    with browsing(viewport={"width": width, "height": 900}) as (page, problems):
        page.set_default_timeout(120_000)
        page.goto(written.as_uri())
        assert problems == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "no sideways scrolling of the page"
        if width == 1280:
            assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST
        first = page.locator("body").inner_text()[:3000]
        assert all(f"{name}:" in first for name in ("In short", "What reproduces", "What does not"))
        assert page.locator(".five tbody tr").count() == len(story.FIVE)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nor of what is folded away"


def test_the_report_prints_on_few_pages(written):
    with browsing(viewport={"width": 1280, "height": 900}) as (page, _):
        page.set_default_timeout(120_000)
        page.goto(written.as_uri())
        printed = page.pdf(prefer_css_page_size=True)
    assert 3 < len(re.findall(rb"/Type\s*/Page\b", printed)) <= PAGES
