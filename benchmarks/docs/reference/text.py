"""Markdown within 120 columns."""

import textwrap
from collections.abc import Iterable, Sequence

__all__ = ["WIDEST", "bullet", "paragraph", "sentence", "table", "word"]

WIDEST = 120
"""Columns of a line."""


def sentence(text: str) -> str:
    """A comment of the code as a sentence: a capital first, a full stop last; code and names keep theirs."""
    text = text.strip()
    first = text.split(" ", 1)[0]
    if first.rstrip(":;,").isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "?", ":", "!")) else f"{text}."


def paragraph(text: str, indent: str = "") -> str:
    """Text wrapped; `indent` begins the lines after the first. Words in backticks are not broken."""
    lines = textwrap.wrap(
        text, WIDEST, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip
    return "\n".join(lines)


def bullet(text: str) -> str:
    """An item of a list."""
    return paragraph(f"- {text}", "  ")


def word(text: str) -> str:
    """A piece of code within text."""
    return f"`{text}`" if text else ""


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell's | is escaped.

    Raises:
        ValueError: for a row that is wider than a page.
    """
    lines = [_row(heading), _row(["---"] * len(heading)), *(_row([c.replace("|", "\\|") for c in row]) for row in rows)]
    for line in lines:
        if len(line) > WIDEST:
            raise ValueError(f"a table's row is wider than {WIDEST} columns: {line}")
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
