"""The folder for Sophgo's TPU-MLIR: network, pictures, the ranges of its features, and a script of its steps."""

import inspect
import shutil
from collections.abc import Sequence
from pathlib import Path

from stages.build.converter_samples import write_npz, write_samples
from stages.build.nntc.folder import write_nntc
from stages.build.tpu_mlir.ranges import float_nodes, table_ranges
from stages.build.tpu_mlir.steps import run_script, steps
from stages.core.base.artifacts import write_json, write_text
from stages.core.base.checksums import checked_file
from stages.core.base.console import warn
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INTEGER_MODEL, PREPARED_MODEL, STATISTICS
from stages.core.config.schema import FLOAT_BITS, Calibration, Config
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.integer.network_params import NetworkParams
from stages.core.statistics.tensor_statistics import load_statistics
from stages.core.tpu_mlir import tables

__all__ = ["RUN_SCRIPT", "write_tpu_mlir"]

SAMPLES_FOLDER = "calibration"
RUN_SCRIPT = "run.sh"


def write_tpu_mlir(
    folder: Path, config: Config, inputs: Sequence[NetworkInput], graph: Graph, params: NetworkParams
) -> str:
    """Write what `model_transform.py` and `model_deploy.py` need, and what makes their tables of a .mlir.

    Returns:
        The name of the file that compile makes of it.
    """
    samples = calibration_samples(CALIBSET)
    files = write_samples(folder / SAMPLES_FOLDER, zip(samples.names, samples, strict=True), inputs, write_npz)
    shutil.copyfile(checked_file(PREPARED_MODEL), folder / FLOAT_MODEL.name)
    integer = load_model(INTEGER_MODEL)
    ranges = table_ranges(graph, params, load_statistics(STATISTICS), integer, config.soc)
    write_json(folder / "ranges.json", ranges)
    write_text(folder / "tables.py", inspect.getsource(tables))
    calls = steps(config, inputs, [f"{SAMPLES_FOLDER}/{file.name}" for file in files], _quantize(config))
    write_json(folder / "steps.json", calls)
    write_text(folder / RUN_SCRIPT, run_script(calls))
    if config.soc.toolchain.nntc:
        write_nntc(folder / "nntc", config, inputs, samples, graph, float_nodes(graph, params, integer))
    return str(calls["model"])


def _quantize(config: Config) -> str:
    """What most layers run in, as `--quantize` takes it."""
    quant, soc = config.quant, config.soc
    if quant.feature_bits == FLOAT_BITS:
        return soc.float_types[0]
    if quant.float_features or quant.float_weights:
        warn(
            f"quant: the {soc.name} quantizes features and weights together: the board folder does, the report does not"
        )
    if quant.calibration is Calibration.vendor:
        warn("quant.calibration=vendor: the compiled network has TPU-MLIR's ranges, the report those of this project")
    return "INT8"
