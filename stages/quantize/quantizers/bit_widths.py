"""Bit widths: what the user asks for, what the SOC's operators offer, what mixed precision may choose from."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Literal

from stages.core.config.schema import FLOAT_BITS, QuantConfig, SocConfig
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.partition.layers import Layer
from stages.quantize.quantizers.node_bits import NodeBits

__all__ = ["BitWidths", "nearest_bit_width"]

Side = Literal["feature_bits", "weight_bits"]


def nearest_bit_width(wanted: int, allowed: Iterable[int]) -> int:
    """Give the narrowest allowed bit width that holds the wanted one, or the widest allowed if none does."""
    bit_widths = sorted(allowed)
    return next((bits for bits in bit_widths if bits >= wanted), bit_widths[-1])


class BitWidths:
    """The bit widths of a network's features and weights.

    Args:
        network: its layers.
        soc: what its operators offer.
        quant: the bit widths for all.
        by_node: bit widths and ranges of single nodes, which take precedence.
    """

    def __init__(
        self, network: LayerGraph, soc: SocConfig, quant: QuantConfig, by_node: Mapping[str, NodeBits]
    ) -> None:
        self._network, self._soc, self._quant, self._by_node = network, soc, quant, by_node
        self._groups = soc.bit_widths

    # --- what the user asks for ---

    def node_bits(self, tensor: str) -> NodeBits:
        """What the user asks of a tensor by the node-bits file."""
        layer = self._network.producers.get(tensor)
        if layer is None or tensor != layer.output:
            return self._by_node.get(self._network.owner(tensor), NodeBits())
        return self.node_bits_of_layer(layer)

    def node_bits_of_layer(self, layer: Layer) -> NodeBits:
        """What the user asks of a layer by the node-bits file: of any of its nodes, the last node first."""
        asked = [self._by_node[name] for name in layer.names if name in self._by_node]
        return reduce(lambda earlier, later: later.over(earlier), asked, NodeBits())

    def wanted_of_feature(self, tensor: str, first_or_last: bool) -> int:
        """The bit width that the user wants of a feature; 32 for float."""
        asked = self.node_bits(tensor).feature_bits
        return self._at_least(self._quant.feature_bits, first_or_last) if asked is None else asked

    def wanted_of_weight(self, layer: Layer, first_or_last: bool) -> int:
        """The bit width that the user wants of a layer's weight; 32 for float."""
        asked = self.node_bits_of_layer(layer).weight_bits
        return self._at_least(self._quant.weight_bits, first_or_last) if asked is None else asked

    def wants_float(self, tensor: str) -> bool:
        """Whether the user wants a tensor in float."""
        return self.wanted_of_feature(tensor, first_or_last=False) == FLOAT_BITS

    def _at_least(self, bits: int, first_or_last: bool) -> int:
        """A bit width, or a wider one in the first and last layers; float (the largest number) stays."""
        return max(bits, self._quant.edge_bits or 0) if first_or_last else bits

    # --- what the SOC offers ---

    def offered(self, layer: Layer, side: Side, wanted: int) -> set[int]:
        """Bit widths of a layer on the SOC; one that exists on the PC only, if it is the wanted one."""
        simulated = set(getattr(self._soc.simulated, side)) & {wanted}
        return set(getattr(self._groups[layer.kind], side)) | simulated

    def choices(self, offered: set[int], side: Side, first_or_last: bool) -> tuple[int, ...]:
        """What mixed precision may choose from: the SOC's bit widths, in the first and last layers the wide ones."""
        own = sorted(offered - set(getattr(self._soc.simulated, side)))
        return tuple(bits for bits in own if bits >= self._at_least(0, first_or_last)) or tuple(own[-1:])
