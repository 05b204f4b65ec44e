"""Runs the commands of the docs' pages: `python -m benchmarks.docs`.

Each page is run from top to bottom in a folder as a fresh clone has it. In a block of `console`, what a command prints
is compared with what the page shows under it: numbers may differ, and `...` stands for any text. A block of `sh` must
end as the page says. A block with the comment `not run` before it is left out, and its reason is printed. --update
writes what was printed into the page where it differs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import PROJECT
from benchmarks.docs.matching import ANY, matches, shown_lines
from benchmarks.docs.page import Command, commands_of, with_outputs
from benchmarks.docs.workspace import fresh_clone, run
from stages.core.base.artifacts import write_text
from stages.core.base.console import console, counted, output
from stages.core.base.errors import UserError
from stages.core.command import Parser, guarded

__all__ = ["PAGES", "run_page"]

PAGES = (
    "README.md",
    *(f"docs/{path.relative_to(PROJECT / 'docs')}" for path in sorted((PROJECT / "docs").rglob("*.md"))),
)


def main() -> None:
    parser = Parser("benchmarks.docs", (__doc__ or "").partition("\n\n")[2])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="pages, as docs/tutorials/four_bits.md (default: all)")
    parser.add_argument("--update", action="store_true", help="write into the pages what their commands print")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the folder of the one page here, and leave it")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    keep = arguments.keep.resolve() if arguments.keep else None
    sys.exit(guarded(lambda: run_pages(arguments.pages or PAGES, arguments.update, keep), arguments.debug))


def run_pages(names: Sequence[str], update: bool, keep: Path | None = None) -> int:
    """Run pages; gives 1 where a command printed something else.

    Raises:
        UserError: for a page that is not there.
    """
    wrong = 0
    for name in names:
        page = PROJECT / name
        if not page.is_file():
            raise UserError(f"{name}: no such page of {PROJECT}")
        if commands_of(page):
            wrong += len(run_page(page, update, keep))
    return int(wrong > 0)


def run_page(page: Path, update: bool = False, keep: Path | None = None) -> list[Command]:
    """Run the commands of a page; gives those that printed something else, or ended otherwise.

    Args:
        page: its file.
        update: write what was printed into the page.
        keep: where the folder is made and stays; None: a temporary one.
    """
    commands, wrong, seconds = commands_of(page), [], 0.0
    changed: list[tuple[Command, list[str]]] = []
    output.print(f"{page.name}: {counted(len(commands), 'command')}")
    with fresh_clone(keep) as folder:
        for command in commands:
            if command.not_run is not None:
                output.print(f"  not run ({command.not_run}): {command.text}")
                continue
            console.print(f"  $ {command.text}")
            outcome = run(command.text, folder)
            seconds += outcome.seconds
            same = matches(command.expected, outcome.printed) and outcome.code == command.exit_code
            output.print(f"  {'ok' if same else 'OTHER':5} {outcome.seconds:6.1f} s  {command.text}")
            shown = shown_lines(outcome.printed)
            if command.shown and (not same or (ANY not in "\n".join(command.expected) and shown != command.expected)):
                changed.append((command, shown))  # with --update numbers are those of the last run
            if not same:
                wrong.append(command)
                if not update or not command.shown:
                    output.print(f"exit code {outcome.code}, {command.exit_code} is right; it printed:")
                    output.print(outcome.printed)
            if outcome.code != command.exit_code:
                break  # what follows builds on it
    output.print(f"{page.name}: {seconds:.0f} s, {counted(len(wrong), 'command')} with other output")
    if update and changed:
        write_text(page, with_outputs(page, changed))
    return wrong


if __name__ == "__main__":
    main()
