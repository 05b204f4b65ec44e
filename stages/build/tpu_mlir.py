"""The folder for Sophgo's TPU-MLIR: network, calibration pictures, and a script of its three steps.

Options: TPU-MLIR 1.30.2. The script calibrates with TPU-MLIR's own method of the same kind.
"""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from stages.build.converter_samples import write_npz, write_samples
from stages.core.base.artifacts import write_text
from stages.core.base.checksums import checked_file
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, PREPARED_MODEL
from stages.core.config.schema import Config, FeatureMethod
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams

__all__ = ["quantize_table", "run_script", "write_tpu_mlir"]

SAMPLES_FOLDER = "calibration"
FLOAT_LAYERS_FILE = "qtable"
CALI_METHODS = {
    FeatureMethod.MAX_ABS: "max",
    FeatureMethod.KL: "kl",
    FeatureMethod.MSE: "mse",
    FeatureMethod.ADMM: "mse",  # also minimizes the squared error
    FeatureMethod.OUTPUT: "mse",  # the nearest method that TPU-MLIR has
    FeatureMethod.PERCENTILE: "percentile9999",
}


def write_tpu_mlir(
    folder: Path, config: Config, inputs: Sequence[NetworkInput], graph: Graph, params: NetworkParams
) -> None:
    """Write what `model_transform.py`, `run_calibration.py` and `model_deploy.py` need."""
    samples = calibration_samples(CALIBSET)
    files = write_samples(folder / SAMPLES_FOLDER, zip(samples.names, samples, strict=True), inputs, write_npz)
    shutil.copyfile(checked_file(PREPARED_MODEL), folder / FLOAT_MODEL.name)
    lines = quantize_table(graph, params.float_nodes, config.soc.float_types[0])
    if lines:
        write_text(folder / FLOAT_LAYERS_FILE, lines)
    write_text(folder / "run.sh", run_script(config, inputs, files[0].name, len(files), bool(lines)))


def quantize_table(graph: Graph, float_nodes: Sequence[str], float_type: str) -> str:
    """The layers that stay in float, one a line; TPU-MLIR names a layer after its output and its operator."""
    names = [f"{node.output[0]}_{node.op_type}" for node in graph.nodes if node.name in set(float_nodes)]
    return "".join(f"{name} {float_type}\n" for name in names)


def run_script(
    config: Config, inputs: Sequence[NetworkInput], test_input: str, samples: int, quantize_table: bool = False
) -> str:
    """A script that compiles the network where TPU-MLIR is installed.

    TPU-MLIR's --scale multiplies. Samples in npz files are normalized already, so they get neither mean nor scale.
    """
    name, chip = shlex.quote(config.model.name), config.soc.name
    shapes = ",".join(f"[{','.join(map(str, network_input.shape))}]" for network_input in inputs)
    pixels = "" if test_input.endswith(".npz") else _pixel_options(inputs[0])
    test = shlex.quote(f"{SAMPLES_FOLDER}/{test_input}")
    method = CALI_METHODS[config.quant.feature_method]
    table = f" --quantize_table {FLOAT_LAYERS_FILE}" if quantize_table else ""
    return f"""\
#!/bin/sh
# Compiles {FLOAT_MODEL.name} for the {chip} with TPU-MLIR. Run: sh run.sh
set -eu
cd "$(dirname "$0")"
model_transform.py --model_name {name} --model_def {FLOAT_MODEL.name} --input_shapes '[{shapes}]' \\
{pixels}    --test_input {test} --test_result {name}_top_outputs.npz --mlir {name}.mlir
run_calibration.py {name}.mlir --dataset {SAMPLES_FOLDER} --input_num {samples} --cali_method {method} -o {name}_table
model_deploy.py --mlir {name}.mlir --quantize INT8 --chip {chip} --calibration_table {name}_table{table} \\
    --test_input {name}_in_f32.npz --test_reference {name}_top_outputs.npz --tolerance 0.8,0.5 \\
    --model {name}_{chip}_int8.bmodel
"""


def _pixel_options(picture: NetworkInput) -> str:
    """The options that turn a picture into the network's input: a line of the script."""
    mean = ",".join(f"{value:.7g}" for value in picture.mean)
    scale = ",".join(f"{1 / value:.9g}" for value in picture.normal)
    return f"    --mean {mean} --scale {scale} --pixel_format {picture.color.value.lower()} \\\n"
