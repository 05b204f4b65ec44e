"""Reading an MXNet network: symbol and params to ONNX. There is no MXNet for today's Python to compare it with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from stages.core.base.console import console
from stages.core.base.errors import did_you_mean
from stages.core.config.schema import ModelConfig
from stages.core.data.inputs import assign_names
from stages.core.data.model_files import ModelFiles
from stages.export.shapes import UnknownShapeError
from stages.export.sources.convert_layers import convert_layers
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.operators.converters import CONVERTERS, COUNTED_INPUTS
from stages.export.sources.mxnet.params import read_params
from stages.export.sources.mxnet.symbol import Symbol, read_symbol
from stages.export.sources.source_network import SourceNetwork

__all__ = ["read_mxnet"]

ARRAY_ENDS = ("weight", "bias", "gamma", "beta", "mean", "var")


def read_mxnet(config: ModelConfig, files: ModelFiles) -> SourceNetwork:
    """Read a network of MXNet.

    Args:
        config: its inputs, whose shapes go before those of the symbol.
        files: the symbol and the params.

    Raises:
        UserError: if the files are damaged, an operator is not known, or an input has no shape.
    """
    file = next(file for file in files.others if file.name.lower().endswith(".json"))
    arrays = read_params(files.main.read(), files.main.name)
    symbol = _ending_at(read_symbol(file.read(), file.name), config.outputs)
    inputs = _inputs(symbol, arrays)
    configured = assign_names(config.inputs, list(inputs))
    shapes = {name: tuple(configured[name].shape or shape or ()) for name, shape in inputs.items()}
    unknown = next((name for name, shape in shapes.items() if not shape or min(shape) < 1), None)
    if unknown is not None:
        raise UnknownShapeError(
            unknown,
            f"model.inputs: {file.name} says no shape of {unknown!r}: give model.inputs[].shape, as [1,3,224,224]"
            f"{_like_an_array(unknown, arrays, files.main.name)}",
        )
    graph = _converted(symbol, arrays, shapes, file.name)
    console.print(f"{file.name} is read without MXNet: no other runtime has checked how")
    return SourceNetwork(graph.model(symbol.outputs))


def _like_an_array(name: str, arrays: Mapping[str, NDArray[Any]], file: str) -> str:
    """What to add where an input looks like an array that a file lacks."""
    hint = did_you_mean(name, arrays)
    missing = name.endswith(ARRAY_ENDS) or hint.startswith("did you mean")
    return f"; if it is an array, {file} lacks it ({hint})" if missing else ""


def _ending_at(symbol: Symbol, names: Sequence[str]) -> Symbol:
    """The part of a network that its outputs need, or those that are named where all of them are there."""
    known = {operator.name for operator in symbol.operators}
    outputs = list(names) if names and known.issuperset(names) else symbol.outputs
    needed, operators = {name.partition(":")[0] for name in outputs}, []
    for operator in reversed(symbol.operators):
        if operator.name in needed:
            inputs = operator.inputs[: COUNTED_INPUTS.get(operator.kind)]
            needed.update(name.partition(":")[0] for name in inputs)
            operators.append(replace(operator, inputs=inputs))
    variables = {name: shape for name, shape in symbol.variables.items() if name in needed}
    return Symbol(variables, operators[::-1], outputs)


def _inputs(symbol: Symbol, arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...] | None]:
    return {name: shape for name, shape in symbol.variables.items() if name not in arrays}


def _converted(
    symbol: Symbol, arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], name: str
) -> GraphBuilder:
    graph = GraphBuilder(reserved=[*arrays, *(operator.name for operator in symbol.operators)])
    for one, shape in shapes.items():
        graph.input(one, shape)
    states = {f"{operator.name}_moving_{part}" for operator in symbol.operators for part in ("mean", "var")}
    for one, array in arrays.items():
        if one in symbol.variables or one in states:  # old files do not name the states of a BatchNorm as inputs
            graph.constant(one, array, reserved=True)
    convert_layers(graph, symbol.operators, CONVERTERS, name)
    return graph
