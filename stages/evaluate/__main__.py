"""Reads out/export, out/quantize, out/calibset and data.evaluation; writes out/evaluate: metrics.json, predictions.csv."""

import csv
import io

from stages.core.artifacts import output_folder, write_json, write_text
from stages.core.command import run_stage
from stages.core.config import Config, PictureSet
from stages.core.console import output, track, warn
from stages.core.errors import UserError
from stages.core.inputs import load_inputs, normalize
from stages.core.paths import CALIBSET, EVALUATE, FLOAT_MODEL, INPUTS, METRICS, QUANTIZED_MODEL
from stages.core.preprocess import picture_input, read_pictures, select
from stages.core.samples import SampleReader, digest
from stages.core.session import Runner
from stages.core.tables import accuracy_line
from stages.evaluate.classification import ClassificationScore
from stages.evaluate.labels import find_labels

KEY = "data.evaluation"


def evaluate(config: Config) -> None:
    network_input = picture_input(load_inputs(INPUTS))
    data = config.data.evaluation
    files = select(data, KEY)
    names = [file.name for file in select(PictureSet(source=data.source), KEY)]
    labels = find_labels(data.labels, files, names)
    reference, quantized = Runner(FLOAT_MODEL), Runner(QUANTIZED_MODEL, exact=True)
    if len(reference.outputs) != 1:
        raise UserError(f"classification needs one output; the network has {', '.join(reference.outputs)}")
    calibrated = set(SampleReader.open(CALIBSET).digests)
    score, known = ClassificationScore(), 0
    predictions = io.StringIO()
    writer = csv.writer(predictions, lineterminator="\n")
    writer.writerow(["file", "digest", "label", "float_top5", "quantized_top5"])
    pictures = read_pictures(files, network_input, config.model.preprocess, KEY)
    for picture, label in track(zip(pictures, labels, strict=True), "evaluate", len(files)):
        feeds = {network_input.name: normalize(picture.sample, network_input)}
        (expected,), (actual,) = reference.run(feeds).values(), quantized.run(feeds).values()
        ranked = score.add(label, expected, actual)
        content = digest(picture.sample)
        writer.writerow([picture.name, content, label, *(" ".join(map(str, best)) for best in ranked)])
        known += content in calibrated
    if known:
        warn(f"{known} of {len(files)} evaluation pictures are calibration pictures: the accuracy flatters")
    metrics = score.metrics()
    with output_folder(EVALUATE) as folder:
        write_json(folder / METRICS.name, metrics)
        write_text(folder / "predictions.csv", predictions.getvalue())
    output.print(accuracy_line(metrics))


if __name__ == "__main__":
    run_stage(evaluate, __doc__ or "")
