"""Whether a command printed what its page shows: numbers, ids and the breaks of lines may differ."""

import re
import textwrap
from collections.abc import Sequence

__all__ = ["ANY", "masked", "matches", "shown_lines"]

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
ID = re.compile(r"\b[0-9a-f]{32}\b")
NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
DRAWN = re.compile(r"[\u2500-\u257f]+")
"""The lines of tables."""
ANY = "..."
WIDEST = 120


def masked(text: str) -> str:
    """Text with # for a number and for an id, without the lines of tables, in one line."""
    text = DRAWN.sub(" ", ANSI.sub("", text))
    return " ".join(NUMBER.sub("#", ID.sub("#", text)).split())


def matches(expected: Sequence[str], printed: str) -> bool:
    """Whether printed text is what is expected: `...` stands for any text, in a line or for several lines."""
    parts = [re.escape(masked(part)) for part in "\n".join(expected).split(ANY)]
    pattern = r".*?".join(part and rf"\s*{part}\s*" for part in parts)
    return re.fullmatch(rf"\s*{pattern}\s*", masked(printed), re.DOTALL) is not None


def shown_lines(printed: str) -> list[str]:
    """Printed text as a page has it: plain, lines within its width."""
    lines: list[str] = []
    for line in ANSI.sub("", printed).rstrip().splitlines():
        plain = line.rstrip()
        if len(plain) <= WIDEST:
            lines.append(plain)
        else:
            lines += textwrap.wrap(plain, WIDEST, break_long_words=False, break_on_hyphens=False)
    return lines
