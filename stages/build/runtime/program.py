"""The runtime's program: tensors as they lie in memory, and operations on them. contract.py has their attributes."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.build.runtime.contract import Kind, Opcode
from stages.core.base.errors import UserError

__all__ = ["Operation", "Program", "Tensor", "UnsupportedError"]


class UnsupportedError(UserError):
    """The runtime has no operation for a node of the network."""


ELEMENT_BYTES = {Kind.u8: 1, Kind.u16: 2, Kind.f32: 4, Kind.i32: 4, Kind.i64: 8, Kind.boolean: 1, Kind.f64: 8}
ELEMENT_BYTES |= {Kind.i8: 1, Kind.byte: 1}


@dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        kind: of its elements.
        shape: in memory: NHWC for rank 4 in the network.
        bits: bit width of a code or a weight.
        zero_point: the code of real 0.
        name: of its dump; empty: none.
        values: of a constant; None for a computed tensor.
    """

    kind: Kind
    shape: tuple[int, ...]
    bits: int = 0
    zero_point: int = 0
    name: str = ""
    values: NDArray[np.generic] | None = None

    @property
    def elements(self) -> int:
        """How many elements it has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return -(-self.elements * self.bits // 8) if self.kind is Kind.weights else self.elements * self.element_bytes

    @property
    def element_bytes(self) -> int:
        """Bytes of an element."""
        return ELEMENT_BYTES[self.kind]


@dataclass(frozen=True)
class Operation:
    """An operation: numbers of tensors, and its attributes as whole numbers (`contract.words`).

    Attributes:
        opcode: its kind.
        layer: the node that it computes, for profiles.
        inputs: tensors, constants among them.
        output: the tensor that it computes.
        attributes: whole numbers.
    """

    opcode: Opcode
    layer: str
    inputs: tuple[int, ...]
    output: int
    attributes: tuple[int, ...]


@dataclass
class Program:
    """A network for the runtime.

    Attributes:
        tensors: by number.
        operations: in the order in which they run.
        inputs: name, elements and channels of each network input.
        outputs: name and tensor of each result: numbers, no codes.
    """

    tensors: list[Tensor] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    inputs: list[tuple[str, int, int]] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)
