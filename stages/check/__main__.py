"""Compares the dumps of a board with the PC's, layer by layer, and says why they differ and what to do.

PC_DIR: what `python -m stages.infer INPUT --dump DIR` wrote (or the vendor's PC inference, its converter's ptq_model/,
a training kit). BOARD_DIR: what the board's debug build wrote. Files are paired by name and compared by their bytes;
where they differ, layouts, packings and types are tried, alone and together. The first layer in graph order that really
differs is named. Exit code 0: equal, 1: different, 2: a mistake of yours.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from stages.check.check_report import advice, content, differing_table, page, summary
from stages.check.dump_comparison import DumpComparison, compare_dumps
from stages.check.dump_folders import dumps_to_compare, sibling_dumps
from stages.check.layer_comparison import State
from stages.check.versions import check_versions, find_logs, parse_versions, read_text
from stages.core.base.artifacts import check_targets, write_json, write_text
from stages.core.base.console import next_step, output
from stages.core.base.errors import UserError
from stages.core.base.paths import CHECK
from stages.core.command import Parser, guarded

EPILOG = """\
examples:
  python -m stages.infer input.bin --dump MAGIK_DATA_DUMP       the PC's; copy the board's into board/
  python -m stages.check MAGIK_DATA_DUMP board
  python -m stages.check MAGIK_DATA_DUMP board --log console.txt --json check.json
"""


def main() -> None:
    parser = Parser("stages.check", __doc__, EPILOG)
    parser.add_argument("pc", type=Path, metavar="PC_DIR", help="the PC's dump, or a folder with one for each input")
    parser.add_argument("board", type=Path, metavar="BOARD_DIR", help="the board's dump")
    parser.add_argument(
        "--log",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="what the board or the PC's tool printed: versions, shapes (default: *.log and *.txt in BOARD_DIR)",
    )
    parser.add_argument(
        "--any-layout", action="store_true", help="layers count as equal if only their layout or packing differs"
    )
    parser.add_argument("--count", type=int, default=20, metavar="N", help="layers to show; 0: all (%(default)s)")
    parser.add_argument(
        "--html", type=Path, default=CHECK / "report.html", metavar="FILE", help="where the page goes (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(partial(check, arguments), arguments.debug))


def check(arguments: argparse.Namespace) -> int:
    if arguments.count < 0:
        raise UserError(f"--count {arguments.count}: give a number of layers, or 0 for all")
    check_targets(arguments.html, arguments.json)
    dumps = dumps_to_compare(arguments.pc, arguments.board)
    logs = arguments.log or find_logs(arguments.board)
    notes = [_versions_note(log) for log in logs] or [
        "versions of runtime and model not checked: no log in BOARD_DIR has the vendor's lines, --log FILE gives one"
    ]
    log = "\n".join(read_text(log) for log in logs)
    comparisons = [
        compare_dumps(name, pc, board, log, notes, sibling_dumps(arguments.pc, pc)) for name, pc, board in dumps
    ]
    for comparison in comparisons:
        _print(comparison, arguments.count or None)
    write_text(arguments.html, page(comparisons, arguments.any_layout))
    output.print(f"report: {arguments.html.resolve().as_uri()}")
    if arguments.json:
        write_json(arguments.json, [content(comparison, arguments.any_layout) for comparison in comparisons])
    equal = all(comparison.equal(arguments.any_layout) for comparison in comparisons)
    next_step(
        "python -m stages.profile board.log, for the times" if equal else "the first line `do:` above, then again"
    )
    return 0 if equal else 1


def _versions_note(log: Path) -> str:
    """Check a log's versions; gives the line that says them.

    Raises:
        UserError: if the runtime is older than the model.
    """
    versions = parse_versions(read_text(log))
    check_versions(versions, log)
    if not versions.runtime or not versions.model:
        return f"{log}: no venus version and model version in it, so not checked"
    return f"runtime {versions.runtime} runs models of {versions.model} ({log})"


def _print(comparison: DumpComparison, count: int | None) -> None:
    if any(result.state is not State.EQUAL for result in comparison.layers):
        output.print(differing_table(comparison, output.width, count))
    label = f"{comparison.name}: " if comparison.name else ""
    output.print(f"{label}{comparison.verdict}", style="bold")
    for sentence, cure in advice(comparison):
        output.print(f"  {sentence}\n    do: {cure}")
    output.print(f"{label}{summary(comparison)}; shapes and order: {comparison.known.source}")
    for note in comparison.notes:
        output.print(note)


if __name__ == "__main__":
    main()
