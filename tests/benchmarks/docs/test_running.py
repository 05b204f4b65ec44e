"""The runner of pages: which commands a page has, and when what they print is what the page shows."""

import pytest

from benchmarks.docs.__main__ import run_page
from benchmarks.docs.matching import masked, matches, shown_lines
from benchmarks.docs.page import commands_of, with_outputs
from stages.core.base.errors import UserError
from tests.conftest import REPOSITORY

PAGE = """\
# A page

<!-- run first: touch here -->
```console
$ echo one \\
    two
one two
$ true
```

```sh
cd /    # both lines in one shell
ls
```

<!-- not run: no board -->
```console
$ flash it
```

<!-- exit code: 2 -->
```console
$ echo 12; exit 2
7
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_the_commands_of_a_page(page):
    hidden, joined, silent, unseen, skipped, failing = commands_of(page)
    assert (hidden.text, hidden.expected, hidden.shown) == ("touch here", ["..."], False)
    assert (joined.text, joined.expected) == ("echo one two", ["one two"])
    assert (silent.text, silent.expected, silent.shown) == ("true", [], True)
    assert (unseen.text, unseen.expected, unseen.shown) == ("cd /    # both lines in one shell\nls", ["..."], False)
    assert (skipped.text, skipped.not_run) == ("flash it", "no board")
    assert (failing.exit_code, failing.not_run, failing.expected) == (2, None, ["7"])


def test_a_block_that_begins_with_output_is_refused(page):
    page.write_text("```console\none\n```\n")
    with pytest.raises(UserError, match=r"page\.md:2: a console block begins with `\$ ` and a command"):
        commands_of(page)


def test_other_outputs_take_the_place_of_those_that_stand_there(page):
    _, joined, silent, *_ = commands_of(page)
    lines = with_outputs(page, [(joined, ["1", "2"]), (silent, ["3"])]).splitlines()
    assert lines[4:9] == ["$ echo one \\", "    two", "1", "2", "$ true"]
    assert lines[9:11] == ["3", "```"]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["cosine 0.99, 3 of 4"], "cosine 0.98, 2 of 7\n", True),
        (["cosine 0.99"], "fidelity 0.99\n", False),
        (["a ... d"], "a b c d", True),
        (["a", "...", "d"], "a\nb\nc\nd\n", True),
        (["a", "..."], "b\n", False),
        (["one line that", "goes on"], "one line that goes on", True),
        (["│ t41 │ 0.1 │"], "┏━━━┓\n│ t41   │ 0.25 │\n", True),
        ([], "warning: more\n", False),
        ([], "", True),
        (["done"], "\x1b[1mdone\x1b[0m\nwarning: more\n", False),
        (["-1e-05 (new)"], "3.5 (new)", True),
        (["run 0123456789abcdef0123456789abcdef"], "run " + "f" * 32, True),
    ],
)
def test_what_counts_as_the_same(expected, printed, same):
    assert matches(expected, printed) is same


def test_masks():
    assert masked("agreement 100.0%, 2,100 rows\n  of t41") == "agreement #%, # rows of t#"


def test_a_page_shows_plain_lines_within_its_width():
    assert shown_lines("\x1b[1ma\x1b[0m  \n" + "word " * 30) == ["a", " ".join(["word"] * 24), " ".join(["word"] * 6)]


@pytest.mark.slow
def test_the_page_on_experiments_shows_what_is_printed():
    """The cheapest page; `python -m benchmarks.docs` runs all."""
    assert run_page(REPOSITORY / "docs/experiments.md") == []


@pytest.mark.slow
def test_a_page_is_run_in_a_clone(page, capsys):
    assert run_page(page) == []
    page.write_text("```console\n$ echo one; ls dvc.yaml; ls .git\ntwo\n$ exit 1\n$ echo never\n```\n")
    capsys.readouterr()
    first, second = run_page(page)
    assert (first.text[:8], second.text) == ("echo one", "exit 1")
    said = capsys.readouterr().out
    assert "dvc.yaml\n" in said
    assert "HEAD" in said
    assert "never" not in said
