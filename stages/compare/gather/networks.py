"""The networks that compare runs: the float one, its integer model, and those of which only a part is quantized."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx

from stages.compare.gather.layers import computed_in_integers, enclosing_layers, layer_tensors, node_names
from stages.compare.gather.partial.feature_network import feature_network
from stages.compare.gather.partial.isolated_network import IsolatedLayers, isolated_network
from stages.core.base.paths import (
    INPUTS,
    INTEGER_MODEL,
    PREPARED_MODEL,
    QPARAMS,
    QUANTIZED_MODEL,
)
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput, load_inputs
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.structured import load_structured
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import NetworkParams, load_qparams

__all__ = ["Networks", "PartialNetworks", "load_networks"]


@dataclass(frozen=True)
class PartialNetworks:
    """Networks of which only a part is quantized: they tell where the error comes from.

    Attributes:
        isolated: each layer alone.
        features: all features; tensors have the float network's names and units.
        weights: all weights, and biases as the quantized network has them; in the quantized network's units.
    """

    isolated: IsolatedLayers
    features: onnx.ModelProto
    weights: onnx.ModelProto


@dataclass(frozen=True)
class Networks:
    """A float network and what quantize made of it.

    Attributes:
        reference: the float network.
        integer: the integer model.
        params: what is quantized, and the factors of equalization.
        inputs: what both take.
        partial: networks quantized in part, with `compare.isolated`.
    """

    reference: Graph
    integer: onnx.ModelProto
    params: NetworkParams
    inputs: Sequence[NetworkInput] = ()
    partial: PartialNetworks | None = None

    @cached_property
    def node_names(self) -> dict[str, str]:
        """Every float tensor that the float network computes -> its node's name in tables, in graph order."""
        return node_names(self.reference)

    @cached_property
    def layers(self) -> list[str]:
        """The tensors that are outputs of layers, see `layer_tensors`."""
        return layer_tensors(self.node_names, self.integer, self.params)

    @cached_property
    def enclosing(self) -> dict[str, str]:
        """Tensors inside fused layers -> the layer's output."""
        return enclosing_layers(self.integer)

    @cached_property
    def in_integers(self) -> set[str]:
        """Tensors that layers in integers compute."""
        return computed_in_integers(self.integer)


def load_networks(config: Config) -> Networks:
    """Read what export and quantize left.

    Raises:
        UserError: if something is missing, or was made with other settings.
    """
    params = load_qparams(QPARAMS, config)
    inputs = load_inputs(INPUTS)
    reference = Graph(load_structured())
    integer = load_integer_model(INTEGER_MODEL)
    partial = _partial_networks(reference, integer, params) if config.compare.isolated else None
    return Networks(reference, integer, params, inputs, partial)


def _partial_networks(reference: Graph, integer: onnx.ModelProto, params: NetworkParams) -> PartialNetworks:
    quantized = load_model(QUANTIZED_MODEL)
    return PartialNetworks(
        isolated_network(quantized, integer, reference, params),
        feature_network(quantized, reference, params),
        load_model(PREPARED_MODEL),
    )
