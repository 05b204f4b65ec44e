"""The pages as files: their links lead somewhere, and they can be read."""

import re
from functools import cache

import pytest

from benchmarks.docs.ease import prose, reading_ease, syllables
from benchmarks.docs.wrap import too_wide
from tests.conftest import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = [
    README,
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
LONGEST_README = 120
EASY = [README, *sorted((REPOSITORY / "docs" / "tutorials").glob("*.md"))]


@cache
def text_of(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", each) for each in re.findall(r"^#+ (.+)$", text_of(page), re.M)]
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(re.sub(r"`[^`]*`", "", text_of(page))):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", EASY, ids=lambda page: page.stem)
def test_the_first_pages_read_easily(page):
    assert reading_ease(prose(page.read_text(encoding="utf-8"))) > 55


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("the", 1), ("layer", 2), ("network", 2), ("quantize", 2), ("table", 2), ("tables", 2), ("scale", 1),
        ("files", 1), ("changes", 2), ("needed", 2), ("cached", 1), ("calibration", 4), ("any", 2),
    ],
)  # fmt: skip
def test_syllables(word, count):
    assert syllables(word) == count


def test_reading_ease():
    """By hand: 2 sentences, 6 words, 9 syllables; the code, the table and the link's target do not count."""
    text = prose("# The cat\n\n| a |\n|---|\n| b |\n\nIt [quantizes](c.md) all layers.\n\n```sh\nquantization\n```\n")
    assert reading_ease(text) == pytest.approx(206.835 - 1.015 * 6 / 2 - 84.6 * 9 / 6)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_line_is_too_wide(page):
    """`python -m benchmarks.docs.wrap PAGE` mends it."""
    assert too_wide(page.read_text(encoding="utf-8")) == []


def test_the_readme_fits_two_screens():
    assert len(README.read_text(encoding="utf-8").splitlines()) < LONGEST_README


def test_every_page_is_in_the_site_and_begins_with_its_title():
    listed = re.findall(r"([\w/]+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    docs = REPOSITORY / "docs"
    assert sorted(listed) == sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    assert all(page.read_text(encoding="utf-8").startswith("# ") for page in PAGES)
