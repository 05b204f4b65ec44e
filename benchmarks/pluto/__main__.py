"""The open T41 compiler beside this project: `python -m benchmarks.pluto --compiler DIR`.

DIR is a copy of github.com/inoop/t41-pluto (commit 8f374b6); its Python package `compile` is imported. Two tables:

equality   the codes of every layer of small networks, and of a project folder's network (`--project`, built for the
           T41): the exact simulator's beside the compiler's own arithmetic, from the picture through all layers, and
           each layer alone
taken      networks and files with one change each: whether `python -m stages.build.pluto` takes them, and what the
           compiler says, or the camera would do by the sources of its runtime

Exit code 1 if a code differs or a file is taken wrongly.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import Row, results_table
from benchmarks.pluto.compiler import Compiler
from benchmarks.pluto.device import answer
from benchmarks.pluto.equality import count_equal
from benchmarks.pluto.faults import EDITED, EDITS, VARIANTS
from benchmarks.pluto.networks import NETWORKS, Net, pictures_for
from benchmarks.pluto.quantized import QuantizedNetwork, quantized_network
from stages.build.pluto.compatibility import find_refusals
from stages.core.base.artifacts import write_json
from stages.core.base.console import output, track
from stages.core.base.paths import BUILD, CALIBSET, INPUTS, INTEGER_MODEL, QUANTIZED_MODEL
from stages.core.command import guarded
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_store import calibration_samples
from stages.core.integer.model import load_integer_model

CALIBRATION_PICTURES, PICTURES = 8, 3
PROJECT_PICTURES = 2
EQUALITY_COLUMNS = ("network", "codes", "differ", "differ_alone", "left_out")
TAKEN_COLUMNS = ("network", "taken", "answer", "right")


def main() -> None:
    parser = benchmark_parser("benchmarks.pluto", __doc__, data=False)
    parser.add_argument("--compiler", type=Path, required=True, metavar="DIR", help="the copy of t41-pluto")
    parser.add_argument("--project", type=Path, action="append", default=[], metavar="DIR", help="a built project")
    arguments = parser.parse_args()
    report = resolved(arguments.json)
    run = partial(compared, arguments.compiler.resolve(), arguments.project, report)
    sys.exit(guarded(lambda: int(not run()), arguments.debug))


def compared(compiler_folder: Path, projects: Sequence[Path], report: Path | None) -> bool:
    """Measure, print the tables and write the rows; gives whether nothing is wrong."""
    compiler = Compiler(compiler_folder)
    small = {name: _quantized(*entry) for name, entry in track(NETWORKS.items(), "quantizing")}
    equality = [_small_row(compiler, name, small[name]) for name in track(small, "comparing")]
    equality += [_project_row(compiler, folder.resolve()) for folder in projects]
    taken = list(_taken_rows(compiler, small))
    output.print(results_table("codes equal to the compiler's", equality, EQUALITY_COLUMNS, ("network", "left_out")))
    output.print(results_table("taken, and the compiler's answer", taken, TAKEN_COLUMNS, ("network", "answer")))
    if report is not None:
        write_json(report, {"equality": equality, "taken": taken})
    return not any(row["differ"] or row["differ_alone"] for row in equality) and all(row["right"] for row in taken)


def _quantized(write: Callable[[Net], onnx.ModelProto], settings: dict[str, Any]) -> tuple[Net, QuantizedNetwork]:
    net = Net(**settings)
    model = write(net)
    return net, quantized_network(model, pictures_for(net, CALIBRATION_PICTURES))


def _small_row(compiler: Compiler, name: str, network: tuple[Net, QuantizedNetwork]) -> Row:
    net, quantized = network
    results = [
        count_equal(compiler, quantized.form, quantized.qdq, quantized.integer, picture)
        for picture in pictures_for(net, PICTURES, seed=1)
    ]
    return _equality_row(name, results)


def _project_row(compiler: Compiler, folder: Path) -> Row:
    """The network of a project, on its first calibration pictures."""
    (form,) = (folder / BUILD / "t41/pluto").glob("*_int8.onnx")
    models = onnx.load(form), onnx.load(folder / QUANTIZED_MODEL), load_integer_model(folder / INTEGER_MODEL)
    inputs, samples = load_inputs(folder / INPUTS), calibration_samples(folder / CALIBSET)
    results = [count_equal(compiler, *models, feeds(samples[i], inputs)) for i in range(PROJECT_PICTURES)]
    return _equality_row(folder.name, results)


def _equality_row(name: str, results: Sequence[Any]) -> Row:
    return {
        "network": name,
        "codes": sum(result.codes for result in results),
        "differ": sum(result.through for result in results),
        "differ_alone": sum(sum(result.alone.values()) for result in results),
        "left_out": list(results[0].left_out),
    }


def _taken_rows(compiler: Compiler, small: dict[str, tuple[Net, QuantizedNetwork]]) -> Iterator[Row]:
    networks = small | {name: _quantized(*entry) for name, entry in track(VARIANTS.items(), "variants")}
    for name, (net, quantized) in networks.items():
        yield _taken_row(compiler, name, net, quantized.form)
    for name, edit in EDITS.items():
        for base in EDITED:
            net, quantized = small[base]
            model = onnx.ModelProto()
            model.CopyFrom(quantized.form)
            try:
                edit(model)
            except IndexError:
                continue
            del model.graph.value_info[:]
            yield _taken_row(compiler, f"{base}: {name}", net, model)
            break


def _taken_row(compiler: Compiler, name: str, net: Net, model: onnx.ModelProto) -> Row:
    taken = not find_refusals(model)
    said = answer(compiler, model, pictures_for(net, 1, seed=1)[0]["images"][0])
    return {"network": name, "taken": taken, "answer": said, "right": taken == (said == "right")}


if __name__ == "__main__":
    main()
