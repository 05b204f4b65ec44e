"""Reads out/export, data.calibration, data.correction, data.validation; writes out/calibset."""

from collections.abc import Sequence
from pathlib import Path

from stages.calibset.inspect import flat_pictures, flat_share, shared_samples, warnings_for
from stages.core.base.artifacts import stage_output
from stages.core.base.console import counted, output, track, warn
from stages.core.base.paths import CALIBSET, INPUTS
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import calibset_settings, check_export, save_settings
from stages.core.data.inputs import NetworkInput, load_inputs, noun_of
from stages.core.data.sample_files import read_samples, select
from stages.core.data.sample_store import CALIBRATION, CORRECTION, VALIDATION, SampleWriter


def calibset(config: Config) -> None:
    inputs = load_inputs(INPUTS)
    check_export(config.model)
    noun = noun_of(inputs)
    with stage_output(CALIBSET) as folder:
        calibration, flat = write_samples(folder, CALIBRATION, config, inputs)
        own_sets = {}
        for name in (CORRECTION, VALIDATION):
            if getattr(config.data, name).source is not None:
                own_sets[name], _ = write_samples(folder, name, config, inputs)
                own_sets[name].close([])
        warnings = warnings_for(len(calibration), flat, noun)
        if len(own_sets) == 2:
            warnings += shared_samples(own_sets[CORRECTION].by_digest, own_sets[VALIDATION].by_digest, noun)
        calibration.close(warnings, flat_pictures(flat))
        save_settings(folder, calibset_settings(config))
    for line in warnings:
        warn(line)
    size = str(inputs[0]) if len(inputs) == 1 else ", ".join(f"{one.name} {one}" for one in inputs)
    output.print(f"calibration set: {counted(len(calibration), noun)} as {size}")
    for name, writer in own_sets.items():
        output.print(f"{name} set: {counted(len(writer), noun)}")


def write_samples(
    folder: Path, name: str, config: Config, inputs: Sequence[NetworkInput]
) -> tuple[SampleWriter, dict[str, float]]:
    """Write the samples of `data.<name>`.

    Returns:
        The writer, not closed, and of each sample with pictures the largest share that one colour has of one.
    """
    key = f"data.{name}"
    chosen = select(getattr(config.data, name), inputs, key)
    (folder / name).mkdir()
    writer = SampleWriter(folder / name, [network_input.name for network_input in inputs], len(chosen))
    flat = {}
    for read in track(read_samples(chosen, inputs, config.model.preprocess, key), f"{name} set", len(chosen)):
        writer.add(read.name, read.sample)
        if read.pictures:
            flat[read.name] = max(map(flat_share, read.pictures))
    return writer, flat


if __name__ == "__main__":
    run_stage(calibset, __doc__ or "")
