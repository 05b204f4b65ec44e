"""Reads out/export/inputs.json, data.calibration, data.correction, data.validation; writes out/calibset."""

from pathlib import Path

from stages.calibset.inspect import flat_pictures, flat_share, shared_pictures, warnings_for
from stages.core.artifacts import output_folder
from stages.core.command import run_stage
from stages.core.config import Config
from stages.core.console import counted, output, track, warn
from stages.core.inputs import NetworkInput, load_inputs
from stages.core.paths import CALIBSET, INPUTS
from stages.core.preprocess import picture_input, read_pictures, select
from stages.core.samples import CALIBRATION, CORRECTION, VALIDATION, SampleWriter


def calibset(config: Config) -> None:
    network_input = picture_input(load_inputs(INPUTS))
    with output_folder(CALIBSET) as folder:
        calibration, flat = write_samples(folder, CALIBRATION, config, network_input)
        given = {}
        for name in (CORRECTION, VALIDATION):
            if getattr(config.data, name).source is not None:
                (folder / name).mkdir()
                given[name], _ = write_samples(folder / name, name, config, network_input)
                given[name].close([])
        warnings = warnings_for(len(calibration), flat)
        if len(given) == 2:
            warnings += shared_pictures(given[CORRECTION].by_digest, given[VALIDATION].by_digest)
        calibration.close(warnings, flat_pictures(flat))
    for line in warnings:
        warn(line)
    size = f"{network_input.height}x{network_input.width} {network_input.color.value}"
    output.print(f"calibration set: {len(calibration)} pictures as {size}")
    for name, writer in given.items():
        output.print(f"{name} set: {counted(len(writer), 'picture')}")


def write_samples(
    folder: Path, name: str, config: Config, network_input: NetworkInput
) -> tuple[SampleWriter, dict[str, float]]:
    """Write the pictures of `data.<name>`; gives the writer, not closed, and each picture's share of one colour."""
    key = f"data.{name}"
    files = select(getattr(config.data, name), key)
    shape = (network_input.height, network_input.width, network_input.channels)
    writer = SampleWriter(folder, network_input.name, len(files), shape)
    flat = {}
    pictures = read_pictures(files, network_input, config.model.preprocess, key)
    for picture in track(pictures, f"{name} set", len(files)):
        writer.add(picture.name, picture.sample)
        flat[picture.name] = flat_share(picture.content)
    return writer, flat


if __name__ == "__main__":
    run_stage(calibset, __doc__ or "")
