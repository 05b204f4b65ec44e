"""What there is to choose: a bit width for each feature, with all that shares its codes, and for each weight."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stages.core.config.schema import FLOAT_BITS
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.setup import FeatureQuantizer, QuantizerSetup, WeightQuantizer

__all__ = ["FEATURE", "WEIGHT", "Variable", "element_count", "find_variables"]

FEATURE, WEIGHT = "feature", "weight"
"""Kinds of variables."""


@dataclass(frozen=True)
class Variable:
    """One bit width to choose.

    Attributes:
        name: the kind, and the tensor or the node.
        kind: FEATURE or WEIGHT.
        tensor: the feature whose codes are shared; of a weight the output of its layer.
        node: whose line in a node-bits file sets it.
        members: tensors with its codes; empty for a weight.
        keys: nodes whose lines in a node-bits file together keep it in float.
        bit_widths: its choices, narrowest first.
        elements: of all its members, or of the weight.
    """

    name: str
    kind: str
    tensor: str
    node: str
    members: tuple[str, ...]
    keys: tuple[str, ...]
    bit_widths: tuple[int, ...]
    elements: int

    @property
    def integer_bit_widths(self) -> tuple[int, ...]:
        """Its choices without float."""
        return tuple(bits for bits in self.bit_widths if bits != FLOAT_BITS)


def find_variables(graph: Graph, setup: QuantizerSetup, allow_float: bool) -> list[Variable]:
    """List the variables in graph order, features first.

    Args:
        graph: the float network.
        setup: its quantizers.
        allow_float: let everything whose bit width is not the user's stay in float too.
    """
    members: dict[str, list[FeatureQuantizer]] = {}
    for feature in setup.features:
        members.setdefault(feature.source, []).append(feature)
    sources = [
        feature
        for feature in setup.features
        if feature.source == feature.tensor and feature.tensor not in graph.constants
    ]
    return [
        *(_feature(graph, feature, members[feature.tensor], allow_float) for feature in sources),
        *(_weight(graph, weight, allow_float) for weight in setup.weights),
    ]


def _feature(
    graph: Graph, source: FeatureQuantizer, members: Sequence[FeatureQuantizer], allow_float: bool
) -> Variable:
    return Variable(
        name=f"{FEATURE} {source.tensor}",
        kind=FEATURE,
        tensor=source.tensor,
        node=source.node,
        members=tuple(member.tensor for member in members),
        keys=tuple(member.node for member in members),
        bit_widths=_choices(source, allow_float),
        elements=sum(element_count(graph, member.tensor) for member in members),
    )


def _weight(graph: Graph, weight: WeightQuantizer, allow_float: bool) -> Variable:
    return Variable(
        name=f"{WEIGHT} {weight.node}",
        kind=WEIGHT,
        tensor=weight.output,
        node=weight.node,
        members=(),
        keys=(weight.node,),
        bit_widths=_choices(weight, allow_float),
        elements=element_count(graph, weight.tensor),
    )


def _choices(quantizer: FeatureQuantizer | WeightQuantizer, allow_float: bool) -> tuple[int, ...]:
    return (*quantizer.bit_widths, *((FLOAT_BITS,) if allow_float and not quantizer.fixed else ()))


def element_count(graph: Graph, tensor: str) -> int:
    """Elements of a tensor; 0 where its shape is not known."""
    constant = graph.constants.get(tensor)
    return math.prod(graph.shapes.get(tensor, [0]) if constant is None else constant.dims)
