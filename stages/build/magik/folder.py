"""Writes the converter's folder: the three generations of its config, scripts, node bits, network, samples."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from stages.build.converter_samples import write_bins, write_samples
from stages.build.magik.flat_cfg import flat_cfg
from stages.build.magik.ptq_json import ptq_json
from stages.build.magik.scripts import RUN_SCRIPT, RUN_SCRIPT_2022_02, run_script, run_script_2022_02
from stages.build.magik.training_json import training_json
from stages.build.magik.vendor_names import CALIBRATION_FOLDER, DEBUG_FOLDER, PTQ_CONFIG, cfg_name, training_name
from stages.core.base.artifacts import write_json, write_text
from stages.core.base.checksums import checked_file
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, NODE_BITS, PREPARED_MODEL
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_files import read_samples, select
from stages.core.data.sample_store import calibration_samples
from stages.core.integer.network_params import NetworkParams

__all__ = ["write_magik"]

DEBUG_DATA_KEY = "data.debug"


def write_magik(
    folder: Path, config: Config, inputs: Sequence[NetworkInput], outputs: Sequence[str], params: NetworkParams
) -> None:
    """Write everything that `magik-transform-tools` needs.

    Args:
        folder: created here.
        config: the experiment.
        inputs: the network's inputs.
        outputs: tensors that the network ends with.
        params: quantization parameters of the network.
    """
    folder.mkdir()
    samples = _write_samples(folder, config, inputs)
    shutil.copyfile(checked_file(PREPARED_MODEL), folder / FLOAT_MODEL.name)
    shutil.copyfile(checked_file(NODE_BITS), folder / NODE_BITS.name)
    write_json(folder / cfg_name(config), flat_cfg(config, inputs, outputs, samples, params.float_nodes))
    write_text(folder / RUN_SCRIPT, run_script(config))
    if all(network_input.takes_picture for network_input in inputs):  # the other two forms describe pictures only
        write_json(folder / training_name(config), training_json(config, inputs))
        if len(inputs) == 1:
            write_json(folder / PTQ_CONFIG, ptq_json(config, inputs[0], samples, params.float_nodes))
            write_text(folder / RUN_SCRIPT_2022_02, run_script_2022_02(config, inputs[0], outputs))


def _write_samples(folder: Path, config: Config, inputs: Sequence[NetworkInput]) -> int:
    """Write the calibration and the debug samples; gives the number of calibration samples."""
    samples = calibration_samples(CALIBSET)
    write_samples(folder / CALIBRATION_FOLDER, zip(samples.names, samples, strict=True), inputs, write_bins)
    debug_files = select(config.data.debug, inputs, DEBUG_DATA_KEY)
    debug_samples = read_samples(debug_files, inputs, config.model.preprocess, DEBUG_DATA_KEY)
    named = ((debug.name, debug.sample) for debug in debug_samples)
    write_samples(folder / DEBUG_FOLDER, named, inputs, write_bins)
    return len(samples)
