"""The text of conf/data/NAME.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.core.config.schema import Task
from stages.init.pictures.split import MOST_CALIBRATION, MOST_DEBUG
from stages.init.write.model_file import commented, in_one_line

__all__ = ["DataFile", "SampleSet", "data_text"]


@dataclass(frozen=True)
class SampleSet:
    """One set.

    Attributes:
        source: as the config has it.
        part: of the source; None: all.
        count: how many samples that is.
    """

    source: str
    part: Sequence[float] | None
    count: int


@dataclass(frozen=True)
class DataFile:
    """What conf/data/NAME.yaml says.

    Attributes:
        name: of the data set.
        split: a sentence on how samples are split.
        calibration: the set.
        debug: the set.
        evaluation: the set.
        labels: `data.evaluation.labels`.
        labels_said: why these.
        task: `data.evaluation.task`.
        preprocessed: whether arrays hold the network's input as it is.
    """

    name: str
    split: str
    calibration: SampleSet
    debug: SampleSet
    evaluation: SampleSet
    labels: str | None
    labels_said: str
    task: Task
    preprocessed: bool = False


def data_text(file: DataFile) -> str:
    """Give the YAML text."""
    return "\n".join(
        [
            *commented(f"Written by `python -m stages.init`. {file.split}"),
            f"name: {in_one_line(file.name)}",
            "calibration:",
            *_set(file.calibration, MOST_CALIBRATION, file.preprocessed),
            "correction:",
            "  source: null  # the calibration samples that do not validate",
            "validation:",
            "  source: null  # every fifth calibration sample",
            "debug:",
            *_set(file.debug, MOST_DEBUG, file.preprocessed),
            "evaluation:",
            *_set(file.evaluation, None, file.preprocessed),
            *commented(f"labels {file.labels_said}", "  "),
            f"  labels: {in_one_line(file.labels)}",
            f"  task: {file.task.value}",
            "",
        ]
    )


def _set(samples: SampleSet, most: int | None, preprocessed: bool) -> list[str]:
    part = "null" if samples.part is None else in_one_line(list(samples.part))
    lines = [f"  source: {in_one_line(samples.source)}", f"  part: {part}  # {samples.count} now"]
    lines.append(f"  size: {most}" if most else "  size: null")
    return [*lines, "  preprocessed: true  # float32 in the layout of the network's input"] if preprocessed else lines
