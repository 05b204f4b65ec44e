"""Values that count only where something is found: boxes beside a score of each place, a pitch beside how sure it is.

A network gives them for all its places or steps. Where its score says that nothing is there they mean nothing, and
nobody reads them: there their error, and their variation, is that of noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.core.outputs.output_error import FLOAT_NOISE, Outputs, PartError
from stages.core.outputs.reading import Reading, may_be_logits

__all__ = ["Gate", "GatedValues", "is_row_of_places"]

Doubles = NDArray[np.float64]
FOUND = 0.5
"""A probability from which on something is found."""
LEAST_FOUND = 10
"""Places; of fewer it cannot be told how much their values vary."""
ROW_RANK, ROWS_RANK = 2, 3
LEAST_STEPS = 32
"""Of a row that has one value for each; fewer are more likely a score for each class."""


@dataclass(frozen=True)
class Gate:
    """The output that says where something is found.

    Attributes:
        output: its name.
        reading: as what its values are read.
    """

    output: str
    reading: Reading


def _by_place(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """An output's values, [places, values of a place]."""
    if values.ndim == ROW_RANK:
        return values.reshape(-1, 1)
    rows = values if values.ndim == ROWS_RANK else np.moveaxis(values, 1, -1)
    return rows.reshape(-1, rows.shape[-1])


def is_row_of_places(shape: Sequence[int]) -> bool:
    """Whether an output may have one value for each of many places or steps, in one row."""
    return len(shape) == ROW_RANK and shape[0] == 1 and shape[1] >= LEAST_STEPS


@dataclass
class GatedValues:
    """Takes in both networks' outputs, picture by picture.

    Attributes:
        in_picture: whether places are those of a picture; else they are steps, and only rows of them are looked at.
    """

    in_picture: bool
    _sums: dict[tuple[str, Gate], Doubles] = field(default_factory=dict)
    _found: dict[tuple[str, Gate], int] = field(default_factory=dict)

    def add(self, expected: Outputs, actual: Outputs) -> None:
        """Take in one picture."""
        scores: dict[tuple[int, ...], list[str]] = {}
        for name, values in expected.items():
            if is_row_of_places(values.shape) or may_be_logits(values.shape):
                scores.setdefault(self._places(values.shape), []).append(name)
        for name, values in expected.items():
            places = self._places(values.shape)
            for score in scores.get(places, []) if places else []:
                if score != name:
                    self._add(name, score, expected, actual)

    def _add(self, name: str, score: str, expected: Outputs, actual: Outputs) -> None:
        """Take in the values of an output where another one may find something."""
        rows = [_by_place(side[name]) for side in (expected, actual)]
        for reading in Reading:
            gate = Gate(score, reading)
            found = reading.of(expected[score]).reshape(-1) > FOUND
            wanted, given = (side[found].astype(np.float64) for side in rows)
            moments = [wanted.sum(axis=0), (wanted**2).sum(axis=0), ((given - wanted) ** 2).sum(axis=0)]
            self._sums[name, gate] = self._sums.get((name, gate), 0.0) + np.stack(moments)
            self._found[name, gate] = self._found.get((name, gate), 0) + int(found.sum())

    def _places(self, shape: Sequence[int]) -> tuple[int, ...]:
        """How places lie in an output, whatever it has for each of them; empty of other shapes."""
        if is_row_of_places(shape):
            return (shape[1],)
        if not self.in_picture or shape[:1] != (1,) or len(shape) not in (ROWS_RANK, PICTURE_RANK):
            return ()
        return tuple(shape[1:2]) if len(shape) == ROWS_RANK else tuple(shape[2:])

    def gates(self, output: str) -> list[Gate]:
        """What may say where an output's values count, each reading of each."""
        return [gate for name, gate in self._sums if name == output]

    def part(self, output: str, gate: Gate) -> tuple[PartError, int] | None:
        """The error of an output's values where something is found, and in how many places.

        The deviation is that of each value of a place about its own mean. None where something is found in too few
        places, or the values are the same in all of them.
        """
        count = self._found[output, gate]
        if count < LEAST_FOUND:
            return None
        sums, squares, errors = self._sums[output, gate] / count
        variance = float(np.mean(squares - sums**2))
        if variance <= FLOAT_NOISE * float(np.mean(squares)):
            return None
        return PartError(output, "", count * len(sums), variance**0.5, float(np.mean(errors)) ** 0.5), count
