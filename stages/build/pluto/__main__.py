"""Checks a quantized network against the open T41 runtime (github.com/inoop/t41-pluto), node by node.

Reads any QDQ ONNX file, from any quantizer. Exit code 0: accepted; 1: refused, or the runtime would compute something
else.
"""

import sys
from pathlib import Path

import onnx
from rich.table import Table
from rich.text import Text

from stages.build.pluto.compatibility import find_refusals
from stages.build.pluto.convolution_geometry import unproven
from stages.build.pluto.folder import refusals_report
from stages.build.pluto.qdq_graph import QdqGraph
from stages.build.pluto.refusals import Effect, Refusal
from stages.core.base.artifacts import check_targets, write_json
from stages.core.base.console import counted, new_table, next_step, output
from stages.core.base.errors import UserError, one_line
from stages.core.command import Parser, guarded
from stages.core.graph.onnx_graph import Graph, load_model

EPILOG = """\
examples:
  python -m stages.build.pluto net_int8.onnx
  python -m stages.build.pluto out/build/t41/pluto/my_int8.onnx    what build wrote
  python -m stages.build.pluto net_int8.onnx --json check.json     the same, for a program to read
"""
EXIT_REFUSED = 1


def check(file: Path, json: Path | None) -> int:
    """Print the refusals of a file; gives the exit code."""
    check_targets(json)
    try:
        model = load_model(file)
        refusals = find_refusals(model)
    except onnx.shape_inference.InferenceError as error:
        raise UserError(f"{file} is no sound network: {one_line(error)}") from error
    notes = [] if refusals else unproven(QdqGraph(Graph(model)))
    if json is not None:
        write_json(json, refusals_report(refusals, notes))
    for note in notes:
        output.print(f"unproven: {note}")
    if not refusals:
        output.print(f"{file}: accepted by the open T41 runtime")
        next_step(f"python3 -m compile.cli {file} -o net.pluto, in the open compiler's folder")
        return 0
    output.print(_table(refusals))
    counts = {effect: sum(each.effect is effect for each in refusals) for effect in Effect}
    summary = "; ".join(f"{effect.value}: {count}" for effect, count in counts.items() if count)
    output.print(f"{file}: refused by the open T41 runtime ({summary})")
    next_step("the cures above, then again")
    return EXIT_REFUSED


def _table(refusals: list[Refusal]) -> Table:
    table = new_table(counted(len(refusals), "refusal"))
    for heading in ("node", "type", "what happens", "why", "cure"):
        table.add_column(heading, overflow="fold")
    for each in refusals:
        cells = (each.node, each.op_type, each.effect.value, each.reason, each.cure)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def main() -> None:
    parser = Parser("stages.build.pluto", __doc__, EPILOG)
    parser.add_argument("file", type=Path, metavar="FILE.onnx", help="a quantized network")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the refusals there too")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: check(arguments.file, arguments.json), arguments.debug))


if __name__ == "__main__":
    main()
