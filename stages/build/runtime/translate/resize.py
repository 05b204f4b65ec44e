"""Resize with linear interpolation."""

from collections.abc import Callable

import numpy as np
import onnx

from stages.build.runtime.contract import Kind, Opcode, Resize
from stages.build.runtime.movement import physical
from stages.build.runtime.translate.attributes import scaled_of
from stages.build.runtime.translate.translation import Translation
from stages.core.integer.operators import Operator, resize

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]


def _resize(to: Translation, node: onnx.NodeProto, operator: resize.Resize) -> None:
    """The weights of rows and of columns are stored sparsely: start of each output, sources, weights."""
    x, y = node.input[0], node.output[0]
    n, h, w, c = physical(to.shape(x))
    rows, columns = (to.constants[name] for name in node.input[1:3])
    inputs = [to.operand(x)]
    for matrix in (rows, columns):
        outputs, sources = np.nonzero(matrix)
        starts = np.searchsorted(outputs, np.arange(len(matrix) + 1))
        inputs += [to.stored(Kind.i32, values) for values in (starts, sources, matrix[outputs, sources])]
    attributes = Resize(n, h, w, c, len(rows), len(columns), scaled_of(operator))
    to.emit(Opcode.resize, inputs, to.result(y), attributes)


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {resize.Resize: _resize}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {}
