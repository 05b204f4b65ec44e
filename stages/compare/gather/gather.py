"""What compare goes by, in one pass over the debug pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.compare.background import Background
from stages.compare.gather.comparison import Comparison, Observer, compare_networks
from stages.compare.gather.layer_close_ups import LayerCloseUps
from stages.compare.gather.networks import Networks, load_networks
from stages.compare.gather.observed_boxes import ObservedBoxes, open_boxes
from stages.compare.gather.observed_features import FeatureObserver, ObservedFeature
from stages.compare.gather.observed_parts import ObservedJoint, PartObserver
from stages.compare.gather.picture_dump import PictureDump
from stages.compare.gather.picture_sets import DEBUG_KEY, CalibrationSet, DebugPictures, DebugSet
from stages.compare.gather.similarity import PictureRows, Similarity, output_row
from stages.core.base.artifacts import as_rows, read_artifact
from stages.core.base.errors import DamagedError, UserError
from stages.core.base.paths import CALIBSET, COMPILER_LOG, DETECTOR, EVALUATE, JUDGED, NORMALIZATION, NOTES, TASK_METRIC
from stages.core.config.schema import Config
from stages.core.config.settings_record import check_settings, evaluate_settings
from stages.core.data.inputs import noun_of
from stages.core.data.sample_files import select
from stages.core.data.sample_store import CALIBRATION, SampleReader, stored_sets
from stages.core.heads.head_file import ExportedHead, load_head
from stages.core.outputs.joints import find_joints
from stages.core.outputs.judged_set import DEBUG, JudgedSet, open_judge
from stages.core.outputs.states import float_outputs
from stages.core.statistics.task_metric import TaskMetric
from stages.core.tpu_mlir.compiled import CompiledNetwork, load_compiled, was_refused

__all__ = ["Gathered", "TrainingRecord", "gather"]


@dataclass(frozen=True)
class TrainingRecord:
    """What tells how the network was fed in training.

    Attributes:
        norms: the batch norms that export noted, tensor, mean and deviation of each; may be empty.
        samples: the calibration set, to look at the norms' channels with.
    """

    norms: Sequence[Mapping[str, Any]]
    samples: SampleReader


@dataclass(frozen=True)
class Gathered:
    """What compare goes by.

    Attributes:
        networks: what ran.
        similarity: the similarity table.
        observed: features on the debug pictures, by tensor.
        joints: tensors of several parts on the debug pictures, and the outputs.
        head: of a detector, if export recognized one.
        boxes: what a detector finds on the debug pictures; None of a network that is none.
        judged: what became of the float outputs on the debug pictures.
        evaluated: the same on the evaluation pictures; None where evaluate has not run on this network.
        task: what evaluate measured of this network; None if it measured nothing that tells whether it is good.
        close_ups: of the layers' outputs.
        pictures: the debug pictures, to read some once more.
        debug: what is known of them.
        calibration: the calibration set.
        training: what tells how the network was fed in training.
        compiled: what Sophgo's compiler made of the network; None where there is none, or it refused the network.
        notes: lines of earlier stages and of this one that the user should read.
    """

    networks: Networks
    similarity: Similarity
    observed: Mapping[str, ObservedFeature]
    joints: Sequence[ObservedJoint]
    head: ExportedHead | None
    boxes: ObservedBoxes | None
    judged: JudgedSet
    evaluated: JudgedSet | None
    task: TaskMetric | None
    close_ups: LayerCloseUps
    pictures: DebugPictures
    debug: DebugSet
    calibration: CalibrationSet
    training: TrainingRecord
    compiled: CompiledNetwork | None
    notes: Sequence[str]


def gather(config: Config, folder: Path, background: Background) -> Gathered:
    """Read what earlier stages left, and run the networks on the debug pictures, one at a time.

    Args:
        config: the experiment.
        folder: of the stage's outputs; takes a dump of the first picture with `compare.dump`.
        background: measures.
    """
    networks, stored = load_networks(config), stored_sets(CALIBSET)
    compiled, refused = _compiled(config)
    samples, noun = stored[CALIBRATION], noun_of(networks.inputs)
    available = len(select(replace(config.data.calibration, size=None), networks.inputs, "data.calibration"))
    files = select(config.data.debug, networks.inputs, DEBUG_KEY)
    pictures = DebugPictures(files, networks.inputs, config.model.preprocess, stored)
    close_ups, features = LayerCloseUps(networks, len(pictures)), FeatureObserver(networks.params)
    coded = {feature.tensor for feature in networks.params.features}
    by_picture, parts = PictureRows(networks.node_names), PartObserver(find_joints(networks.reference, coded))
    boxes = open_boxes(DETECTOR, networks.reference, config)
    judge = open_judge(networks.reference, networks.inputs, config, detects=boxes is not None)
    judged = float_outputs(networks.reference)

    def judge_outputs(comparison: Comparison) -> None:
        expected, actual = ({name: side[name] for name in judged} for side in (comparison.expected, comparison.actual))
        judge.add(expected, actual, comparison.picture.feeds)

    observers: list[Observer] = [features.add, close_ups.add, by_picture.add, parts.add, judge_outputs]
    if boxes:
        observers.append(boxes.add)
    if config.compare.dump:
        observers.append(PictureDump(folder, config.soc.vendor, networks).add)
    by_tensor = compare_networks(networks, pictures, background, observers)
    found = boxes.observed() if boxes else None
    return Gathered(
        networks,
        Similarity(
            by_tensor,
            output_row(list(by_tensor.values()), networks.reference),
            by_picture.rows,
            by_picture.not_finite,
        ),
        features.by_tensor,
        parts.observed(),
        load_head(DETECTOR),
        found,
        JudgedSet(DEBUG, len(pictures), judge.judgements(), found.counts if found else None),
        *_evaluated(config),
        close_ups,
        pictures,
        pictures.summary(),
        CalibrationSet(len(samples), available, samples.flat, noun),
        TrainingRecord(read_artifact(NORMALIZATION, _norms), samples),
        compiled,
        [f"calibration set: {line}" for line in samples.warnings]
        + read_artifact(NOTES, _notes)
        + pictures.notes
        + refused,
    )


def _compiled(config: Config) -> tuple[CompiledNetwork | None, list[str]]:
    """What Sophgo's compiler made, where this machine has it, and a line where it refused the network.

    That is when the page is needed most: who runs compare by hand then gets it without the compiler's part.
    """
    if not config.watch.compilers:
        return None, []
    if was_refused():
        return None, [f"TPU-MLIR refused this network ({COMPILER_LOG}): its own simulation is not on this page"]
    return load_compiled(config), []


def _evaluated(config: Config) -> tuple[JudgedSet | None, TaskMetric | None]:
    """What evaluate measured, if that is of this network: who runs stages one by one may not have run it yet."""
    try:
        check_settings(EVALUATE, evaluate_settings(config))
    except DamagedError:
        raise
    except UserError:
        return None, None
    task = read_artifact(TASK_METRIC, TaskMetric.if_any)
    return read_artifact(JUDGED, JudgedSet.from_json), task


def _notes(content: Any) -> list[str]:
    """What quantize says of its changes."""
    if not isinstance(content, list) or not all(isinstance(note, str) for note in content):
        raise TypeError("it is no list of texts")
    return content


def _norms(content: Any) -> list[dict[str, Any]]:
    """What export writes of batch norms: tensor, mean and deviation, a value a channel."""
    return [
        {
            "tensor": str(norm["tensor"]),
            "mean": [float(value) for value in norm["mean"]],
            "deviation": [float(value) for value in norm["deviation"]],
        }
        for norm in as_rows(content)
    ]
