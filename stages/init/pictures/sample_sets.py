"""The user's samples as sets: what conf/data says, and pictures to try the network on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.calibset.inspect import MIN_SAMPLES
from stages.compare.diagnose.inputs.labelled_boxes import LabelledBoxes
from stages.compare.diagnose.inputs.labelled_pictures import Labelled, LabelledPictures
from stages.core.base.console import console
from stages.core.base.errors import UserError
from stages.core.config.schema import Color, PictureSet, PreprocessConfig, Task
from stages.core.data.inputs import NetworkInput, noun_of, only_picture
from stages.core.data.labels import find_labels
from stages.core.data.object_labels import read_object_labels
from stages.core.data.sample_files import ReadSample, SampleFiles, in_part, read_samples, select
from stages.init.guess.guess import Guess, Sure
from stages.init.guess.trials import Trials, is_large
from stages.init.network.read_network import ReadNetwork, picture_color
from stages.init.pictures.find_labels import FoundLabels, class_labels, object_labels
from stages.init.pictures.picture_folder import PictureFolder
from stages.init.pictures.split import MOST_CALIBRATION, MOST_DEBUG, Split, split
from stages.init.write.data_file import DataFile, SampleSet
from stages.init.write.source_text import source

__all__ = ["SampleSets", "sample_sets"]

TRIED, TRIED_OF_LARGE = 16, 8
"""Samples that a network is tried on, a large one too."""
KEY = "the samples"


@dataclass(frozen=True)
class SampleSets:
    """What was made of a folder.

    Attributes:
        file: what conf/data says.
        guesses: on split and labels.
        trials: of a network that takes one picture; None of others.
        pictures: whether samples are pictures, not arrays.
    """

    file: DataFile
    guesses: Sequence[Guess]
    trials: Trials | None
    pictures: bool


def sample_sets(folder: PictureFolder, name: str, network: ReadNetwork, preprocess: PreprocessConfig) -> SampleSets:
    """Split a folder, find its labels, and read some samples to try the network on.

    Args:
        folder: the user's.
        name: of the data set.
        network: as exported.
        preprocess: how pictures are fitted.

    Raises:
        UserError: if the folder holds no samples of the network's inputs, or one cannot be read.
    """
    inputs = _readable(network.inputs)
    files = _select(folder.folder, inputs) if not folder.sets else []
    divided = split([file.name for file in files])
    evaluated = (
        _select(folder.evaluated, inputs)
        if folder.sets
        else [file for file in files if in_part(file.name, divided.evaluation)]
    )
    found = _labels(folder, network, evaluated)
    file, guess = _data_file(folder, name, divided, found, network)
    guesses = [guess, found.guess]
    count = _count(network) if only_picture(inputs) and folder.holds_pictures else 1  # of others one: does it fit?
    try:
        reads = list(read_samples(_some(files or evaluated, count), inputs, preprocess, KEY))
    except UserError:
        if folder.holds_pictures or not _preprocessed(files or evaluated, inputs, preprocess):
            raise
        file = replace(file, preprocessed=True)
        told = "float32 in the layout of the network's input: mean and normal are applied already"
        guesses.append(Guess("samples", "as the network takes them", told, Sure.medium))
    trials = None
    if only_picture(inputs) and folder.holds_pictures:
        tried = [read.sample[inputs[0].name] for read in reads]
        trials = Trials(network, tried, _labelled(found, evaluated, inputs, preprocess, network))
    return SampleSets(file, guesses, trials, folder.holds_pictures)


def _preprocessed(files: Sequence[SampleFiles], inputs: Sequence[NetworkInput], preprocess: PreprocessConfig) -> bool:
    """Whether the first sample can be read as the network's input as it is."""
    try:
        list(read_samples([replace(files[0], preprocessed=True)], inputs, preprocess, KEY))
    except UserError:
        return False
    return True


def _select(folder: Path, inputs: Sequence[NetworkInput]) -> list[SampleFiles]:
    """The samples of a folder, which messages call as the user does."""
    whole = source(folder)
    try:
        return select(PictureSet(source=whole), inputs, KEY)
    except UserError as error:
        raise UserError(str(error).replace(f"{KEY}.source={whole}", str(folder))) from error


def _count(network: ReadNetwork) -> int:
    return TRIED_OF_LARGE if is_large(network) else TRIED


def _readable(inputs: Sequence[NetworkInput]) -> list[NetworkInput]:
    """The inputs with the colour that a picture of theirs must have."""
    return [replace(one, color=picture_color(one.shape) or Color.RGB) for one in inputs]


def _labels(folder: PictureFolder, network: ReadNetwork, evaluated: Sequence[SampleFiles]) -> FoundLabels:
    if network.head is not None and network.head.cut:
        with console.capture():  # composing warns of pictures without labels
            return object_labels(folder, evaluated, network.head.head.classes)
    if network.classes is not None:
        return class_labels(folder, evaluated, network.classes)
    told = (
        "the network is no classifier and no known detector: its outputs are compared with the float network's; "
        "a detector: docs/detectors.md; texts, speech: a metric of your own, docs/evaluation.md"
    )
    return FoundLabels(None, Task.none, Guess("labels", "none", told, Sure.medium))


def _data_file(
    folder: PictureFolder, name: str, divided: Split, found: FoundLabels, network: ReadNetwork
) -> tuple[DataFile, Guess]:
    noun = f"{noun_of(network.inputs)}s"
    if folder.sets:
        sources = {key: source(path) for key, path in folder.sets.items()}
        told = f"{folder.sets['calibration']} calibrates, {folder.sets['evaluation']} evaluates"
        counts = {key: len(_select(path, _readable(network.inputs))) for key, path in folder.sets.items()}
        calibration = SampleSet(sources["calibration"], None, min(counts["calibration"], MOST_CALIBRATION))
        evaluation = SampleSet(sources["evaluation"], None, counts["evaluation"])
        debug = replace(evaluation, count=min(counts["evaluation"], MOST_DEBUG))
        guess = Guess("split", told, "the folders say it", Sure.high)
    else:
        whole = source(folder.folder)
        parts = (divided.calibration, divided.debug, divided.evaluation)
        calibration, debug, evaluation = (
            SampleSet(whole, part, count) for part, count in zip(parts, divided.counts, strict=True)
        )
        if divided.shared:
            told = f"the same {divided.counts[0]} {noun} in all sets"
            why = "they are few: accuracy on what calibrates says little, so give more"
        else:
            told = "{} calibrate, {} debug, {} evaluate".format(*divided.counts)
            why = "by the hash of their names: the same each time, and others may be added"
            why += f"; so few calibrate poorly: give {2 * MIN_SAMPLES} {noun} or more" if divided.few else ""
        guess = Guess("split", told, why, Sure.low if divided.few else Sure.high)
    sentence = f"Split: {guess.value}; {guess.evidence}."
    labels_said = f"({found.guess.sure}): {found.guess.evidence}"
    file = DataFile(name, sentence, calibration, debug, evaluation, found.labels, labels_said, found.task)
    return file, guess


def _labelled(
    found: FoundLabels,
    evaluated: Sequence[SampleFiles],
    inputs: Sequence[NetworkInput],
    preprocess: PreprocessConfig,
    network: ReadNetwork,
) -> Labelled | None:
    """Some evaluation samples with their labels, as evidence."""
    if found.labels is None:
        return None
    files = _some(evaluated, _count(network))
    reads = list(read_samples(files, inputs, preprocess, KEY))
    name = inputs[0].name
    if found.task is Task.classification:
        assert network.classes is not None
        labels = find_labels(found.labels, files, [file.name for file in evaluated], network.classes)
        return LabelledPictures([read.sample[name] for read in reads], labels)
    return _labelled_boxes(found.labels, reads, name, network)


def _labelled_boxes(labels: str, reads: Sequence[ReadSample], name: str, network: ReadNetwork) -> LabelledBoxes | None:
    detector = Trials(network, []).detector
    if detector is None:
        return None
    with console.capture():
        known = read_object_labels(labels, [read.name for read in reads])
    rows = [
        (read.sample[name], read.placement, here)
        for read in reads
        if read.placement is not None and len((here := known.of(read.name, *read.placement.picture)).classes)
    ]
    if not rows:
        return None
    samples, placements, objects = zip(*rows, strict=True)
    return LabelledBoxes(samples, placements, objects, detector)


def _some(files: Sequence[SampleFiles], count: int) -> list[SampleFiles]:
    count = min(count, len(files))
    return [files[index * len(files) // count] for index in range(count)]
