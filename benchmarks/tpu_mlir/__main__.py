"""Our simulator beside TPU-MLIR: `python -m benchmarks.tpu_mlir --toolchain PYTHON PROJECT ...`.

PROJECT is a folder whose quantize stage ran for a chip of Sophgo's. Its prepared network and its ranges, as a
calibration table, go through TPU-MLIR; every tensor's codes are compared with our simulator's on the same pictures.
PYTHON is that of the environment in which TPU-MLIR is installed. A row has:

tensors    that both have codes of
absent     tensors that only the integer model has codes of
codes      compared, over all pictures
differ     how many of them are not equal; the bar is 0
most       largest difference
first      the first tensor in graph order that differs

Exit code 1 if a code differs, 2 if something is missing.
"""

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import Row, results_table
from benchmarks.tpu_mlir.toolchain import record
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.paths import CALIBSET, INPUTS, INTEGER_MODEL, PREPARED_MODEL, QPARAMS
from stages.core.command import guarded
from stages.core.config.load import load_params
from stages.core.config.schema import Config
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_store import stored_sets
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model, tensor_quant_params
from stages.core.integer.network_params import load_qparams
from stages.core.integer.simulator import simulator_model

COLUMNS = ("network", "chip", "tensors", "absent", "codes", "differ", "most", "first")
Array = NDArray[Any]


def main() -> None:
    parser = benchmark_parser("benchmarks.tpu_mlir", __doc__, data=False)
    parser.add_argument("projects", type=Path, nargs="+", metavar="PROJECT", help="a project's folder")
    parser.add_argument("--toolchain", type=Path, required=True, metavar="PYTHON", help="the toolchain's Python")
    parser.add_argument("--pictures", type=int, default=10, help="on how many of the sample sets' pictures to compare")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and leave the files there")
    arguments = parser.parse_args()
    projects, python = [path.resolve() for path in arguments.projects], arguments.toolchain.absolute()
    report, keep = resolved(arguments.json), resolved(arguments.keep)
    sys.exit(guarded(lambda: _measure(projects, python, arguments.pictures, report, keep), arguments.debug))


def _measure(projects: Sequence[Path], python: Path, pictures: int, report: Path | None, keep: Path | None) -> int:
    rows = []
    for project in projects:
        with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(project):
            folder = keep / project.name if keep else Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            rows.append(compare(python, folder, pictures) | {"project": project.name})
    console.print(results_table("TPU-MLIR and our simulator", rows, COLUMNS, ("network", "first")))
    if report:
        write_json(report, rows)
    return int(any(row["differ"] for row in rows))


def compare(python: Path, folder: Path, pictures: int) -> Row:
    """Compare the project in the current folder; `folder` is an empty one to work in."""
    config = load_params(Path("params.yaml"))
    features = {feature.tensor: feature for feature in load_qparams(QPARAMS, config).features}
    inputs, samples = load_inputs(INPUTS), chain.from_iterable(stored_sets(CALIBSET).values())
    fed = [feeds(sample, inputs) for sample in islice(samples, pictures)]
    stacked = {name: np.stack([each[name] for each in fed]) for name in fed[0]}
    recording = record(
        python, folder, PREPARED_MODEL.absolute(), config.soc.name, features, stacked, _float_type(config)
    )
    ours = _simulated(fed)
    row: Row = {
        "network": config.model.name,
        "chip": config.soc.name,
        "codes": 0,
        "differ": 0,
        "most": 0,
        "first": None,
    }
    compared = [tensor for tensor in ours if tensor in recording.codes]
    row |= {"tensors": len(compared), "absent": len(ours) - len(compared)}
    for tensor in compared:
        theirs = recording.codes[tensor].reshape(ours[tensor].shape)
        theirs = _in_our_order(theirs, ours[tensor]) if tensor in recording.permuted else theirs
        apart = np.abs(theirs - ours[tensor])
        row["codes"] += int(apart.size)
        row["differ"] += int(np.count_nonzero(apart))
        row["most"] = max(row["most"], int(apart.max(initial=0)))
        if apart.any():
            row["first"] = row["first"] or tensor
            share = np.count_nonzero(apart) / apart.size
            output.print(f"{tensor}: {share:.2%} of {apart.size} codes differ, by up to {apart.max()}")
    if missing := [tensor for tensor in ours if tensor not in recording.codes]:
        output.print(f"not in TPU-MLIR: {', '.join(missing)}")
    if recording.others:
        output.print(f"only in TPU-MLIR: {', '.join(recording.others)}")
    return row


def _float_type(config: Config) -> str:
    """What layers in float run in: the simulator's own type where the chip has it."""
    types = config.soc.float_types
    return "F32" if "F32" in types else types[0]


def _in_our_order(theirs: Array, ours: Array) -> Array:
    """Channels [pictures, 1, C, ...] in the order in which they are equal; others stay where they are."""
    places = {theirs[:, :, index].tobytes(): index for index in range(theirs.shape[2])}
    order = [places.get(ours[:, :, index].tobytes(), index) for index in range(ours.shape[2])]
    return theirs[:, :, order]


def _simulated(fed: Sequence[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.int64]]:
    """Our codes minus their zero point of every tensor of the float network, in graph order."""
    model = load_integer_model(INTEGER_MODEL)
    quant_params = tensor_quant_params(model.graph.node)
    names = [name for name in quant_params if "/operand" not in name]
    runner = Runner(simulator_model(model, names, codes=True), optimize="safe")
    runs = [runner.run(each) for each in fed]
    return {
        name.removesuffix("/codes"): np.stack([run[name].astype(np.int64) for run in runs])
        - quant_params[name].zero_point
        for name in names
    }


if __name__ == "__main__":
    main()
