"""Static shapes for a network's inputs, and what follows from them."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import PICTURE_RANK, Graph, used_names
from stages.core.graph.session import Runner
from stages.export.memory import check_memory

__all__ = [
    "DynamicShapeError",
    "UnknownShapeError",
    "declare_outputs",
    "fix_shapes",
    "graph_shapes",
    "noted_shapes",
    "noted_sides",
    "shape_lines",
    "with_static_shapes",
]

MOST_NAMED = 3
"""So many tensors are named in a message."""
CHANNELS_FIRST = (0, 3, 1, 2)
"""Where the axes of NCHW are in NHWC."""
STATE_RANK = 3
"""Axes of a recurrent layer's state: layers or directions, batch, features."""


class DynamicShapeError(UserError):
    """An input has a dynamic shape that nothing fixes.

    Attributes:
        name: of the input.
        shown: its shape as far as it is known.
    """

    def __init__(self, name: str, shown: str) -> None:
        super().__init__(f"input {name!r} has the dynamic shape [{shown}]: give model.inputs[].shape")
        self.name, self.shown = name, shown


class UnknownShapeError(UserError):
    """A source cannot be read before the shape of an input is told.

    Attributes:
        name: of the input.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name

    def as_option(self) -> UserError:
        """The same for a command that takes shapes as `--shape`."""
        example = f"--shape {self.name}=1,3,224,224"
        return UserError(f"input {self.name!r} has no static shape in the file: give it, as in {example}")


def graph_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of the fed inputs in graph order; 0 for a size that is not static (Paddle's exporter writes -1)."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        info.name: [max(dim.dim_value, 0) for dim in info.type.tensor_type.shape.dim]
        for info in model.graph.input
        if info.name not in constants
    }


def noted_sides(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Height and width that Ultralytics' exporter noted of a network whose graph leaves them open (`imgsz`)."""
    try:
        sides = json.loads(metadata.get("imgsz", "null"))
    except ValueError:
        return None
    if isinstance(sides, int) and sides > 0:
        return sides, sides
    if isinstance(sides, list) and len(sides) == 2 and all(isinstance(side, int) and side > 0 for side in sides):
        return sides[0], sides[1]
    return None


def noted_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of the inputs whose open sides the exporter noted."""
    noted = noted_sides({entry.key: entry.value for entry in model.metadata_props})
    return {
        name: [shape[0] or 1, shape[1], *(own or side for own, side in zip(shape[2:], noted, strict=True))]
        for name, shape in graph_shapes(model).items()
        if noted and len(shape) == PICTURE_RANK and shape[1] and not all(shape[2:])
    }


def fix_shapes(
    model: onnx.ModelProto, configured: Mapping[str, Sequence[int] | None], cut_off: Collection[str] = ()
) -> onnx.ModelProto:
    """Give every input a static shape.

    Args:
        model: the source; not changed.
        configured: input -> configured shape, or None to keep the graph's own. Of that a dynamic batch becomes 1, a
            size that is named as another's takes its value, and another dynamic shape takes the last configured one
            (the vendor's rule).
        cut_off: inputs that the exported network will not have; they may be of another type than float.

    Raises:
        UserError: for a shape that the network does not run with, a dynamic one that nothing fixes, or an input of
            integers.
    """
    own = graph_shapes(model)
    infos = {info.name: info for info in model.graph.input if info.name in own}
    for name, info in infos.items():
        if info.type.tensor_type.elem_type != TensorProto.FLOAT and name not in cut_off:
            raise UserError(_integer_input(model, name, info.type.tensor_type.elem_type))
    symbols = _symbols(infos, configured)
    shapes: dict[str, Sequence[int]] = {}
    last_configured: Sequence[int] | None = None
    for name, info in infos.items():
        shape = configured.get(name)
        last_configured = shape or last_configured
        shapes[name] = _static_shape(info, own[name], symbols, last_configured) if shape is None else shape
        if own[name] and len(shapes[name]) != len(own[name]):
            raise UserError(
                f"input {name!r} has {len(own[name])} axes in the network, [{_shown(own[name])}]; model.inputs says "
                f"{list(shapes[name])}"
            )
    fixed = with_static_shapes(model, shapes)
    check_memory(fixed)
    for name, shape in shapes.items():
        if _contradicts(own[name], shape):
            _check_runs(fixed, name, own[name], shape)
    return fixed


def _contradicts(own: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a shape has another size where the network has a static one."""
    return any(before not in (0, after) for before, after in zip(own, shape, strict=False))


def with_static_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """Copy a network with other shapes of its inputs, and infer all shapes anew.

    Raises:
        UserError: if they cannot be inferred.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for info in fixed.graph.input:
        if info.name in shapes:
            dims = info.type.tensor_type.shape
            dims.ClearField("dim")
            for size in shapes[info.name]:
                dims.dim.add().dim_value = size
    return _with_inferred_shapes(fixed, model)


def shape_lines(source: onnx.ModelProto, static: onnx.ModelProto, name: str) -> list[str]:
    """Say which inputs have another size than the source gives them.

    Args:
        source: the network as it was read.
        static: it, with static shapes.
        name: what lines call the source.
    """
    after = graph_shapes(static)
    return [
        f"input {tensor!r} has shape [{_shown(before)}] in {name} and {after[tensor]} from here on"
        for tensor, before in graph_shapes(source).items()
        if _contradicts(before, after[tensor])
    ]


def _symbols(
    infos: Mapping[str, onnx.ValueInfoProto], configured: Mapping[str, Sequence[int] | None]
) -> dict[str, int]:
    """Values of the sizes that have a name: as configured; 1 where it is the first size of some input, a batch."""
    values: dict[str, int] = {}
    for name, info in infos.items():
        for dim, size in zip(info.type.tensor_type.shape.dim, configured.get(name) or (), strict=False):
            if dim.dim_param:
                values.setdefault(dim.dim_param, size)
    for info in infos.values():
        for dim in info.type.tensor_type.shape.dim[:1]:
            if dim.dim_param:
                values.setdefault(dim.dim_param, 1)
    return values


def _static_shape(
    info: onnx.ValueInfoProto,
    graph_shape: Sequence[int],
    symbols: Mapping[str, int],
    last_configured: Sequence[int] | None,
) -> Sequence[int]:
    """The shape of an input that none is configured for."""
    dims = info.type.tensor_type.shape.dim
    shape = [size or symbols.get(dim.dim_param, 0) for size, dim in zip(graph_shape, dims, strict=True)]
    if shape[:1] == [0]:
        shape[0] = 1
    if len(shape) == STATE_RANK and shape[0] > 1 and shape[2] and not shape[1]:
        shape[1] = 1  # of a recurrent layer's state
    if 0 in shape and last_configured and len(last_configured) == len(shape):
        return last_configured
    if 0 in shape or not info.type.tensor_type.HasField("shape"):
        raise DynamicShapeError(info.name, _shown(graph_shape))
    return shape


def _integer_input(model: onnx.ModelProto, name: str, kind: int) -> str:
    """What to say of an input of integers: where the network could begin instead."""
    nodes, reached, floats = model.graph.node, {name}, list[str]()
    types = Graph(model).types
    for node in nodes:
        if reached.isdisjoint(used_names([node])):
            continue
        for output in node.output:
            if output in types and types[output].tensor_type.elem_type == TensorProto.FLOAT:
                floats.append(output)
            else:
                reached.add(output)
    what = TensorProto.DataType.Name(kind).lower()
    if not floats:
        return f"input {name!r} is {what}, inputs are float, and nothing float follows from it"
    names = [f"{{name: {json.dumps(tensor)}}}" for tensor in floats[:MOST_NAMED]]
    more = "" if len(floats) <= MOST_NAMED else f" and {len(floats) - MOST_NAMED} more"
    return (
        f"input {name!r} is {what}, and inputs are float: cut the network at the first float of it, with "
        f"'model.inputs=[{', '.join(names)}]'{more}"
    )


def _check_runs(model: onnx.ModelProto, name: str, before: Sequence[int], shape: Sequence[int]) -> None:
    """Refuse a shape that the network does not run with, though it has another one."""
    try:
        _run_on_zeros(model)
    except Exception as error:  # of ONNX Runtime, whose types share no base
        first = [shape[axis] for axis in CHANNELS_FIRST] if len(shape) == PICTURE_RANK else []
        cure = "leave shape out, or export the network anew"
        if first and not _contradicts(before, first):
            cure = f"shapes are NCHW, give {first}"
        raise UserError(
            f"input {name!r} has shape [{_shown(before)}] in the network, which does not run with model.inputs[].shape="
            f"{list(shape)}: {cure} ({one_line(error)})"
        ) from error


def _run_on_zeros(model: onnx.ModelProto) -> Mapping[str, NDArray[Any]]:
    """Run a network of static shapes; raises what ONNX Runtime raises."""
    types = {info.name: info.type.tensor_type.elem_type for info in model.graph.input}
    zeros = {
        tensor: np.zeros(sizes, onnx.helper.tensor_dtype_to_np_dtype(types[tensor]))
        for tensor, sizes in graph_shapes(model).items()
    }
    return Runner(model, optimize="none").run(zeros)


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
    unknown = [info for info in inferred.graph.output if not info.type.tensor_type.HasField("shape")]
    declare_outputs(inferred, source)
    if any(info.type.tensor_type.HasField("shape") for info in unknown):
        _correct_ranks(inferred, unknown)
    return inferred


def _correct_ranks(model: onnx.ModelProto, outputs: Sequence[onnx.ValueInfoProto]) -> None:
    """Replace declared shapes of outputs that have another number of axes than the network gives, in place."""
    try:
        values = _run_on_zeros(model)
    except Exception:  # what does not run on zeros keeps what it declares
        return
    for info in outputs:
        dims = info.type.tensor_type.shape.dim
        rank = getattr(values[info.name], "ndim", len(dims))
        if rank != len(dims):
            del dims[:]
            for _ in range(rank):
                dims.add()


def declare_outputs(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Give outputs that inference knows no shape of, as behind a Loop, those of the source."""
    declared = {info.name: info for info in source.graph.output}
    for info in model.graph.output:
        if not info.type.tensor_type.HasField("shape") and info.name in declared:
            info.CopyFrom(declared[info.name])
