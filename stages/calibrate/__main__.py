"""Reads out/export and out/calibset; writes out/calibrate/statistics.npz."""

from stages.core.base.artifacts import stage_output
from stages.core.base.console import counted, output
from stages.core.base.paths import CALIBRATE, CALIBSET, FLOAT_MODEL, INPUTS, STATISTICS
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import check_export
from stages.core.data.inputs import load_inputs, noun_of
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.onnx_graph import load_model
from stages.core.statistics.collect import calibration_feeds, collect
from stages.core.statistics.tensor_statistics import save_statistics


def calibrate(config: Config) -> None:
    inputs = load_inputs(INPUTS)
    check_export(config.model)  # beyond it no setting matters: one calibration serves every bit width and method
    samples = calibration_samples(CALIBSET)
    statistics = collect(load_model(FLOAT_MODEL), calibration_feeds(samples, inputs, "calibrate"))
    with stage_output(CALIBRATE) as folder:
        save_statistics(folder / STATISTICS.name, statistics, len(samples))
    noun = noun_of(inputs)
    output.print(f"calibrated {counted(len(statistics), 'tensor')} on {counted(len(samples), noun)}")


if __name__ == "__main__":
    run_stage(calibrate, __doc__ or "")
