"""The folder for Ingenic's converter: flat cfg, run script, node bits, network, calibration pictures.

Formats: Magik post-training quantization guide, July 2022 (flat cfg, debug keys, node-bits file).
"""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.build.calibration import write_samples
from stages.core.artifacts import write_json, write_text
from stages.core.config import Config, FeatureMethod, WeightMethod
from stages.core.inputs import NetworkInput
from stages.core.paths import CALIBSET, FLOAT_MODEL, NODE_BITS, PREPARED_MODEL
from stages.core.qparams import QuantParams
from stages.core.samples import calibration_samples

__all__ = ["flat_cfg", "run_script", "write_magik"]

PICTURES = "calibration"
# The converter lacks these methods; the feature ranges found here reach it through the node-bits file.
FEATURE_METHODS = {FeatureMethod.PERCENTILE: "MAX_ABS", FeatureMethod.OUTPUT: "MAX_ABS"}
WEIGHT_METHODS = {WeightMethod.MSE: "ADMM"}


def write_magik(
    folder: Path, config: Config, inputs: Sequence[NetworkInput], outputs: Sequence[str], params: QuantParams
) -> None:
    """Write everything that `magik-transform-tools` needs."""
    samples = calibration_samples(CALIBSET)
    write_samples(folder / PICTURES, samples, inputs)
    shutil.copyfile(PREPARED_MODEL, folder / FLOAT_MODEL.name)
    shutil.copyfile(NODE_BITS, folder / NODE_BITS.name)
    write_json(folder / cfg_name(config), flat_cfg(config, inputs, outputs, len(samples), params.float_nodes))
    write_text(folder / "run.sh", run_script(config))


def cfg_name(config: Config) -> str:
    """Name of the cfg file, as the toolkit's samples have it."""
    return f"magik_{config.soc.name.lower()}.cfg"


def flat_cfg(
    config: Config,
    inputs: Sequence[NetworkInput],
    outputs: Sequence[str],
    pictures: int,
    float_nodes: Sequence[str] = (),
) -> dict[str, Any]:
    """The converter's config: basic keys, then debug keys.

    One input gives flat lists, several give nested ones. Mean and normal always have a value a channel: the converter
    wants them so.
    """

    def spread(values: list[Any]) -> Any:
        return values[0] if len(values) == 1 else values

    quant = config.quant
    return {
        "SOC": config.soc.name,
        "INPUT": [entry.name for entry in inputs],
        "INPUT_SHAPE": spread([list(entry.shape) for entry in inputs]),
        "MEAN": spread([list(entry.mean) for entry in inputs]),
        "NORMAL": spread([list(entry.normal) for entry in inputs]),
        "COLOR": [entry.color.value for entry in inputs],
        "OUTPUT": list(outputs),
        "QUANT_DATASET_PATH": f"./{PICTURES}",
        "DEBUG_PATH": "",
        "QUANT_FEATURE_BIT": quant.feature_bits,
        "QUANT_WEIGHT_BIT": quant.weight_bits,
        "QUANT_FEATURE_METHOD": FEATURE_METHODS.get(quant.feature_method, quant.feature_method.value),
        "QUANT_WEIGHT_METHOD": WEIGHT_METHODS.get(quant.weight_method, quant.weight_method.value),
        "QUANT_DATASET_SIZE": pictures,
        "QUANT_NODE_SKIP": list(float_nodes),
        "QUANT_OP_SKIP": [],
        # empty whatever is corrected: the network handed over has its corrections in it already
        "WEIGHT_CORRECT_PATH": "",
        "FEATURE_CORRECT_PATH": "",
        "WEIGHT_FAKE_QUANT": quant.float_features,
        "FEATURE_FAKE_QUANT": quant.float_weights,
        "SAVE_OP_QUANT_BIT": False,
        "LOAD_OP_QUANT_BIT": True,
        "LOAD_OP_QUANT_MIN_MAX": True,
    }


def run_script(config: Config) -> str:
    """A script that converts the network where the vendor's toolkit is installed."""
    stem = f"{config.model.name}_{config.soc.name.lower()}_magik"
    return f"""\
#!/bin/sh
# Converts {FLOAT_MODEL.name} for the {config.soc.name}. Run: MAGIK_TRANSFORMKIT=.../TransformKit sh run.sh
# Gives {stem}.bin for the board and save-magik/model_quant.mgk for the PC.
# {NODE_BITS.name} carries the widths and ranges chosen here; the converter reads it from this folder.
set -eu
cd "$(dirname "$0")"
: "${{MAGIK_TRANSFORMKIT:?set it to the folder of magik-transform-tools in the vendor toolkit}}"
"$MAGIK_TRANSFORMKIT/magik-transform-tools" \\
    -i {FLOAT_MODEL.name} \\
    -o {shlex.quote(stem + ".mk.h")} \\
    -cfg {cfg_name(config)} \\
    --save_quantize_model true
"""
