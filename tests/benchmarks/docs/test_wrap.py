"""Pages are wrapped at 120 columns without a change of what they say."""

import pytest

from benchmarks.docs.wrap import too_wide, wrapped

WORDS = "word " * 30
ROW = f"| a | {WORDS.strip()} |"


def test_what_fits_stays_as_it_is():
    text = "# Title\n\nshort\nlines\n\n- item\n  more\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert wrapped(text) == text


def test_a_paragraph_is_filled_anew():
    assert wrapped(f"short\n{WORDS}\n") == f"short {'word ' * 22}word\n{' '.join(['word'] * 7)}\n"


def test_an_item_keeps_its_indentation():
    assert wrapped(f"- {WORDS}\n- other\n").splitlines()[1:] == [f"  {' '.join(['word'] * 7)}", "- other"]


def test_no_line_begins_as_an_item_would():
    text = " ".join(["word"] * 23) + " done - and more " + WORDS
    assert not any(line.startswith("-") for line in wrapped(text).splitlines())


def test_code_stays_as_it_is():
    text = f"```sh\n{WORDS}\n| a |\n```\n"
    assert wrapped(text) == text
    assert too_wide(text) == [2]


@pytest.mark.parametrize(
    ("head", "row", "lines"),
    [
        ("| key | what |", "| `a` | 1 \\| 2 |", ["- `a`: 1 | 2"]),
        ("| word | meaning | more |", "| scale | a step | [there](b.md) |", ["- **scale**: a step ([there](b.md))"]),
        ("| file | Ingenic | Sophgo |", "| x | this | |", ["- **x**: Ingenic: this"]),
        ("| what you see | where to look |", "| it falls | there |", ["- **it falls**: there"]),
        ("| in `out/` | |", "| a | b |", ["- **a**: b"]),
    ],
)
def test_a_table_with_a_row_that_is_too_wide_becomes_a_list(head, row, lines):
    columns = head.count("|") - 1
    wide = "| a |" + f" {WORDS} |" * (columns - 1)
    found = wrapped("\n".join([head, "|---" * columns + "|", row, wide]) + "\n").splitlines()
    assert all(len(line) <= 120 for line in found)
    first = next(index for index, line in enumerate(found) if line.startswith("- "))
    assert found[first : first + 1] == lines
    titles = {"| what you": ["What you see: where to look.", ""], "| in `out/": ["In `out/`:", ""]}
    assert found[:first] == next((title for start, title in titles.items() if head.startswith(start)), [])


def test_long_cells_of_a_wide_table_become_notes():
    text = f"| a | b | c | d |\n|---|---|---|---|\n| 1 | 2 | 3 | 4 |\n| {WORDS} | 2 | 3 | 4 |\n"
    lines = wrapped(text).splitlines()
    assert lines[2:5] == ["| 1 | 2 | 3 | 4 |", "| (1) | 2 | 3 | 4 |", ""]
    assert lines[5].startswith("- (1): word word")
    assert " ".join(lines[5:]).count("word") == 30
