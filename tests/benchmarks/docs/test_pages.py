"""The pages as files: their links lead somewhere, and they can be read."""

import re
from functools import cache

import pytest

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


def test_the_readme_fits_two_screens():
    assert len(README.read_text(encoding="utf-8").splitlines()) < LONGEST_README


def test_every_page_is_in_the_site_and_begins_with_its_title():
    listed = re.findall(r"([\w/]+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    docs = REPOSITORY / "docs"
    assert sorted(listed) == sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    assert all(page.read_text(encoding="utf-8").startswith("# ") for page in PAGES)
