"""Static shapes for a network's inputs, and what follows from them."""

from collections.abc import Collection, Mapping, Sequence

import onnx
from onnx import TensorProto

from stages.core.base.errors import UserError, one_line

__all__ = ["DynamicShapeError", "declare_outputs", "fix_shapes", "graph_shapes"]


class DynamicShapeError(UserError):
    """An input has a dynamic shape that nothing fixes.

    Attributes:
        name: of the input.
        shown: its shape as far as it is known.
    """

    def __init__(self, name: str, shown: str) -> None:
        super().__init__(f"input {name!r} has the dynamic shape [{shown}]: give model.inputs[].shape")
        self.name, self.shown = name, shown


def graph_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of the fed inputs in graph order; 0 for a size that is not static (Paddle's exporter writes -1)."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        info.name: [max(dim.dim_value, 0) for dim in info.type.tensor_type.shape.dim]
        for info in model.graph.input
        if info.name not in constants
    }


def fix_shapes(
    model: onnx.ModelProto, configured: Mapping[str, Sequence[int] | None], cut_off: Collection[str] = ()
) -> onnx.ModelProto:
    """Give every input a static shape.

    Args:
        model: the source; not changed.
        configured: input -> configured shape, or None to keep the graph's own: a dynamic batch becomes 1, another
            dynamic shape takes the last configured one (the vendor's rule).
        cut_off: inputs that the exported network will not have; they may be of another type than float.

    Raises:
        UserError: for a shape that contradicts the graph, a dynamic one that nothing fixes, or an input of integers.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    graph_inputs = graph_shapes(model)
    last_configured: Sequence[int] | None = None
    for info in fixed.graph.input:
        if info.name not in graph_inputs:
            continue
        if info.type.tensor_type.elem_type != TensorProto.FLOAT and info.name not in cut_off:
            kind = TensorProto.DataType.Name(info.type.tensor_type.elem_type).lower()
            raise UserError(
                f"input {info.name!r} is {kind}, and inputs are float: cut the network at its first float tensor "
                "(model.inputs), or make a constant of it"
            )
        shape = configured.get(info.name)
        last_configured = shape or last_configured
        if shape is None:
            shape = _static_shape(info, graph_inputs[info.name], last_configured)
        _check_shape(info.name, shape, graph_inputs[info.name])
        dims = info.type.tensor_type.shape
        dims.ClearField("dim")
        for size in shape:
            dims.dim.add().dim_value = size
    return _with_inferred_shapes(fixed, model)


def _static_shape(
    info: onnx.ValueInfoProto, graph_shape: Sequence[int], last_configured: Sequence[int] | None
) -> Sequence[int]:
    """The shape of an input that none is configured for."""
    shape = [1, *graph_shape[1:]] if graph_shape and graph_shape[0] == 0 else graph_shape
    if 0 in shape and last_configured:
        shape = last_configured
    if 0 in shape or not info.type.tensor_type.HasField("shape"):
        raise DynamicShapeError(info.name, _shown(graph_shape))
    return shape


def _check_shape(name: str, shape: Sequence[int], graph_shape: Sequence[int]) -> None:
    """Refuse a shape that contradicts the graph's own (empty: not known), and a batch other than 1."""
    same_rank = not graph_shape or len(shape) == len(graph_shape)
    if not same_rank or any(size not in (0, new) for size, new in zip(graph_shape, shape, strict=False)):
        raise UserError(
            f"input {name!r} has shape [{_shown(graph_shape)}] in the network; the config says {list(shape)}"
        )
    if len(shape) == 4 and shape[0] != 1:
        raise UserError(f"input {name!r} has batch {shape[0]}: export the network with batch 1 or a dynamic one")


def _shown(shape: Sequence[int]) -> str:
    return ",".join(str(size) if size else "?" for size in shape)


def _with_inferred_shapes(model: onnx.ModelProto, source: onnx.ModelProto) -> onnx.ModelProto:
    del model.graph.value_info[:]
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise UserError(f"the network's shapes cannot be inferred: {one_line(error)}") from error
    declare_outputs(inferred, source)
    return inferred


def declare_outputs(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Give outputs that inference knows no shape of, as behind a Loop, those of the source."""
    declared = {info.name: info for info in source.graph.output}
    for info in model.graph.output:
        if not info.type.tensor_type.HasField("shape") and info.name in declared:
            info.CopyFrom(declared[info.name])
