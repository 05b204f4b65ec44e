"""Compares the dumps of a board with the PC's, layer by layer, and says why they differ and what to do.

PC_DIR: what `python -m stages.infer INPUT --dump DIR` wrote (or the vendor's PC inference, its converter's ptq_model/,
a training kit). BOARD_DIR: what the board's debug build wrote. Files are paired by name and compared by their bytes;
where they differ, layouts, packings and types are tried, alone and together. The first layer in graph order that really
differs is named. Exit code 0: equal, 1: different, 2: a mistake of yours.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stages.check.folders import Dump, cases, pair_files
from stages.check.knowledge import Known, input_form, known_layers
from stages.check.layers import Layer
from stages.check.report import Case, advice, content, differing_table, page, summary
from stages.check.steps import Array
from stages.check.values import Cause
from stages.check.verdict import State, compare_input, compare_layers
from stages.check.versions import check_versions, find_logs, parse_versions, read_text
from stages.core.base.artifacts import check_targets, write_json, write_text
from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.base.paths import CHECK, INPUTS
from stages.core.base.sources import SourceFile
from stages.core.command import Parser, guarded
from stages.core.data.arrays import read_array
from stages.core.data.inputs import load_inputs, only_picture
from stages.core.integer.dumps import dumped_layers

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
    found = cases(arguments.pc, arguments.board)
    logs = arguments.log or find_logs(arguments.board)
    notes = [versions_note(log) for log in logs] or [
        "versions of runtime and model not checked: no log in BOARD_DIR, --log FILE gives one"
    ]
    text = "\n".join(read_text(log) for log in logs)
    done = [compared(name, pc, board, text, notes, siblings(arguments.pc, pc)) for name, pc, board in found]
    for case in done:
        show(case, arguments.count or None)
    write_text(arguments.html, page(done, arguments.any_layout))
    output.print(f"page: {arguments.html.resolve().as_uri()}")
    if arguments.json:
        write_json(arguments.json, [content(case, arguments.any_layout) for case in done])
    return 0 if all(case.equal(arguments.any_layout) for case in done) else 1


def compared(name: str, pc: Dump, board: Dump, log: str, notes: Sequence[str], others: Sequence[Dump]) -> Case:
    """Compare one pair of dumps."""
    pairs = pair_files(pc, board)
    known = known_layers(pc, log)
    inputs = [compare_input(pc, board, files, input_form(pc, files[0])) for files in pairs.inputs]
    fed = next((found for found in inputs if found.state is State.DIFFERS), next(iter(inputs), None))

    def of_others(file: str, bytes_: bytes) -> str | None:
        same = (dump for dump in others if file in dump.files and dump.read(file) == bytes_)
        return next((f"the input {dump.folder.name}" for dump in same), None)

    differs = fed is not None and fed.state is State.DIFFERS
    layers = compare_layers(pc, board, pairs, known.layers, of_others, feeding(pc, known), differs)
    undumped = [entry for entry in layers if entry.layer.is_input and entry.state is State.MISSING]
    if undumped:  # the vendor's runtime takes pixels, and dumps what it computes
        layers = [entry for entry in layers if entry not in undumped]
        notes = [*notes, f"not compared: the board has no dump of its input's codes ({undumped[0].layer.name})"]
    unknown = [entry for entry in layers if entry.state is State.MISSING and not entry.layer.listed]
    if unknown:  # left from another dump: no layer that the board could have
        layers = [entry for entry in layers if entry not in unknown]
        files = ", ".join(entry.layer.file for entry in unknown)
        notes = [
            *notes,
            f"not compared: {files} in {pc.folder}, which {known.source} does not list; nor has the board it",
        ]
    return Case(name, str(pc.folder), str(board.folder), known, pairs, layers, fed, notes)


def feeding(pc: Dump, known: Known) -> Callable[[Layer, Array], Cause | None]:
    """How the board was fed, where the experiment is at hand to try it on the PC's input."""

    def find(layer: Layer, values: Array) -> Cause | None:
        pixels_files = [name for name in pc.inputs if name.startswith("input_data_shape")]
        inputs = load_inputs(INPUTS) if INPUTS.is_file() else []
        if known.model is None or not pixels_files or not only_picture(inputs):
            return None
        from stages.check.feeds import find_mistake  # noqa: PLC0415  ONNX Runtime takes a while to import

        tensor = next(each.tensor for each in dumped_layers(known.model) if each.node == layer.name)
        path = pc.folder / pixels_files[0]
        pixels = read_array(SourceFile(str(path), path.read_bytes), path.suffix, inputs[0], "the PC's input")
        return find_mistake(known.model, tensor, pixels, inputs[0], values)

    return find


def siblings(folder: Path, pc: Dump) -> list[Dump]:
    """The PC's dumps of other inputs."""
    if pc.folder == folder:
        return []
    from stages.check.folders import read_dump  # noqa: PLC0415

    others = (path for path in sorted(folder.iterdir()) if path.is_dir() and path != pc.folder)
    return [dump for path in others if (dump := read_dump(path)).files]


def versions_note(log: Path) -> str:
    """Check a log's versions; gives the line that says them.

    Raises:
        UserError: if the runtime is older than the model.
    """
    found = parse_versions(read_text(log))
    check_versions(found, log)
    if not found.runtime or not found.model:
        return f"{log}: no venus version and model version in it, so not checked"
    return f"runtime {found.runtime} runs models of {found.model} ({log})"


def show(case: Case, count: int | None) -> None:
    """Print one case."""
    if any(entry.state is not State.EQUAL for entry in case.found):
        output.print(differing_table(case, output.width, count))
    label = f"{case.name}: " if case.name else ""
    output.print(f"{label}{case.verdict}", style="bold")
    for found, cure in advice(case):
        output.print(f"  {found}\n    do: {cure}")
    output.print(f"{label}{summary(case)}; shapes and order: {case.known.source}")
    for note in case.notes:
        output.print(note)


if __name__ == "__main__":
    main()
