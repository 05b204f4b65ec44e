"""Networks that were exported with a fixed batch other than 1."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.core.graph.session import Runner
from stages.export.shapes import graph_shapes, with_static_shapes

__all__ = ["with_batch_one"]

RANDOM_SEED = 0
TOLERANCE = 1e-4
"""Between a picture alone and the same picture in a batch, in parts of an output's largest value."""


def with_batch_one(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make a network of pictures run one at a time where its batch is fixed to another number.

    The first size of every input has to be that number, one of them rank 4. The result is taken only if it computes
    of a picture what the source computes of it in a batch: a first size that is no batch stays as it is.

    Args:
        model: the source; not changed.

    Returns:
        The network with batch 1, or the source.
    """
    shapes = graph_shapes(model)
    sizes = {shape[0] if shape else 0 for shape in shapes.values()}
    batch = max(sizes, default=0)
    pictures = any(len(shape) == PICTURE_RANK for shape in shapes.values())
    if len(sizes) != 1 or batch < 2 or not pictures or any(0 in shape for shape in shapes.values()):
        return model
    try:
        changed = with_static_shapes(_reshaping_one(model, batch), {name: [1, *s[1:]] for name, s in shapes.items()})
        return changed if _computes_the_same(model, changed, shapes) else model
    except Exception:  # what does not run with batch 1 stays as it is
        return model


def _reshaping_one(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Copy a network whose Reshapes have 1 in the place of a batch in front."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    targets = {node.input[1] for node in changed.graph.node if node.op_type == "Reshape" and len(node.input) > 1}
    constants = [tensor for tensor in changed.graph.initializer if tensor.name in targets]
    for node in changed.graph.node:
        if node.op_type == "Constant" and node.output[0] in targets:
            constants += [each.t for each in node.attribute if each.name == "value"]
    for tensor in constants:
        sizes = numpy_helper.to_array(tensor).copy()
        if sizes.ndim == 1 and sizes[:1] == [batch]:
            sizes[0] = 1
            tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))
    return changed


def _computes_the_same(source: onnx.ModelProto, changed: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> bool:
    generator = np.random.default_rng(RANDOM_SEED)
    alone = {name: generator.standard_normal((1, *shape[1:])).astype(np.float32) for name, shape in shapes.items()}
    repeated = {name: np.repeat(value, shapes[name][0], axis=0) for name, value in alone.items()}
    before, after = Runner(source).run(repeated), Runner(changed).run(alone)
    return all(
        value.shape == (1, *before[name].shape[1:])
        and np.abs(value - before[name][:1]).max(initial=0) <= TOLERANCE * np.abs(value).max(initial=1)
        for name, value in after.items()
    )
