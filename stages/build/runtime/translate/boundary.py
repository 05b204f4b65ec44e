"""Operators at which codes begin and end."""

from collections.abc import Callable

import numpy as np
import onnx

from stages.build.runtime.contract import Kind, Opcode, Scales
from stages.build.runtime.translate.translation import Translation
from stages.core.integer.operators import Operator
from stages.core.integer.operators.boundary import Constant, Dequantize, Quantize, QuantizeAway

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]


def _quantize(to: Translation, node: onnx.NodeProto, operator: Quantize) -> None:
    x, y = node.input[0], node.output[0]
    if to.is_input(x) and not operator.channel_scales:
        to.feed_codes(x, y)
        return
    number = to.operand(x)
    to.emit(Opcode.quantize, [number, to.scales(y)], to.result(y), to.channels(y))


def _quantize_away(to: Translation, node: onnx.NodeProto, operator: QuantizeAway) -> None:
    number, reciprocal = (
        to.operand(node.input[0]),
        to.stored(Kind.f32, np.array([operator.reciprocal], dtype=np.float32)),
    )
    to.emit(Opcode.quantize_away, [number, reciprocal], to.result(node.output[0]), Scales(1, 1))


def _dequantize(to: Translation, node: onnx.NodeProto, operator: Dequantize) -> None:
    del operator
    x, y = node.input[0], node.output[0]
    to.emit(Opcode.dequantize, [to.operand(x), to.scales(x)], to.result(y), to.channels(x))


def _constant(to: Translation, node: onnx.NodeProto, operator: Constant) -> None:
    del operator
    to.constant_codes(node.output[0], to.constants[node.input[0]])


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {
    Quantize: _quantize,
    QuantizeAway: _quantize_away,
    Dequantize: _dequantize,
    Constant: _constant,
}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {}
