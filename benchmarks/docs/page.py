"""The commands of a page.

In a block of `console` a line after `$ ` is a command, and the lines under it are what it prints. A block of `sh` is
one command; what it prints is not on the page.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.docs.matching import ANY
from stages.core.base.errors import UserError

__all__ = ["Command", "commands_of", "with_outputs"]

PROMPT, HIDDEN = "$ ", "run first"
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


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        language: behind its fence.
        first: the line of the page on which its lines begin, from 0.
        lines: its text.
        not_run: why its commands are not run; None: they are.
        exit_code: what they end with.
    """

    language: str
    first: int
    lines: list[str]
    not_run: str | None = None
    exit_code: int = 0


def commands_of(page: Path) -> list[Command]:
    """The commands of all blocks of `console` and of `sh`, in their order.

    A comment before a block says `<!-- not run: REASON -->`, or `<!-- exit code: N -->` of its commands. A command in
    `<!-- run first: COMMAND -->` is run at its place, whatever it prints.

    Raises:
        UserError: for a block that does not begin with a command.
    """
    found = list[Command]()
    for block in _blocks(page.read_text(encoding="utf-8").splitlines()):
        if block.language == "console":
            found += _console_commands(page, block)
        elif block.language == "sh":
            text, last = "\n".join(block.lines), block.first + len(block.lines) - 1
            found.append(Command(text, block.first, last, [ANY], block.not_run, block.exit_code, shown=False))
        elif block.language == HIDDEN:
            found.append(Command(block.lines[0], block.first, block.first, [ANY], shown=False))
    return found


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    """The blocks of a page, and its hidden commands as blocks of one line."""
    block, reason, code = None, None, 0
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if block is not None:
            if fence is None:
                block.lines.append(line)
                continue
            yield block
            block, reason, code = None, None, 0
        elif fence is not None:
            block = Block(fence[1], number + 1, [], reason, code)
        elif hidden := FIRST.match(line):
            yield Block(HIDDEN, number, [hidden[1]])
        elif line:
            reason = match[1] if (match := NOT_RUN.match(line)) else None
            code = int(match[1]) if (match := EXIT_CODE.match(line)) else 0


def _console_commands(page: Path, block: Block) -> list[Command]:
    """The commands of a block of `console`, with the lines under each.

    Raises:
        UserError: if it does not begin with a command.
    """
    found = list[Command]()
    for number, line in enumerate(block.lines, start=block.first):
        if line.startswith(PROMPT):
            found.append(Command(line[len(PROMPT) :], number, number, [], block.not_run, block.exit_code))
        elif not found:
            raise UserError(f"{page}:{number + 1}: a console block begins with `$ ` and a command")
        elif found[-1].text.endswith("\\") and not found[-1].expected:
            found[-1].text = f"{found[-1].text[:-1].rstrip()} {line.strip()}"
            found[-1].last = number
        else:
            found[-1].expected.append(line)
    return found


def with_outputs(page: Path, outputs: Sequence[tuple[Command, Sequence[str]]]) -> str:
    """The page's text with other outputs under some of its commands."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for command, output in sorted(outputs, key=lambda each: each[0].first, reverse=True):
        begin = command.last + 1
        lines[begin : begin + len(command.expected)] = list(output)
    return "\n".join(lines) + "\n"
