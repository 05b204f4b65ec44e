"""What compare goes by, in one pass over the debug pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.compare.background import Background
from stages.compare.gather.comparison import Comparison, Observer, compare_networks
from stages.compare.gather.layer_close_ups import LayerCloseUps
from stages.compare.gather.networks import Networks, load_networks
from stages.compare.gather.observed_boxes import BoxObserver, ObservedBoxes
from stages.compare.gather.observed_features import FeatureObserver, ObservedFeature
from stages.compare.gather.observed_parts import ObservedJoint, PartObserver
from stages.compare.gather.picture_dump import PictureDump
from stages.compare.gather.picture_sets import DEBUG_KEY, CalibrationSet, DebugPictures, DebugSet
from stages.compare.gather.similarity import PictureRows, Similarity, output_row
from stages.core.base.artifacts import read_json
from stages.core.base.paths import CALIBSET, DETECTOR, NORMALIZATION, NOTES
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput, noun_of
from stages.core.data.sample_files import select
from stages.core.data.sample_store import CALIBRATION, SampleReader, stored_sets
from stages.core.graph.onnx_graph import Graph
from stages.core.heads.detector import load_detector
from stages.core.heads.head_file import ExportedHead, load_head
from stages.core.outputs.joints import find_joints
from stages.core.outputs.output_judge import OutputJudge, OutputJudgement
from stages.core.outputs.output_parts import parts_of_outputs

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
        outputs: what became of each float output.
        close_ups: of the layers' outputs.
        debug: the debug pictures.
        calibration: the calibration set.
        training: what tells how the network was fed in training.
        notes: lines of earlier stages and of this one that the user should read.
    """

    networks: Networks
    similarity: Similarity
    observed: Mapping[str, ObservedFeature]
    joints: Sequence[ObservedJoint]
    head: ExportedHead | None
    boxes: ObservedBoxes | None
    outputs: Sequence[OutputJudgement]
    close_ups: LayerCloseUps
    debug: DebugSet
    calibration: CalibrationSet
    training: TrainingRecord
    notes: Sequence[str]


def gather(config: Config, folder: Path, background: Background) -> Gathered:
    """Read what earlier stages left, and run the networks on the debug pictures, one at a time.

    Args:
        config: the experiment.
        folder: of the stage's outputs; takes a dump of the first picture with `compare.dump`.
        background: measures.
    """
    networks, stored = load_networks(config), stored_sets(CALIBSET)
    samples, noun = stored[CALIBRATION], noun_of(networks.inputs)
    available = len(select(replace(config.data.calibration, size=None), networks.inputs, "data.calibration"))
    files = select(config.data.debug, networks.inputs, DEBUG_KEY)
    pictures = DebugPictures(files, networks.inputs, config.model.preprocess, stored)
    close_ups, features = LayerCloseUps(networks, len(pictures)), FeatureObserver(networks.params)
    coded = {feature.tensor for feature in networks.params.features}
    by_picture, parts = PictureRows(networks.node_names), PartObserver(find_joints(networks.reference, coded))
    judge = open_judge(networks.reference, networks.inputs, config)
    judged = [name for name in networks.reference.outputs if name in networks.node_names]

    def judge_outputs(comparison: Comparison) -> None:
        sides = ({name: side[name] for name in judged} for side in (comparison.expected, comparison.actual))
        judge.add(*sides)

    observers: list[Observer] = [features.add, close_ups.add, by_picture.add, parts.add, judge_outputs]
    boxes = _box_observer(networks, config)
    if boxes:
        observers.append(boxes.add)
    if config.compare.dump:
        observers.append(PictureDump(folder, config.soc.vendor, networks).add)
    by_tensor = compare_networks(networks, pictures, background, observers)
    return Gathered(
        networks,
        Similarity(by_tensor, output_row(list(by_tensor.values()), networks.reference), by_picture.rows),
        features.by_tensor,
        parts.observed(),
        load_head(DETECTOR),
        boxes.observed() if boxes else None,
        judge.judgements(),
        close_ups,
        pictures.summary(),
        CalibrationSet(len(samples), available, samples.flat, noun),
        TrainingRecord(read_json(NORMALIZATION), samples),
        [f"calibration set: {line}" for line in samples.warnings] + read_json(NOTES) + pictures.notes,
    )


def open_judge(reference: Graph, inputs: Sequence[NetworkInput], config: Config) -> OutputJudge:
    """What judges the outputs, with what the settings say of them.

    Args:
        reference: the float network.
        inputs: its inputs.
        config: the experiment.
    """
    classified = config.data.evaluation.task is Task.classification and len(reference.outputs) == 1
    sides = [each.shape[-2] for each in inputs if each.takes_picture]
    return OutputJudge(parts_of_outputs(reference), reference.outputs if classified else (), max(sides, default=0))


def _box_observer(networks: Networks, config: Config) -> BoxObserver | None:
    """What looks at a detector's boxes; None of a network that is none, or whose outputs are not all float."""
    graph = networks.reference
    if not set(graph.outputs) <= networks.node_names.keys():
        return None
    detector = load_detector(
        DETECTOR, config.model.detector, {name: graph.shapes.get(name, []) for name in graph.outputs}
    )
    return BoxObserver(detector, graph.outputs, load_head(DETECTOR)) if detector else None
