"""Which values of an output belong together: what was joined into it is judged part by part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph
from stages.core.outputs.joints import Index, find_output_joints
from stages.core.outputs.reading import may_be_logits, takes_a_picture

__all__ = ["OutputParts", "parts_of_outputs"]

MOST_VALUES = 2**18
"""Values of an output in one part that are looked at, evenly."""


@dataclass(frozen=True)
class OutputParts:
    """The parts of an output.

    Attributes:
        names: of the parts; one empty name where the output is one part.
        order: positions of the values that are looked at, part by part, as the output lies in memory.
        starts: where in `order` each part begins.
        size: elements of the output.
        may_be_logits: whether it has one value for each of many places in a picture, see `Reading`.
    """

    names: Sequence[str]
    order: Index
    starts: Index
    size: int
    may_be_logits: bool = False

    @classmethod
    def whole(cls, size: int, logits: bool = False) -> "OutputParts":
        """An output in one part.

        Args:
            size: its elements.
            logits: whether it may be logits.
        """
        step = max(-(-size // MOST_VALUES), 1)
        return cls([""], np.arange(0, size, step), np.zeros(1, np.int64), size, logits)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many values of each part are looked at."""
        return np.diff(np.append(self.starts, len(self.order)))

    def of(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """The values that are looked at, part by part."""
        return values.reshape(-1)[self.order].astype(np.float64)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over each part of what `of` gives, [parts]."""
        return np.add.reduceat(values, self.starts)


def parts_of_outputs(graph: Graph) -> Mapping[str, OutputParts]:
    """Find the parts of each float output whose size is known, see `find_output_joints`.

    Args:
        graph: the float network.
    """
    joints = {joint.tensor: joint for joint in find_output_joints(graph)}
    found, pictured = {}, takes_a_picture(graph)
    for name in graph.outputs:
        size = int(np.prod(graph.shapes.get(name, [0]), dtype=np.int64))
        if name not in graph.float_tensors or not size:
            continue
        logits = pictured and may_be_logits(graph.shapes[name])
        found[name] = OutputParts.whole(size, logits)
        if name in joints:
            parts = joints[name].parts
            starts = np.cumsum([0, *(len(part.index) for part in parts[:-1])])
            order = np.concatenate([part.index for part in parts])
            found[name] = OutputParts([part.name for part in parts], order, starts, size, logits)
    return found
