"""Reads out/export, out/quantize, out/calibset, data.evaluation; writes out/evaluate.

It writes metrics.json, predictions.csv (a line a sample), by_class.csv, what became of the outputs, and settings.json.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from stages.core.base.artifacts import discard, stage_output, write_json, write_text
from stages.core.base.console import output, track, warn
from stages.core.base.errors import UserError
from stages.core.base.paths import (
    BY_CLASS,
    CALIBSET,
    DETECTOR,
    EVALUATE,
    FLOAT_MODEL,
    INPUTS,
    INTEGER_MODEL,
    JUDGED,
    METRICS,
    QPARAMS,
    TASK_METRIC,
)
from stages.core.base.threads import in_order
from stages.core.command import run_stage
from stages.core.config.schema import Backend, Config
from stages.core.config.settings_record import evaluate_settings, save_settings
from stages.core.data.inputs import feeds, load_inputs, noun_of
from stages.core.data.sample_files import ReadSample, read_samples, select
from stages.core.data.sample_store import digest, stored_sets
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import load_qparams
from stages.core.integer.simulator import simulator_model
from stages.core.outputs.judged_set import EVALUATION, SetJudge
from stages.core.outputs.output_error import Outputs
from stages.core.tables import accuracy_line
from stages.core.tpu_mlir.simulation import Simulation
from stages.evaluate.scores import ClassRow
from stages.evaluate.scoring import score_of_task
from stages.evaluate.task_metric import task_metric

DATA_KEY = "data.evaluation"
Network = Callable[[Outputs], Outputs]


def evaluate(config: Config) -> None:
    discard(EVALUATE)
    inputs = load_inputs(INPUTS)
    data = config.data.evaluation
    files = select(data, inputs, DATA_KEY)
    load_qparams(QPARAMS, config)  # refuses a quantized network of other parameters
    graph = Graph(load_model(FLOAT_MODEL))
    reference = Runner(graph.model)
    judge = SetJudge(EVALUATION, graph, inputs, config, DETECTOR)
    score = score_of_task(config, files, inputs, reference.outputs)
    used = {content for samples in stored_sets(CALIBSET).values() for content in samples.digests}
    known = 0
    predictions = io.StringIO()
    writer = csv.writer(predictions, lineterminator="\n")
    writer.writerow(["file", "digest", *score.columns])
    samples = read_samples(files, inputs, config.model.preprocess, DATA_KEY)
    with _quantized_network(config, graph, list(reference.outputs)) as quantized:

        def run(read: ReadSample) -> tuple[ReadSample, Outputs, Outputs, Outputs]:
            fed = feeds(read.sample, inputs)
            return read, fed, reference.run(fed), quantized(fed)

        for read, fed, expected, actual in track(in_order(run, samples), "evaluate", len(files)):
            _require_finite(expected, actual, read.name)
            judge.add(expected, actual, fed)
            content = digest(read.sample)
            writer.writerow([read.name, content, *score.add(read.name, read.placement, expected, actual)])
            known += content in used
    if known:
        warn(f"{known} of {len(files)} evaluation {noun_of(inputs)}s served to quantize: the result flatters")
    judged = judge.judged()
    metrics = score.metrics() | {"fidelity": judged.fidelity}
    with stage_output(EVALUATE) as folder:
        write_json(folder / METRICS.name, metrics)
        write_text(folder / "predictions.csv", predictions.getvalue())
        task = task_metric(score, metrics)
        write_json(folder / TASK_METRIC.name, task.to_json() if task else None)
        write_json(folder / JUDGED.name, judged.to_json())
        save_settings(folder, evaluate_settings(config))
        write_text(folder / BY_CLASS.name, by_class_csv(score.by_class()))
    if task and task.doubt:
        warn(task.doubt)
    output.print(accuracy_line(metrics, noun_of(inputs), judged.worst))


@contextmanager
def _quantized_network(config: Config, graph: Graph, outputs: Sequence[str]) -> Iterator[Network]:
    """The quantized network in this project's simulator, or in the vendor's."""
    if config.evaluate.backend is Backend.toolchain:
        with Simulation(config, graph) as simulation:
            yield simulation.run
        return
    yield Runner(simulator_model(load_integer_model(INTEGER_MODEL), outputs), optimize="safe").run


def _require_finite(expected: Outputs, actual: Outputs, name: str) -> None:
    for network, outputs in (("float", expected), ("quantized", actual)):
        if not all(np.isfinite(values).all() for values in outputs.values()):
            advice = "" if network == "float" else "; compare says which layer makes it so"
            raise UserError(
                f"{DATA_KEY}: an output of the {network} network is infinite or not a number on {name}{advice}"
            )


def by_class_csv(rows: Sequence[ClassRow]) -> str:
    """Lay out the classes' rows: top-1 of a classifier, mAP50-95 of a detector; empty where it is not known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "count", "float", "quantized", *(rows[0].of_shapes if rows else ())])
    writer.writerows([row.number, row.count, row.of_float, row.of_quantized, *row.of_shapes.values()] for row in rows)
    return text.getvalue()


if __name__ == "__main__":
    run_stage(evaluate, __doc__ or "")
