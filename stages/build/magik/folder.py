"""Writes the folder: the three generations of the config, scripts, node bits, network, samples."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from stages.build.calibration import write_bins, write_samples
from stages.build.magik.flat import flat_cfg
from stages.build.magik.ptq import ptq_json
from stages.build.magik.scripts import OLD_SCRIPT, SCRIPT, old_script, run_script
from stages.build.magik.training import training_json
from stages.build.magik.words import CALIBRATION, DEBUG, PTQ, cfg_name, training_name
from stages.core.base.artifacts import write_json, write_text
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, NODE_BITS, PREPARED_MODEL
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_files import read_samples, select
from stages.core.data.sample_store import calibration_samples
from stages.core.integer.qparams import NetworkParams

__all__ = ["write_magik"]

DEBUG_KEY = "data.debug"


def write_magik(
    folder: Path, config: Config, inputs: Sequence[NetworkInput], outputs: Sequence[str], params: NetworkParams
) -> None:
    """Write everything that `magik-transform-tools` needs.

    Args:
        folder: made here.
        config: the experiment.
        inputs: of the network.
        outputs: of the network.
        params: of the quantized network.
    """
    folder.mkdir()
    samples = _write_samples(folder, config, inputs)
    kept = params.float_nodes
    shutil.copyfile(PREPARED_MODEL, folder / FLOAT_MODEL.name)
    shutil.copyfile(NODE_BITS, folder / NODE_BITS.name)
    write_json(folder / cfg_name(config), flat_cfg(config, inputs, outputs, samples, kept))
    write_text(folder / SCRIPT, run_script(config))
    if all(entry.takes_picture for entry in inputs):  # the others describe pictures only
        write_json(folder / training_name(config), training_json(config, inputs))
        if len(inputs) == 1:
            write_json(folder / PTQ, ptq_json(config, inputs[0], samples, kept))
            write_text(folder / OLD_SCRIPT, old_script(config, inputs[0], outputs))


def _write_samples(folder: Path, config: Config, inputs: Sequence[NetworkInput]) -> int:
    """Write the calibration and the debug samples; gives how many calibrate."""
    samples = calibration_samples(CALIBSET)
    write_samples(folder / CALIBRATION, zip(samples.names, samples, strict=True), inputs, write_bins)
    chosen = select(config.data.debug, inputs, DEBUG_KEY)
    debug = read_samples(chosen, inputs, config.model.preprocess, DEBUG_KEY)
    write_samples(folder / DEBUG, ((read.name, read.sample) for read in debug), inputs, write_bins)
    return len(samples)
