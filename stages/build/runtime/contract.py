"""The contract with the C++ runtime: numbers, names and order of all that a model file's records hold.

The dataclasses below are the one description of an operation's attributes: Python writes them in the order of their
fields (`words`), and the header that the runtime compiles (`src/contract.h`) is generated from them by
`python -m stages.build.runtime.header`. A test compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import Annotated, Any

__all__ = [
    "ATTRIBUTES",
    "ENUMS",
    "FORMAT_VERSION",
    "Attributes",
    "AveragePool",
    "Binary",
    "BinaryFunction",
    "BroadcastAxis",
    "Cast",
    "Clamp",
    "Concat",
    "ConcatPart",
    "Conv",
    "Extreme",
    "FloatConv",
    "FloatMatMul",
    "FloatUnary",
    "FloatUnaryFunction",
    "Input",
    "Kind",
    "Lines",
    "MatMulFeatures",
    "MaxPool",
    "Mean",
    "Move",
    "MoveAxis",
    "NumberBinary",
    "NumberBinaryFunction",
    "Opcode",
    "Pick",
    "PickedAxis",
    "Place",
    "PlaceFunction",
    "Product",
    "Recurrent",
    "RecurrentCell",
    "Reduce",
    "ReduceFunction",
    "ReductionAxis",
    "Resize",
    "Rule",
    "Scaled",
    "Scales",
    "Softmax",
    "Table",
    "TopK",
    "Where",
    "Window",
    "words",
]

FORMAT_VERSION = 2


# --- enumerations; the numbers stand in model files ---


class Kind(IntEnum):
    """How a tensor's elements are stored."""

    u8 = 0
    u16 = 1
    f32 = 2
    i32 = 3
    weights = 4  # `bits` each, two's complement, without gaps
    i64 = 5
    boolean = 6  # a byte: 0 or 1
    f64 = 7
    i8 = 8
    byte = 9  # of a layer in float: codes are `u8`


class Opcode(IntEnum):
    """What an operation does."""

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
    number_binary = 14
    float_conv = 15
    float_mat_mul = 16
    reduce = 17
    softmax = 18
    where = 19
    cast = 20
    pick = 21
    place = 22
    extreme = 23
    top_k = 24
    recurrent = 25
    quantize_away = 26  # times the scale's reciprocal, halves away from zero


class Rule(IntEnum):
    """How an accumulator becomes an output."""

    nna = 0
    multiplier_shift = 1
    real = 2
    multiplier_shift_away = 3  # halves away from zero
    doubling = 4  # times multiplier / 2**31, then a shift


class BinaryFunction(IntEnum):
    """Of two features."""

    add = 0
    mul = 1
    max = 2
    min = 3
    prelu = 4


class FloatUnaryFunction(IntEnum):
    """Of one float; the result of the last three is a boolean, and `negation` takes one."""

    clip = 0
    leaky_relu = 1
    sigmoid = 2
    tanh = 3
    hard_sigmoid = 4
    exp = 5
    log = 6
    sqrt = 7
    neg = 8
    abs = 9
    reciprocal = 10
    floor = 11
    ceil = 12
    round = 13
    sign = 14
    sin = 15
    cos = 16
    atan = 17
    erf = 18
    softplus = 19
    is_nan = 20
    is_inf = 21
    negation = 22


class NumberBinaryFunction(IntEnum):
    """Of two floats, or of two integers; from `equal` on the result is a boolean."""

    add = 0
    sub = 1
    mul = 2
    div = 3
    max = 4
    min = 5
    prelu = 6
    pow = 7
    mod = 8  # the sign of the divisor
    fmod = 9  # the sign of the dividend
    equal = 10
    greater = 11
    greater_or_equal = 12
    logical_and = 13
    logical_or = 14
    logical_xor = 15


class ReduceFunction(IntEnum):
    """Of the values along some axes."""

    sum = 0
    max = 1
    min = 2
    product = 3


class PlaceFunction(IntEnum):
    """What becomes of an element where another is placed."""

    assign = 0
    add = 1
    mul = 2
    max = 3
    min = 4


class RecurrentCell(IntEnum):
    """How a state follows from the one before."""

    rnn = 0
    gru = 1
    gru_reset_after = 2  # the reset gate acts on the product with the state, not on the state
    lstm = 3


ENUMS: tuple[type[IntEnum], ...] = (
    Kind,
    Opcode,
    Rule,
    BinaryFunction,
    FloatUnaryFunction,
    NumberBinaryFunction,
    ReduceFunction,
    PlaceFunction,
    RecurrentCell,
)


# --- whole numbers, and how the runtime reads each: what is out of bounds refuses the file ---


@dataclass(frozen=True)
class Read:
    """How the runtime reads a number.

    Attributes:
        expression: in C++; `call` hands out the attributes in turn.
        unless: a field before it: where that is not 0, the number is left out.
    """

    expression: str
    unless: str = ""


Whole = Annotated[int, Read("call.attribute()")]
Flag = Annotated[int, Read("call.attribute(0, 1)")]
Size = Annotated[int, Read("call.size()")]
Offset = Annotated[int, Read("call.attribute(0, int32_t(MAX_ELEMENTS))")]
Step = Annotated[int, Read("call.attribute(1, 65535)")]
Pad = Annotated[int, Read("call.attribute(0, 65535)")]
Code = Annotated[int, Read("call.attribute(0, 65535)")]
Shift = Annotated[int, Read("call.attribute(1, 62)")]
Untabled = Annotated[int, Read("call.attribute()", unless="tabled")]


# --- parts of attributes ---


class Attributes:
    """Base of attributes and of their parts: a dataclass of numbers, enumerations and parts, and lists of parts."""


@dataclass(frozen=True)
class Clamp(Attributes):
    """The codes that leave an operator."""

    low: Code
    high: Code


@dataclass(frozen=True)
class Scaled(Attributes):
    """The end of a fixed-point operator: divided by 2**shift, clamped."""

    shift: Shift
    clamp: Clamp


@dataclass(frozen=True)
class Scales(Attributes):
    """How many scales a tensor of codes has, and how many elements of a channel are neighbours."""

    channels: Size
    inner: Size


@dataclass(frozen=True)
class Window(Attributes):
    """A window that slides over two axes: shapes NHWC, kernel, strides, dilations, pads before."""

    n: Size
    h: Size
    w: Size
    c: Size
    ho: Size
    wo: Size
    kh: Step
    kw: Step
    sh: Step
    sw: Step
    dh: Step
    dw: Step
    ph: Pad
    pw: Pad


@dataclass(frozen=True)
class Product(Attributes):
    """Shapes of a product of computed matrices: [batch, rows, inner] x [batch, inner, columns]."""

    batch: Size
    rows: Size
    inner: Size
    columns: Size


@dataclass(frozen=True)
class BroadcastAxis(Attributes):
    """An axis of a result, and how far apart its neighbours are in two operands."""

    length: Size
    a: Offset
    b: Offset


@dataclass(frozen=True)
class ReductionAxis(Attributes):
    """An axis of an operand, and how far apart its neighbours are in the result: 0 where it is summed up."""

    length: Size
    stride: Offset


@dataclass(frozen=True)
class MoveAxis(Attributes):
    """An axis of a result: the operand's offsets are a multiple of `step`, or in a table, which is an input."""

    length: Size
    tabled: Flag
    step: Untabled = 0


@dataclass(frozen=True)
class ConcatPart(Attributes):
    """An operand of a concatenation."""

    length: Size
    multiplier: Whole


@dataclass(frozen=True)
class Lines(Attributes):
    """A tensor as lines along one of its axes: `outer` x `inner` lines of `length` elements."""

    outer: Size
    length: Size
    inner: Size


@dataclass(frozen=True)
class PickedAxis(Attributes):
    """An axis along which an index picks; of several, its index lies `offset` behind the first one."""

    length: Size
    stride: Offset
    offset: Offset


# --- the attributes of each operation ---


@dataclass(frozen=True)
class Input(Attributes):
    """A picture that is fed: which one, and how many values mean and normal have."""

    index: Whole
    channels: Size


@dataclass(frozen=True)
class Move(Attributes):
    """Elements that move: result[i, j, ...] = x[base + offset_0(i) + offset_1(j) + ...], or the padded value."""

    padded: Whole
    base: Offset
    axes: tuple[MoveAxis, ...]


@dataclass(frozen=True)
class Conv(Attributes):
    """A weighted operation on codes."""

    transposed: Flag
    window: Window
    groups: Size
    channels: Size
    rule: Rule
    clamp: Clamp


@dataclass(frozen=True)
class Binary(Attributes):
    """A function of two features, or of a feature and its slopes."""

    function: BinaryFunction
    left: Whole
    right: Whole
    scaled: Scaled
    axes: tuple[BroadcastAxis, ...]


@dataclass(frozen=True)
class Concat(Attributes):
    """Operands one behind the other, `outer` times; one part an operand."""

    outer: Size
    scaled: Scaled
    parts: tuple[ConcatPart, ...]


@dataclass(frozen=True)
class Table(Attributes):
    """A lookup table, or one a channel."""

    channels: Size
    inner: Size
    clamp: Clamp


@dataclass(frozen=True)
class Mean(Attributes):
    """A mean over axes."""

    multiplier: Whole
    scaled: Scaled
    axes: tuple[ReductionAxis, ...]


@dataclass(frozen=True)
class MaxPool(Attributes):
    """The largest value of each window."""

    window: Window


@dataclass(frozen=True)
class AveragePool(Attributes):
    """The mean of each window."""

    window: Window
    scaled: Scaled


@dataclass(frozen=True)
class Resize(Attributes):
    """Linear interpolation of pictures NHWC."""

    n: Size
    h: Size
    w: Size
    c: Size
    ho: Size
    wo: Size
    scaled: Scaled


@dataclass(frozen=True)
class MatMulFeatures(Attributes):
    """A product of two features."""

    multiplier: Whole
    scaled: Scaled
    product: Product


@dataclass(frozen=True)
class FloatUnary(Attributes):
    """A function of one float tensor."""

    function: FloatUnaryFunction


@dataclass(frozen=True)
class NumberBinary(Attributes):
    """A function of two tensors of numbers of the same kind."""

    function: NumberBinaryFunction
    axes: tuple[BroadcastAxis, ...]


@dataclass(frozen=True)
class FloatConv(Attributes):
    """A convolution or a product with a constant matrix in float."""

    transposed: Flag
    window: Window
    groups: Size
    channels: Size


@dataclass(frozen=True)
class FloatMatMul(Attributes):
    """A product of two float tensors."""

    product: Product


@dataclass(frozen=True)
class Reduce(Attributes):
    """A function of the values along some axes; a sum is divided."""

    function: ReduceFunction
    divisor: Size
    axes: tuple[ReductionAxis, ...]


@dataclass(frozen=True)
class Softmax(Attributes):
    """Softmax along lines."""

    lines: Lines


@dataclass(frozen=True)
class Where(Attributes):
    """One of two tensors, element by element, as a tensor of booleans says."""

    elements: Size


@dataclass(frozen=True)
class Cast(Attributes):
    """The same numbers as another kind."""

    elements: Size


@dataclass(frozen=True)
class Pick(Attributes):
    """Elements at computed indices: result[i] = x[a_i + sum of index * stride], the indices at b_i."""

    picked: tuple[PickedAxis, ...]
    axes: tuple[BroadcastAxis, ...]


@dataclass(frozen=True)
class Place(Attributes):
    """A copy of x with updates at computed indices: of update i at a_i + sum of index * stride, the indices at b_i."""

    function: PlaceFunction
    picked: tuple[PickedAxis, ...]
    axes: tuple[BroadcastAxis, ...]


@dataclass(frozen=True)
class Extreme(Attributes):
    """The index of the largest or smallest element of each line: the first, or the last of several."""

    largest: Flag
    last: Flag
    lines: Lines


@dataclass(frozen=True)
class TopK(Attributes):
    """The largest or smallest elements of each line in order, or their indices."""

    largest: Flag
    indices: Flag
    count: Size
    lines: Lines


@dataclass(frozen=True)
class Recurrent(Attributes):
    """A recurrent layer in one direction: states [steps, batch, hidden], then the final state, then the final cell."""

    cell: RecurrentCell
    reverse: Flag
    steps: Size
    batch: Size
    inputs: Size
    hidden: Size
    f: FloatUnaryFunction
    g: FloatUnaryFunction
    h: FloatUnaryFunction


ATTRIBUTES: dict[Opcode, type[Attributes]] = {
    Opcode.input: Input,
    Opcode.move: Move,
    Opcode.conv: Conv,
    Opcode.binary: Binary,
    Opcode.concat: Concat,
    Opcode.table: Table,
    Opcode.mean: Mean,
    Opcode.max_pool: MaxPool,
    Opcode.average_pool: AveragePool,
    Opcode.resize: Resize,
    Opcode.mat_mul_features: MatMulFeatures,
    Opcode.quantize: Scales,
    Opcode.dequantize: Scales,
    Opcode.float_unary: FloatUnary,
    Opcode.number_binary: NumberBinary,
    Opcode.float_conv: FloatConv,
    Opcode.float_mat_mul: FloatMatMul,
    Opcode.reduce: Reduce,
    Opcode.softmax: Softmax,
    Opcode.where: Where,
    Opcode.cast: Cast,
    Opcode.pick: Pick,
    Opcode.place: Place,
    Opcode.extreme: Extreme,
    Opcode.top_k: TopK,
    Opcode.recurrent: Recurrent,
    Opcode.quantize_away: Scales,
}
"""What an operation's attributes are."""
COUNTED_PARTS = (MoveAxis, BroadcastAxis, ReductionAxis, PickedAxis)
"""Parts whose lists begin with their number; a Concat has as many parts as operands."""


def words(attributes: Attributes) -> tuple[int, ...]:
    """Write attributes as the whole numbers of a model file."""
    return tuple(_words(attributes))


def _words(value: Any) -> Iterator[int]:
    if is_dataclass(value):
        for item in fields(value):
            unless = next((r.unless for r in getattr(item.type, "__metadata__", ()) if isinstance(r, Read)), "")
            if not (unless and getattr(value, unless)):
                yield from _words(getattr(value, item.name))
    elif isinstance(value, tuple):
        if value and isinstance(value[0], COUNTED_PARTS):
            yield len(value)
        for part in value:
            yield from _words(part)
    else:
        yield int(value)
