"""Inputs that always take the same value: a sampling rate, a least pitch, a mask of ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.schema import InputConfig
from stages.export.shapes import graph_shapes
from stages.export.standard_form.constants import initializer_inputs

__all__ = ["with_constants"]


def with_constants(
    model: onnx.ModelProto, constants: Mapping[str, Any], inputs: Sequence[InputConfig]
) -> onnx.ModelProto:
    """Copy a network with constants in the place of some inputs.

    Args:
        model: the source; the same is returned where there are no constants.
        constants: `model.constants`: input -> a number, or a list of numbers.
        inputs: `model.inputs`, whose shapes say sizes that have a name in both.

    Raises:
        UserError: for an input that the network does not have, or a value that does not fit it.
    """
    if not constants:
        return model
    infos = {info.name: info for info in model.graph.input if info.name in graph_shapes(model)}
    for name in constants:
        if name not in infos:
            raise UserError(f"model.constants.{name}: the network has no such input; {did_you_mean(name, infos)}")
    if len(constants) == len(infos):
        raise UserError("model.constants has every input: nothing is left to compute")
    sizes = _named_sizes(infos, inputs)
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    for name, value in constants.items():
        bound.graph.initializer.append(numpy_helper.from_array(_array(infos[name], value, sizes), name))
    initializer_inputs(bound)
    return bound


def _named_sizes(infos: Mapping[str, onnx.ValueInfoProto], inputs: Sequence[InputConfig]) -> dict[str, int]:
    """Sizes by their names in the graph, as shapes in `model.inputs` have them."""
    sizes: dict[str, int] = {}
    for one in inputs:
        dims = infos[one.name].type.tensor_type.shape.dim if one.name and one.name in infos else ()
        sizes |= {dim.dim_param: size for dim, size in zip(dims, one.shape or (), strict=False) if dim.dim_param}
    return sizes


def _array(info: onnx.ValueInfoProto, value: Any, sizes: Mapping[str, int]) -> NDArray[Any]:
    """The value in the input's type and shape; a single number fills the shape.

    Raises:
        UserError: if it is no number or list of numbers, or has another shape.
    """
    key = f"model.constants.{info.name}"
    kind = info.type.tensor_type
    try:
        array = np.array(value, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}={value}: give a number, or a list of numbers") from error
    dims = kind.shape.dim
    shape = [dim.dim_value or sizes.get(dim.dim_param, int(index == 0)) for index, dim in enumerate(dims)]
    if array.ndim == 0 and all(shape):
        return np.full(shape, array)
    fits = array.ndim == len(shape) and all(own in (0, size) for own, size in zip(shape, array.shape, strict=True))
    if not kind.HasField("shape") or fits:
        return array
    shown = ",".join(str(size or "?") for size in shape)
    raise UserError(f"{key} has the shape {list(array.shape)}, and the input takes [{shown}]")
