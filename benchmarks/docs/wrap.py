"""Wraps the pages' lines at 120 columns: `python -m benchmarks.docs.wrap docs/board.md`.

A paragraph or an item of a list with a longer line is wrapped anew. A row of a table cannot be wrapped. So a table of
two or three columns with a longer row becomes a list: an item for each row, with the column's name before each further
cell. In a wider table the longest cell of such a row goes into a note below. Blocks of code, and all else, stay as they
are.
"""

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.docs.reference.text import WIDEST
from stages.core.base.artifacts import write_text
from stages.core.base.console import output
from stages.core.command import Parser, guarded

__all__ = ["too_wide", "wrapped"]

EPILOG = """\
examples:
  python -m benchmarks.docs.wrap docs/board.md docs/init.md
  python -m benchmarks.docs.wrap CHANGELOG.md
  python -m benchmarks.docs.wrap docs/*.md
"""
ITEM = re.compile(r"^(\s*)([-*]|\d+\.) +")
RULE = re.compile(r"^\|[-:| ]+\|$")
"""The second line of a table."""
CELL = re.compile(r"(?<!\\)\|")
LINKS = re.compile(r"(?:\[[^\]]*\]\([^)]*\)(?:, )?)+")
PLAIN_HEADS = {"", "meaning", "what", "more", "why", "page", "effect", "values", "what it is for", "to", "line"}
"""Names of columns that say nothing which their cells do not."""
PLAIN_FIRST = {"", "file", "files", "key", "word", "folder", "option", "argument", "column", "group", "for", "field"}
"""The same of first columns."""
LONGEST_TERM = 40
"""Characters of a first cell that stands out in a list, if all of them do."""
MOST_LISTED = 3
"""Columns of a table that becomes a list."""


def main() -> None:
    parser = Parser("benchmarks.docs.wrap", __doc__, EPILOG)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="files of Markdown")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: wrap_pages(arguments.pages), arguments.debug))


def wrap_pages(pages: Sequence[Path]) -> None:
    """Wrap files, and say which have changed."""
    for page in pages:
        before = page.read_text(encoding="utf-8")
        after = wrapped(before)
        if after != before:
            write_text(page, after)
            output.print(f"{page} wrapped")
        for number in too_wide(after):
            output.print(f"{page}:{number}: is still too wide: wrap it by hand")


def too_wide(text: str) -> list[int]:
    """The numbers of a page's lines that are too wide, from 1."""
    return [number for number, line in enumerate(text.splitlines(), 1) if len(line) > WIDEST]


def wrapped(text: str) -> str:
    """A page's text with its lines wrapped where one is too wide."""
    lines: list[str] = []
    for block, is_code in _blocks(text.splitlines()):
        if is_code or all(len(line) <= WIDEST for line in block):
            lines += block
        elif len(block) > 1 and RULE.match(block[1]):
            lines += _listed(block) if len(_cells(block[0])) <= MOST_LISTED else _noted(block)
        elif block[0].startswith(("#", "<", ">", "![")):
            lines += block
        else:
            lines += _filled(block)
    return "\n".join(lines) + "\n"


def _blocks(lines: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """The blocks of a page: code, tables, items, paragraphs, single lines; each with whether it is code."""
    block: list[str] = []
    inside = False
    for line in lines:
        fence = line.lstrip().startswith("```")
        table = line.startswith("|")
        begins = not line or fence or inside or ITEM.match(line) or line.startswith("#")
        if block and not inside and (begins or table != block[0].startswith("|")):
            yield block, False
            block = []
        if fence or inside:
            yield [line], True
            inside = inside != fence
        elif not line:
            yield [line], False
        else:
            block.append(line)
    if block:
        yield block, False


def _filled(block: Sequence[str]) -> list[str]:
    """A paragraph or an item of a list, filled anew; no line begins as an item would."""
    item = ITEM.match(block[0])
    indent = " " * len(item[0]) if item else ""
    text = " ".join(line.strip() for line in block)
    start = item[1] if item else ""
    for width in range(WIDEST, WIDEST - 20, -1):
        filler = textwrap.TextWrapper(
            width, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        lines = filler.wrap(text)
        if not any(ITEM.match(line.strip() + " ") or line.strip().startswith(("#", "|", ">")) for line in lines[1:]):
            break
    return lines


def _listed(table: Sequence[str]) -> list[str]:
    """A table as a list."""
    heads, _, *rows = [[cell.replace("\\|", "|") for cell in _cells(line)] for line in table]
    lines: list[str] = []
    title = heads[0][:1].upper() + heads[0][1:]
    if len(heads) == 2 and title and heads[1].lower() not in PLAIN_HEADS:
        lines += [f"{title}: {heads[1]}.", ""]
    elif heads[0].lower() not in PLAIN_FIRST:
        lines += [f"{title}:", ""]
    terms = all(len(row[0]) <= LONGEST_TERM and "`" not in row[0] for row in rows)
    for first, *rest in rows:
        lines += _filled([f"- {_joined(f'**{first}**' if terms and first else first, heads[1:], rest)}"])
    return lines


def _noted(table: Sequence[str]) -> list[str]:
    """A table in which long cells stand as numbers, and the notes that say what these are."""
    lines, notes = list[str](), list[str]()
    for line in table:
        cells = _cells(line)
        while len(row := f"| {' | '.join(cells)} |") > WIDEST and max(map(len, cells)) > len("(99)"):
            longest = max(range(len(cells)), key=lambda index: len(cells[index]))
            notes.append(cells[longest])
            cells[longest] = f"({len(notes)})"
        lines.append(row if len(line) > WIDEST else line)
    filled = [_filled([f"- ({number}): {note}"]) for number, note in enumerate(notes, 1)]
    return [*lines, "", *(line for item in filled for line in item)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in CELL.split(line)[1:-1]]


def _joined(first: str, heads: Sequence[str], rest: Sequence[str]) -> str:
    """A row as text: its first cell, then the others behind the names of their columns."""
    parts, links = list[str](), ""
    for head, cell in zip(heads, rest, strict=True):
        if not cell:
            continue
        if LINKS.fullmatch(cell) and parts:
            links = f" ({cell})"
        elif head.lower() in PLAIN_HEADS or len(heads) == 1:
            parts.append(cell)
        else:
            parts.append(f"{head}: {cell}")
    said = "; ".join(parts) + links
    if not said or not first:
        return first or said
    return f"{first}: {said}"


if __name__ == "__main__":
    main()
