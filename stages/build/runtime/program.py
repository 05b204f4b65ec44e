"""The runtime's program: tensors as they lie in memory, and operations on them. src/ says what each computes."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError

__all__ = ["Kind", "Opcode", "Operation", "Program", "Tensor", "UnsupportedError"]


class UnsupportedError(UserError):
    """The network holds something that the runtime does not do."""


class Kind(IntEnum):
    """How a tensor's elements are stored; the numbers stand in model files."""

    u8 = 0
    u16 = 1
    f32 = 2
    i32 = 3
    weights = 4  # `bits` each, two's complement, without gaps


class Opcode(IntEnum):
    """What an operation does; the numbers stand in model files."""

    input = 0
    move = 1
    conv = 2
    binary = 3
    concat = 4
    table = 5
    mean = 6
    max_pool = 7
    average_pool = 8
    resize = 9
    mat_mul_features = 10
    quantize = 11
    dequantize = 12
    float_unary = 13
    float_binary = 14
    float_conv = 15
    float_mat_mul = 16
    float_sum = 17
    softmax = 18


ELEMENT_BYTES = {Kind.u8: 1, Kind.u16: 2, Kind.f32: 4, Kind.i32: 4}


@dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        kind: of its elements.
        shape: as it lies in memory: NHWC for what is a picture in the network.
        bits: width of a code or a weight.
        zero_point: the code of real 0.
        name: what its dump is called; empty: none.
        values: of a constant; None for what is computed.
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
    """An operation: numbers of tensors, and whole numbers that say the rest, in the order in which src/ reads them.

    Attributes:
        opcode: what it does.
        layer: the node that it computes, for profiles.
        inputs: tensors that it takes, constants among them.
        output: the tensor that it makes.
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
        inputs: name, elements and channels of each picture that is fed.
        outputs: name and tensor (float32) of each result.
    """

    tensors: list[Tensor] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    inputs: list[tuple[str, int, int]] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)
