"""The commands of a page.

A line after `$` in a `console` block is a command, the lines under it are what it prints. A block of `sh` is one command;
what it prints is not on the page.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.docs.matching import ANY
from stages.core.base.errors import UserError

__all__ = ["Command", "commands_of", "with_outputs"]

PROMPT, MORE = "$ ", "    "
FENCE = re.compile(r"^```(\w*)$")
FIRST = re.compile(r"^<!-- run first: (.+) -->$")
NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
EXIT_CODE = re.compile(r"^<!-- exit code: (\d+) -->$")


@dataclass
class Command:
    """A command of a page.

    Attributes:
        text: what is typed, lines joined.
        first, last: lines of the page that it stands on, from 0.
        expected: the lines under it.
        not_run: why it is not run; None: it is run.
        exit_code: what it ends with.
        shown: whether what it prints stands under it.
    """

    text: str
    first: int
    last: int
    expected: list[str] = field(default_factory=list)
    not_run: str | None = None
    exit_code: int = 0
    shown: bool = True


def commands_of(page: Path) -> list[Command]:
    """The commands of all blocks of `console` and of `sh`, in their order.

    A comment before a block says `<!-- not run: REASON -->`, or `<!-- exit code: N -->` of its commands. A command in
    `<!-- run first: COMMAND -->` is run at its place, whatever it prints.

    Raises:
        UserError: for a block that does not begin with a command.
    """
    lines, found = page.read_text(encoding="utf-8").splitlines(), list[Command]()
    inside, reason, code = "", None, 0
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence is not None:
            if inside:
                inside, reason, code = "", None, 0
            else:
                inside = fence[1] or "text"
            first_of_block = True
            continue
        if not inside and (hidden := FIRST.match(line)):
            found.append(Command(hidden[1], number, number, [ANY], shown=False))
        elif not inside:
            reason = match[1] if (match := NOT_RUN.match(line)) else reason if not line else None
            code = int(match[1]) if (match := EXIT_CODE.match(line)) else code if not line else 0
        if inside == "sh":
            if first_of_block:
                found.append(Command(line, number, number, [ANY], reason, code, shown=False))
            else:
                found[-1].text += f"\n{line}"
        if inside != "console":
            first_of_block = False
            continue
        if line.startswith(PROMPT):
            found.append(Command(line[len(PROMPT) :], number, number, not_run=reason, exit_code=code))
        elif first_of_block:
            raise UserError(f"{page}:{number + 1}: a console block begins with `$ ` and a command")
        elif found[-1].text.endswith("\\") and not found[-1].expected:
            found[-1].text = f"{found[-1].text[:-1].rstrip()} {line.strip()}"
            found[-1].last = number
        else:
            found[-1].expected.append(line)
        first_of_block = False
    return found


def with_outputs(page: Path, outputs: Sequence[tuple[Command, Sequence[str]]]) -> str:
    """The page's text with other outputs under some of its commands."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for command, output in sorted(outputs, key=lambda each: each[0].first, reverse=True):
        begin = command.last + 1
        lines[begin : begin + len(command.expected)] = list(output)
    return "\n".join(lines) + "\n"
