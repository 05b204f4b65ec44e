"""The folder for Sophgo's TPU-MLIR: network, calibration pictures, and a script of its three steps.

Options: TPU-MLIR 1.30.2. The script calibrates with TPU-MLIR's own method of the same kind.
"""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from stages.build.calibration import write_pictures
from stages.core.artifacts import write_text
from stages.core.config import Config, FeatureMethod
from stages.core.inputs import NetworkInput
from stages.core.paths import CALIBSET, FLOAT_MODEL
from stages.core.samples import SampleReader

__all__ = ["run_script", "write_tpu_mlir"]

PICTURES = "calibration"
METHODS = {FeatureMethod.MAX_ABS: "max", FeatureMethod.KL: "kl"}


def write_tpu_mlir(folder: Path, config: Config, inputs: Sequence[NetworkInput]) -> None:
    """Write what `model_transform.py`, `run_calibration.py` and `model_deploy.py` need."""
    samples = SampleReader.open(CALIBSET)
    pictures = write_pictures(folder / PICTURES, samples, inputs[0])
    shutil.copyfile(FLOAT_MODEL, folder / FLOAT_MODEL.name)
    write_text(folder / "run.sh", run_script(config, inputs[0], pictures[0].name, len(pictures)))


def run_script(config: Config, entry: NetworkInput, test_picture: str, pictures: int) -> str:
    """A script that compiles the network where TPU-MLIR is installed; its --scale multiplies."""
    name, chip = shlex.quote(config.model.name), config.soc.name
    shape = ",".join(map(str, entry.shape))
    mean = ",".join(f"{value:.7g}" for value in entry.mean)
    scale = ",".join(f"{1 / value:.9g}" for value in entry.normal)
    method = METHODS[config.quant.feature_method]
    return f"""\
#!/bin/sh
# Compiles {FLOAT_MODEL.name} for the {chip} with TPU-MLIR. Run: sh run.sh
set -eu
cd "$(dirname "$0")"
model_transform.py --model_name {name} --model_def {FLOAT_MODEL.name} --input_shapes '[[{shape}]]' \\
    --mean {mean} --scale {scale} --pixel_format {entry.color.value.lower()} \\
    --test_input {shlex.quote(f"{PICTURES}/{test_picture}")} --test_result {name}_top_outputs.npz --mlir {name}.mlir
run_calibration.py {name}.mlir --dataset {PICTURES} --input_num {pictures} --cali_method {method} -o {name}_table
model_deploy.py --mlir {name}.mlir --quantize INT8 --chip {chip} --calibration_table {name}_table \\
    --test_input {name}_in_f32.npz --test_reference {name}_top_outputs.npz --tolerance 0.8,0.5 \\
    --model {name}_{chip}_int8.bmodel
"""
