"""Reads data.calibration and out/export/inputs.json; writes out/calibset: the samples and their index."""

from stages.calibset.inspect import flat_share, warnings_for
from stages.core.artifacts import output_folder
from stages.core.command import run_stage
from stages.core.config import Config
from stages.core.console import output, track, warn
from stages.core.inputs import load_inputs
from stages.core.paths import CALIBSET, INPUTS
from stages.core.preprocess import picture_input, read_pictures, select
from stages.core.samples import SampleWriter

KEY = "data.calibration"


def calibset(config: Config) -> None:
    network_input = picture_input(load_inputs(INPUTS))
    files = select(config.data.calibration, KEY)
    shape = (network_input.height, network_input.width, network_input.channels)
    with output_folder(CALIBSET) as folder:
        writer = SampleWriter(folder, network_input.name, len(files), shape)
        flat = {}
        pictures = read_pictures(files, network_input, config.model.preprocess, KEY)
        for picture in track(pictures, "calibration set", len(files)):
            writer.add(picture.name, picture.sample)
            flat[picture.name] = flat_share(picture.content)
        warnings = warnings_for(len(files), flat)
        writer.close(warnings)
    for line in warnings:
        warn(line)
    output.print(f"calibration set: {len(files)} pictures as {shape[0]}x{shape[1]} {network_input.color.value}")


if __name__ == "__main__":
    run_stage(calibset, __doc__ or "")
