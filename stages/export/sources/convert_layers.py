"""From the layers of a format, in order, to an ONNX graph: the loop that Caffe's and MXNet's readers share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from stages.core.base.errors import UserError
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["SourceLayer", "convert_layers"]


class SourceLayer(Protocol):
    """A layer or an operator, as its file has it."""

    @property
    def kind(self) -> str:
        """Its type."""

    @property
    def where(self) -> str:
        """What messages call it."""

    @property
    def inputs(self) -> Sequence[str]:
        """Tensors that it takes."""


Layer = TypeVar("Layer", bound=SourceLayer)


def convert_layers(
    graph: GraphBuilder,
    layers: Sequence[Layer],
    converters: Mapping[str, Callable[[GraphBuilder, Layer], object]],
    name: str,
) -> None:
    """Add each layer to a graph.

    Args:
        graph: with the network's inputs, and the arrays that its layers name.
        layers: in the order in which they run.
        converters: type of a layer -> what adds it.
        name: what messages call the file.

    Raises:
        UserError: for a layer that has no converter, or that does not fit its inputs or its weights.
    """
    for layer in layers:
        converter = converters.get(layer.kind)
        if converter is None:
            ends = ",".join(one for one in layer.inputs if graph.value(one) is None)
            raise UserError(
                f"model.source: {name}: {layer.where} has no ONNX form here: end the network before it, "
                f"model.outputs=[{ends}]"
            )
        try:
            converter(graph, layer)
        except UserError as error:
            raise UserError(f"model.source: {name}: {error}") from error
        except (ValueError, IndexError, TypeError, KeyError) as error:  # sizes that do not fit, of a damaged file
            raise UserError(f"model.source: {name}: {layer.where} does not fit its inputs or weights") from error
