"""Reads out/export, out/quantize, out/calibset, data.evaluation; writes out/evaluate: metrics.json, predictions.csv."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from stages.core.base.artifacts import output_folder, write_json, write_text
from stages.core.base.console import output, track, warn
from stages.core.base.errors import UserError
from stages.core.base.paths import CALIBSET, DETECTOR, EVALUATE, FLOAT_MODEL, INPUTS, INTEGER_MODEL, METRICS, QPARAMS
from stages.core.command import run_stage
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput, feeds, load_inputs, noun_of
from stages.core.data.labels import labels_of
from stages.core.data.object_labels import read_object_labels
from stages.core.data.sample_files import SampleFiles, read_samples, select
from stages.core.data.sample_store import digest, stored_sets
from stages.core.graph.session import Runner
from stages.core.heads.detector import load_detector
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import load_qparams
from stages.core.integer.simulator import simulator_model
from stages.core.tables import accuracy_line
from stages.evaluate.detection import DetectionScore
from stages.evaluate.scores import ClassificationScore, OutputScore, Score

DATA_KEY = "data.evaluation"


def evaluate(config: Config) -> None:
    inputs = load_inputs(INPUTS)
    data = config.data.evaluation
    files = select(data, inputs, DATA_KEY)
    load_qparams(QPARAMS, config)  # refuses a quantized network of other parameters
    reference, integer = Runner(FLOAT_MODEL), load_integer_model(INTEGER_MODEL)
    quantized = Runner(simulator_model(integer, list(reference.outputs)), optimize="safe")
    score = new_score(config, files, inputs, reference.outputs)
    used = {content for samples in stored_sets(CALIBSET).values() for content in samples.digests}
    known = 0
    predictions = io.StringIO()
    writer = csv.writer(predictions, lineterminator="\n")
    writer.writerow(["file", "digest", *score.COLUMNS])
    samples = read_samples(files, inputs, config.model.preprocess, DATA_KEY)
    for read in track(samples, "evaluate", len(files)):
        fed = feeds(read.sample, inputs)
        expected, actual = reference.run(fed), quantized.run(fed)
        if not all(np.isfinite(values).all() for values in (*expected.values(), *actual.values())):
            raise UserError(f"{DATA_KEY}: an output is infinite or not a number on {read.name}")
        content = digest(read.sample)
        writer.writerow([read.name, content, *score.add(read.name, read.placement, expected, actual)])
        known += content in used
    if known:
        warn(f"{known} of {len(files)} evaluation {noun_of(inputs)}s served to quantize: the result flatters")
    metrics = score.metrics()
    with output_folder(EVALUATE) as folder:
        write_json(folder / METRICS.name, metrics)
        write_text(folder / "predictions.csv", predictions.getvalue())
    output.print(accuracy_line(metrics, noun_of(inputs)))


def new_score(
    config: Config,
    files: Sequence[SampleFiles],
    inputs: Sequence[NetworkInput],
    outputs: Mapping[str, Sequence[int | str]],
) -> Score:
    """Give the score of the task; a detector without labels is compared with the float network.

    Raises:
        UserError: for labels that do not fit, or a detection task of a network that is no detector.
    """
    data = config.data.evaluation
    if data.task is Task.classification:
        return ClassificationScore(labels_of(data, files, inputs, outputs))
    detector = load_detector(DETECTOR, config.model.detector, outputs)
    if detector is not None:
        labels = read_object_labels(data.labels, [file.name for file in files]) if data.labels else None
        return DetectionScore(detector, labels)
    if data.task is Task.detection:
        raise UserError(
            "data.evaluation.task=detection: no detector's head is known in the network (docs/detectors.md); "
            "give model.detector.function=module:function, or task=none"
        )
    return OutputScore()


if __name__ == "__main__":
    run_stage(evaluate, __doc__ or "")
