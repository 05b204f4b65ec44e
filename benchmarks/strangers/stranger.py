"""What the benchmark knows of a network that others trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.strangers.material.photos import Photo
from stages.core.base.sources import open_source

__all__ = [
    "LEVELS",
    "NOT_QUANTIZED",
    "Arrays",
    "Bounds",
    "Material",
    "Measured",
    "Sample",
    "Samples",
    "Stranger",
    "Value",
    "per_channel",
]

Arrays = dict[str, NDArray[np.float32]]
"""Tensor -> its value."""
Sample = Photo | NDArray[np.uint8] | Arrays
"""A picture's file, a picture's pixels, BGR [H, W, 3], or the value of each input in the network's shapes."""
LEVELS = ("good", "degraded", "dead")
"""What a task measure says, the best first."""
NOT_QUANTIZED = "float"
"""The truth of a network of which no layer multiplies in integers: its measure says nothing."""
LEAST_SPREAD = 5
"""Fewer samples say nothing of a spread."""
DEVIATIONS = 1.96
"""Of the normal distribution's 95 %."""
CALIBRATION, DEBUG = 16, 8
"""Samples that calibrate, and that compare runs."""


@dataclass(frozen=True)
class Samples:
    """What a network is calibrated, compared and measured on. No sample is of two kinds.

    Attributes:
        calibration: samples that calibrate.
        debug: samples that compare runs.
        evaluation: samples that the task measure is taken on.
        truth: what the measure needs beside the outputs, such as clean speech.
        starts: indices of `evaluation` at which a stream begins; of a network with states.
    """

    calibration: Sequence[Sample]
    debug: Sequence[Sample]
    evaluation: Sequence[Sample]
    truth: Any = None
    starts: Sequence[int] = ()

    @classmethod
    def divided(cls, samples: Sequence[Sample], evaluation: int = 32, truth: Any = None) -> "Samples":
        """The first samples calibrate, the next are compared, the last ones are measured.

        Args:
            samples: all of them, in an order that has no meaning.
            evaluation: how many are measured.
            truth: see the class.
        """
        compared = CALIBRATION + DEBUG
        measured = samples[compared : compared + evaluation]
        return cls(samples[:CALIBRATION], samples[CALIBRATION:compared], measured, truth)


@dataclass(frozen=True)
class Material:
    """What samples are made of.

    Attributes:
        data: DIR of `--data`; None: pictures out of packages.
        network: the source of the network, a `package:` or `file:`.
    """

    data: Path | None
    network: str

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        (file,) = open_source(self.network)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1  # of a small network threads cost more than they bring
        return onnxruntime.InferenceSession(file.read(), options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the network as its authors published it."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))


@dataclass(frozen=True)
class Measured:
    """Outputs of both networks on the evaluation samples.

    Attributes:
        expected: of the float network, a sample each, in the order of the network's outputs.
        actual: of the quantized network.
        truth: of `Samples`.
        project: the project's folder.
    """

    expected: Sequence[Arrays]
    actual: Sequence[Arrays]
    truth: Any
    project: Path

    def parts(self) -> "list[Measured]":
        """All samples but one, each once; nothing where samples cannot be left out: of a stream, or of joint truth."""
        count = len(self.expected)
        if self.truth is not None and not (isinstance(self.truth, Sequence) and len(self.truth) == count):
            return []
        return [
            Measured(
                _without(self.expected, index),
                _without(self.actual, index),
                None if self.truth is None else _without(self.truth, index),
                self.project,
            )
            for index in range(count)
        ]

    def pairs(self, index: int = 0) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """An output's values in the float and the quantized network, a pair for each sample."""
        both = zip(self.expected, self.actual, strict=True)
        return [(list(expected.values())[index], list(actual.values())[index]) for expected, actual in both]


def _without(items: Sequence[Any], index: int) -> list[Any]:
    return [*items[:index], *items[index + 1 :]]


@dataclass(frozen=True)
class Value:
    """A task measure with its spread.

    Attributes:
        value: on all samples.
        low: end of the 95 % interval, by the delete-one jackknife; `value` where samples cannot be left out.
        high: the other end.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, measure: Callable[[Measured], float], measured: Measured, stream: bool) -> "Value":
        """Take a measure on all samples, and on all but each; of a stream on all alone."""
        value = float(measure(measured))
        left = np.array([measure(part) for part in measured.parts()] if not stream else [])
        if len(left) < LEAST_SPREAD or not np.isfinite(left).all():
            return cls(value, value, value)
        half = DEVIATIONS * float(np.sqrt((len(left) - 1) * left.var()))
        return cls(value, value - half, value + half)


@dataclass(frozen=True)
class Bounds:
    """What a task measure's values mean. They were fixed before any verdict was looked at.

    Attributes:
        good: the network does its task as the float network does, from here on.
        dead: it is of no use, from here on to the other side.
    """

    good: float
    dead: float

    def level(self, value: float) -> str:
        """One of `LEVELS`."""
        sign = 1.0 if self.good > self.dead else -1.0
        if sign * value >= sign * self.good:
            return "good"
        return "dead" if sign * value <= sign * self.dead or np.isnan(value) else "degraded"

    def levels(self, value: Value) -> list[str]:
        """The level of a value, then those that its spread reaches too."""
        reached = {self.level(end) for end in (value.low, value.high)}
        between = {"degraded"} if reached == {"good", "dead"} else set()
        return list(dict.fromkeys([self.level(value.value), *sorted(reached | between)]))


@dataclass(frozen=True)
class Stranger:
    """A network, its data and what it is for.

    Attributes:
        name: for the table.
        kind: what it does.
        source: of the file: `package:NAME==VERSION/path#sha256=...`, or `file:NAME` of a folder that `--dir` names.
        samples: makes the data.
        measure: the task measure.
        measure_name: for the table.
        bounds: of the measure.
        overrides: of the experiment, beside source, name and data.
        states: output -> input that takes its value at the next sample of a stream.
        plant: writes another network into the project's folder and gives its source.
        needs_data: whether its samples need the folder of `--data`.
    """

    name: str
    kind: str
    source: str
    samples: Callable[[Material], Samples]
    measure: Callable[[Measured], float]
    measure_name: str
    bounds: Bounds
    overrides: Sequence[str] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    plant: Callable[[Material, Path], str] | None = None
    needs_data: bool = False


def per_channel(mean: Sequence[float], normal: Sequence[float], shape: Sequence[int] | None, color: str = "RGB") -> str:
    """The override of a picture input."""
    sizes = f"shape: {list(shape)}, " if shape else ""
    return f"model.inputs=[{{{sizes}mean: {list(mean)}, normal: {list(normal)}, color: {color}}}]"
