"""TPU-MLIR's ways to choose ranges beside ours: `python -m benchmarks.tpu_mlir.methods --toolchain PYTHON PROJECT ...`.

PROJECT is a folder whose build stage ran for a chip of Sophgo's. Its float network and its calibration pictures go
through `run_calibration.py`, once a method for all projects: they have the same network and the same pictures. Each
table is then taken for the project's chip, weights rounded to the nearest as the compiler does, and our simulator,
which computes the compiler's codes (`python -m benchmarks.tpu_mlir` counts how many differ), runs the evaluation
pictures; so it does with what the project's own settings made. PYTHON is that of the environment in which TPU-MLIR is
installed. A row has:

method     `ours`, or what `--cali_method` was
rows       features whose threshold the table has; the rest follow from them by the compiler's rules
cosine     of the outputs to the float network's, mean over pictures
agree      pictures with the float network's best class
"""

import contextlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import Row, results_table
from benchmarks.tpu_mlir.toolchain import layer_tensors, run_tool
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.console import console
from stages.core.base.paths import FLOAT_MODEL, INTEGER_MODEL
from stages.core.command import guarded
from stages.core.config.load import load_params
from stages.core.config.schema import Config, QuantConfig, VendorMethod
from stages.core.data.inputs import feeds
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import cosine
from stages.core.tpu_mlir.calls import with_folder
from stages.quantize.float_network import Network
from stages.quantize.pipeline import Pipeline

COLUMNS = ("chip", "method", "rows", "cosine", "agree", "pictures")
FLAT = [method.value for method in VendorMethod if not method.value.startswith("use_")]
Range = tuple[float, float]
Outputs = dict[str, NDArray[Any]]


def main() -> None:
    parser = benchmark_parser("benchmarks.tpu_mlir.methods", __doc__, data=False)
    parser.add_argument("projects", type=Path, nargs="+", metavar="PROJECT", help="a project's folder")
    parser.add_argument("--toolchain", type=Path, required=True, metavar="PYTHON", help="the toolchain's Python")
    parser.add_argument("--methods", default=",".join(FLAT), help="theirs, with commas between; default: %(default)s")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder; tables that it has are not made")
    arguments = parser.parse_args()
    projects, python = [path.resolve() for path in arguments.projects], arguments.toolchain.absolute()
    report, keep, methods = resolved(arguments.json), resolved(arguments.keep), arguments.methods.split(",")
    sys.exit(guarded(lambda: _measure(projects, python, methods, report, keep), arguments.debug))


def _measure(
    projects: Sequence[Path], python: Path, methods: Sequence[str], report: Path | None, keep: Path | None
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = keep or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        tables = {method: calibrated(python, projects[0], work, method) for method in methods}
        rows = []
        for project in projects:
            with contextlib.chdir(project):
                rows += compare(work / "net.mlir", tables)
    console.print(results_table("TPU-MLIR's methods and ours", rows, COLUMNS, ("chip", "method")))
    if report:
        write_json(report, rows)


def calibrated(python: Path, project: Path, work: Path, method: str) -> dict[str, Range]:
    """Run one method of theirs, unless its table is there: name of a layer -> the range of its codes."""
    table = work / f"table_{method}"
    if not table.exists():
        with contextlib.chdir(project):
            board = (Path("out/build") / load_params(Path("params.yaml")).soc.name).resolve()
            steps, model = read_json(board / "steps.json"), FLOAT_MODEL.resolve()
            transform = with_folder(steps["transform"], board)
        for option, value in {"--model_def": model, "--mlir": "net.mlir", "--model_name": "net"}.items():
            transform[transform.index(option) + 1] = str(value)
        if not (work / "net.mlir").exists():
            run_tool([python.with_name(transform[0]), *transform[1:]], work, "net.mlir")
        pictures = board / "calibration"
        options = ["--dataset", pictures, "--input_num", len(list(pictures.iterdir())), "--chip", steps["chip"]]
        call = [python.with_name("run_calibration.py"), "net.mlir", *options, "--cali_method", method]
        run_tool([*call, "-o", table.name], work, table.name)
    return table_ranges(table.read_text())


def table_ranges(text: str) -> dict[str, Range]:
    """What a calibration table says: name of a layer -> the ends of its codes, signed where its min is below 0."""
    rows = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    return {name: (-float(most) if float(low) < 0.0 else 0.0, float(most)) for name, most, low, _ in rows}


def compare(mlir: Path, tables: Mapping[str, Mapping[str, Range]]) -> list[Row]:
    """A row for our own numbers, and one for each table, of the project in the current folder."""
    config = load_params(Path("params.yaml"))
    pipeline = Pipeline.open(replace(config, quant=_nearest(config)), Path.cwd())
    samples = read_samples(
        select(config.data.evaluation, pipeline.inputs, "data.evaluation"),
        pipeline.inputs, config.model.preprocess, "data.evaluation",
    )  # fmt: skip
    pictures = [feeds(each.sample, pipeline.inputs) for each in samples]
    names = [output.name for output in onnx.load(FLOAT_MODEL).graph.output]
    expected = [Runner(onnx.load(FLOAT_MODEL)).run(picture) for picture in pictures]

    def row(method: str, model: onnx.ModelProto, count: int | None) -> Row:
        runner = Runner(simulator_model(model, names), optimize="safe")
        found = similarity(expected, [runner.run(picture) for picture in pictures])
        return {"chip": config.soc.name, "method": method, "rows": count, "pictures": len(pictures)} | found

    rows = [row("ours", load_integer_model(INTEGER_MODEL), None)]
    for method, table in tables.items():
        ranges = of_tensors(mlir, table, pipeline.network)
        candidate = pipeline.choose_parameters(replace(pipeline.network, ranges=ranges), pipeline.config.quant)
        rows.append(row(method, candidate.lowered()[0], len(ranges)))
    return rows


def of_tensors(mlir: Path, table: Mapping[str, Range], network: Network) -> dict[str, Range]:
    """A table's ranges by the tensors of the network."""
    tensors = layer_tensors(mlir, set(network.statistics)) | {name: name for name in network.graph.inputs}
    return {tensor: table[name] for name, tensor in tensors.items() if name in table}


def similarity(expected: Sequence[Outputs], actual: Sequence[Outputs]) -> Row:
    """How near outputs are to the float network's, over all pictures."""
    cosines = [np.mean([cosine(of[name], to[name]) for name in of]) for of, to in zip(expected, actual, strict=True)]
    first = next(iter(expected[0]))
    agree = [int(of[first].argmax() == to[first].argmax()) for of, to in zip(expected, actual, strict=True)]
    return {"cosine": round(float(np.mean(cosines)), 4), "agree": sum(agree)}


def _nearest(config: Config) -> QuantConfig:
    """The settings with weights as the compiler rounds them."""
    quant = config.quant
    return QuantConfig("theirs", skip_nodes=quant.skip_nodes, skip_ops=quant.skip_ops, head=quant.head)


if __name__ == "__main__":
    main()
