"""What the user sees while work goes on: one console on standard error, progress with the time left."""

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

__all__ = ["console", "counted", "new_table", "next_step", "output", "progress", "progress_bar", "say", "track", "warn"]

T = TypeVar("T")

PLAIN_WIDTH = 150  # columns where there is no terminal to ask, as under `dvc repro`

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What changes how a terminal shows other characters, and what no terminal takes."""


class _PlainConsole(Console):
    """A console that shows such characters of names and files escaped."""

    def render_str(self, text: str, **style: Any) -> Text:
        return super().render_str(_printable(text), **style)


def _printable(text: str) -> str:
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
        stream.reconfigure(errors="backslashreplace")  # a terminal or a pipe that lacks a letter shows it escaped

console = _PlainConsole(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
"""Progress, notes and warnings."""

output = _PlainConsole(soft_wrap=True, highlight=False, markup=False, emoji=False)
if not output.is_terminal and "COLUMNS" not in os.environ:
    output.width = PLAIN_WIDTH
"""Results: what a user may want to pipe."""


def say(label: str, message: str, style: str) -> None:
    """Print one line on standard error: a coloured label, then the message; its line breaks are blanks."""
    console.print(f"{label}:", style=style, end=" ")
    console.print(" ".join(message.splitlines()))


def next_step(line: str) -> None:
    """Print what to type next: the last line of a command."""
    output.print(f"next:    {line}")


def new_table(title: str | None, *headings: str) -> Table:
    """A table as all commands print them, with columns of these headings."""
    return Table(*headings, title=title, title_justify="left", header_style="bold")


def counted(count: int, noun: str) -> str:
    """Say how many, as in "1 picture", "2 pictures"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def warn(message: str) -> None:
    """Print one warning line."""
    say("warning", message, "yellow")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar that shows how many are done and the time left; it vanishes at the end.

    Where there is no terminal nothing is shown: a log keeps the results alone.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[], object]]:
    """Show a progress bar of work that is no iteration; what it gives is called when a step is done."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


def progress_bar() -> Progress:
    """A bar as all commands show it: what is done, and the time left. Without a terminal nothing is shown."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
