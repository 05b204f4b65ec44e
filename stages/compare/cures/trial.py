"""One trial: the stages that a line changes, run in a folder of their own, and the outcome on some pictures."""

import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.compare.diagnose.outcome import Outcome
from stages.core.base.artifacts import read_artifact, scratch_folder, write_text
from stages.core.base.errors import UserError
from stages.core.base.paths import (
    CALIBRATE,
    CALIBSET,
    DETECTOR,
    EXPORT,
    FLOAT_MODEL,
    INPUTS,
    INTEGER_MODEL,
    JUDGED,
    QPARAMS,
    TASK_METRIC,
)
from stages.core.base.processes import own_line, running
from stages.core.base.threads import in_order
from stages.core.config.composition import compose
from stages.core.config.first_line import joined, recorded
from stages.core.config.overrides import split_overrides
from stages.core.config.schema import Config
from stages.core.config.settings_record import calibset_settings, export_settings
from stages.core.data.inputs import feeds, load_inputs, noun_of
from stages.core.data.sample_files import ReadSample, read_samples, select
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import load_qparams
from stages.core.integer.simulator import simulator_model
from stages.core.outputs.judged_set import JudgedSet, SetJudge
from stages.core.outputs.output_error import Outputs
from stages.core.outputs.states import float_outputs
from stages.core.statistics.task_metric import TaskMetric

__all__ = ["OUTPUTS", "SCRATCH_PREFIX", "TrialResult", "outcome_on", "tried_of", "try_line", "why_untried"]

PARAMS, CONF = Path("params.yaml"), Path("conf")
SCRATCH_PREFIX = ".cure-"
OUTPUTS = Path("out")
STAGES = {"export": EXPORT, "calibset": CALIBSET, "calibrate": CALIBRATE}
"""The stages before quantize, and their folders."""
LEAST_SAMPLES, MOST_SAMPLES = 32, 1024
MOST_VALUES = 1e9
"""Of a larger set so many samples are tried, evenly over it: as many as these values that a network computes allow."""
NOT_LINKED = {"out", "params.yaml", "dvc.lock", ".dvc", ".git", "mlflow.db", "mlruns"}


@dataclass(frozen=True)
class TrialResult:
    """What a line does.

    Attributes:
        outcome: on the samples that were asked for.
        channel_scales: whether features have a scale a channel, which no vendor's converter takes.
    """

    outcome: Outcome
    channel_scales: bool


def why_untried(config: Config) -> str:
    """Say why no line can be tried; empty where one can: a line is composed with what params.yaml was composed with.

    Args:
        config: the experiment as it is.
    """
    try:
        composed = compose(recorded(PARAMS), CONF)[0]
    except UserError as error:
        return str(error)
    same = asdict(composed) == asdict(config)
    return "" if same else f"{PARAMS} is not what the overrides in its first line compose to"


def try_line(line: str, config: Config, samples: str | None, preparation: Sequence[str] = ()) -> TrialResult:
    """Compose the current experiment with a line, run the stages that it changes, and both networks.

    Args:
        line: overrides, as a user types them.
        config: the experiment as it is.
        samples: `DEBUG` or `EVALUATION`: which set tells the outcome; None: evaluate does, with the task's metric.
        preparation: a command of the project and its arguments, run before.

    Raises:
        UserError: if params.yaml is not what compose writes, or the line, or a stage with it, is refused.
    """
    overrides = joined(recorded(PARAMS), split_overrides(line))
    with _project() as folder:
        if preparation:
            _link_stages(folder, "quantize")
            shutil.copyfile(PARAMS, folder / PARAMS)
            _run(preparation, folder)
        with chdir(folder):
            changed, text = compose(overrides, CONF)
        if asdict(changed) == asdict(config):
            raise UserError(f"{line} changes nothing")
        write_text(folder / PARAMS, text)
        for stage in _link_stages(folder, _first_stage(config, changed)):
            _run([stage], folder)
        params = load_qparams(folder / QPARAMS, changed)
        scaled = any(feature.channel_scales for feature in params.features)
        return TrialResult(outcome_on(samples, folder, changed) if samples else _evaluated(folder), scaled)


def _first_stage(before: Config, after: Config) -> str:
    """The first stage that goes by what differs."""
    if export_settings(before.model) != export_settings(after.model):
        return "export"
    return "calibset" if calibset_settings(before) != calibset_settings(after) else "quantize"


@contextmanager
def _project() -> Iterator[Path]:
    """A folder like the project's, without parameters and outputs."""
    with scratch_folder(OUTPUTS, SCRATCH_PREFIX) as scratch:
        folder = scratch.resolve()
        for entry in Path.cwd().iterdir():
            if entry.name not in NOT_LINKED:
                (folder / entry.name).symlink_to(entry)
        (folder / OUTPUTS).mkdir()
        yield folder


def _link_stages(folder: Path, first: str) -> list[str]:
    """Link the outputs of the stages before one; gives those from it on, which are to be run."""
    order = [*STAGES, "quantize"]
    start = order.index(first)
    for stage in order[:start]:
        if not (folder / STAGES[stage]).exists():
            (folder / STAGES[stage]).symlink_to(Path.cwd() / STAGES[stage])
    return order[start:]


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a stage or a command of the project; what it would log as a run stays in the folder.

    Raises:
        UserError: if it fails; its own line.
    """
    name, *arguments = command
    log = folder / f"{name}.log"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path])),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    with (
        log.open("w", encoding="utf-8") as file,
        running([sys.executable, "-m", f"stages.{name}", *arguments], folder, file, environment) as process,
    ):
        code = process.wait()
    if code:
        own = own_line(log.read_text(encoding="utf-8", errors="replace"))
        raise UserError(own or f"{name} ended with exit code {code}")


def _evaluated(folder: Path) -> Outcome:
    """What evaluate says of a folder's network."""
    _run(["evaluate"], folder)
    task = read_artifact(folder / TASK_METRIC, TaskMetric.if_any)
    judged = read_artifact(folder / JUDGED, JudgedSet.from_json)
    return Outcome(judged, noun_of(load_inputs(folder / INPUTS)), task)


def outcome_on(samples: str, folder: Path, config: Config) -> Outcome:
    """Run both networks of a folder on a set of samples, or evenly on a part of it, see `tried_of`.

    Args:
        samples: `DEBUG` or `EVALUATION`.
        folder: the project's, or one like it.
        config: the experiment in it.
    """
    reference, inputs = Graph(load_model(folder / FLOAT_MODEL)), load_inputs(folder / INPUTS)
    names, key = float_outputs(reference), f"data.{samples}"
    simulator = simulator_model(load_integer_model(folder / INTEGER_MODEL), names)
    quantized, float_network = Runner(simulator, optimize="safe"), Runner(reference.model)
    judge = SetJudge(samples, reference, inputs, config, folder / DETECTOR)
    files = select(getattr(config.data, samples), inputs, key)
    count = tried_of(len(files), reference)
    files = [files[index * len(files) // count] for index in range(count)]

    def run(read: ReadSample) -> tuple[Outputs, Outputs, Outputs]:
        fed = feeds(read.sample, inputs)
        return float_network.run(fed), quantized.run(fed), fed

    for expected, actual, fed in in_order(run, read_samples(files, inputs, config.model.preprocess, key)):
        judge.add(expected, actual, fed)
    return Outcome(judge.judged(), noun_of(inputs))


def tried_of(count: int, graph: Graph) -> int:
    """How many of a set's samples a trial runs.

    Args:
        count: of all.
        graph: the float network; large ones take fewer samples.
    """
    shapes = (graph.shapes.get(name, []) for node in graph.nodes for name in node.output)
    values = sum(math.prod(shape) for shape in shapes)
    return min(count, max(LEAST_SAMPLES, min(MOST_SAMPLES, int(MOST_VALUES // max(values, 1)))))
