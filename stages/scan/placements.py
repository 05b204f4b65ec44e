"""Which layers run in integers on a SOC, and which in float: asked of quantize's own placement, without calibration."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

from stages.core.config.bit_widths import check_bit_width
from stages.core.config.schema import FLOAT_BITS, QuantConfig, SocConfig
from stages.core.cost import LayerWork
from stages.core.graph.onnx_graph import Graph
from stages.quantize.partition.converter_structure import converter_structure
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.partition.layer_work import folded, layer_work
from stages.quantize.pipeline import asked_node_bits
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.quantizers.setup import QuantizerSetup
from stages.quantize.quantizers.unlike_parts import output_joints

__all__ = ["Placement", "Placements", "State", "check_bits"]

ANY_SOC = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for a SOC's name while SOCs that differ in nothing else share a placement."""
NOT_ARITHMETIC = ("name", "npu", "layout", "channel_alignment", "input_channels", "float_types")
"""What else a SOC's arithmetic holds that no placement follows from."""
SURROUNDED = "its input or its output has no codes"


class State(Enum):
    """How a layer runs."""

    integer = "integer"
    float = "float"
    undecided = "undecided"  # calibration decides: the ranges of parts that a Concat before an output joins
    index = "index"  # it computes no float values: shapes and indices


@dataclass(frozen=True)
class Placement:
    """The layers of a network on a SOC at two bit widths.

    Attributes:
        network: the layers.
        setup: the quantizers, with everything in integers that calibration may still keep in float.
        undecided: layers that calibration may keep in float -> the Concat whose parts decide.
        by_node: bit widths and ranges of single nodes.
    """

    network: LayerGraph
    setup: QuantizerSetup
    undecided: Mapping[str, str]
    by_node: Mapping[str, NodeBits]

    @property
    def graph(self) -> Graph:
        """The float network; of a SOC whose converter's rules are followed as that structures it."""
        return self.network.graph

    @cached_property
    def states(self) -> dict[str, State]:
        """Layer -> how it runs, in graph order."""
        float_tensors = set(self.graph.float_tensors)

        def state(name: str, output: str) -> State:
            if name in self.undecided:
                return State.undecided
            if name in self.setup.integer:
                return State.integer
            return State.float if output in float_tensors else State.index

        return {layer.name: state(layer.name, layer.output) for layer in self.setup.layers}

    @cached_property
    def works(self) -> list[LayerWork]:
        """What each layer does, in graph order."""
        return layer_work(self.graph, self.setup.layers)

    @cached_property
    def folded(self) -> dict[str, str]:
        """Activations that run inside the weighted layer before them -> that layer."""
        return folded(self.graph, self.setup.layers)

    @cached_property
    def feature_bits(self) -> dict[str, int]:
        """Tensor -> bit width of its codes; others are float."""
        return {feature.tensor: feature.bits for feature in self.setup.features}

    @cached_property
    def weight_bits(self) -> dict[str, int]:
        """Name of a layer -> bit width of its weight's codes."""
        of_nodes = {weight.node: weight.bits for weight in self.setup.weights}
        return {layer.name: of_nodes[layer.first.name] for layer in self.setup.layers if layer.first.name in of_nodes}

    def reason(self, layer: str) -> str:
        """Why a layer does not run in integers, or may not."""
        if layer in self.undecided:
            return f"the ranges of what {self.undecided[layer]} joins decide, which calibration shows"
        return self.setup.float_reasons.get(layer, SURROUNDED)

    def for_soc(self, name: str) -> "Placement":
        """The same with a SOC's name in the reasons."""
        reasons = {layer: reason.replace(ANY_SOC, name) for layer, reason in self.setup.float_reasons.items()}
        same = replace(self, setup=replace(self.setup, float_reasons=reasons))
        for counted in ("states", "works", "folded", "feature_bits", "weight_bits"):  # counted once for SOCs alike
            same.__dict__[counted] = getattr(self, counted)
        return same


def check_bits(soc: SocConfig, quant: QuantConfig) -> None:
    """Refuse bit widths that a SOC cannot do.

    Raises:
        UserError: naming the key and what the SOC can do.
    """
    check_bit_width("quant.feature_bits", quant.feature_bits, soc, "feature_bits")
    check_bit_width("quant.weight_bits", quant.weight_bits, soc, "weight_bits")


class Placements:
    """Places quantizers for SOCs, once for those that place alike.

    Args:
        graph: the float network.
        quant: the settings; bit widths may be asked for besides.
    """

    def __init__(self, graph: Graph, quant: QuantConfig) -> None:
        self._graph, self._quant = graph, quant
        self._placed: dict[tuple[str, int, int], Placement] = {}

    def place(self, soc: SocConfig, bits: tuple[int, int] | None = None) -> Placement:
        """Place the quantizers.

        Args:
            soc: the SOC.
            bits: of features and weights; None: as the settings have it.

        Raises:
            UserError: for what quantize would refuse.
        """
        quant = self._quant
        if bits is not None:
            quant = replace(quant, feature_bits=bits[0], weight_bits=bits[1])
        arithmetic = {key: value for key, value in soc.arithmetic.items() if key not in NOT_ARITHMETIC}
        arithmetic["requantization"] = soc.requantization.is_nna or soc.requantization
        key = (json.dumps(arithmetic, default=str), quant.feature_bits, quant.weight_bits)
        if key not in self._placed:
            self._placed[key] = self._place(replace(soc, name=ANY_SOC), quant)
        return self._placed[key].for_soc(soc.name)

    def place_at(self, soc: SocConfig, bits: tuple[int, int]) -> Placement:
        """Place the quantizers at other bit widths, of features and weights.

        Raises:
            UserError: if the SOC cannot do them, or for what quantize would refuse.
        """
        check_bits(soc, replace(self._quant, feature_bits=bits[0], weight_bits=bits[1]))
        return self.place(soc, bits)

    @cached_property
    def _structured(self) -> Graph:
        """The network as the converters structure it whose rules are followed."""
        return Graph(converter_structure(self._graph.model))

    def _place(self, soc: SocConfig, quant: QuantConfig) -> Placement:
        graph = self._structured if soc.follows_converter else self._graph
        network = LayerGraph.of(graph, soc)
        merged = {node.name for node in self._graph.nodes} - {node.name for node in graph.nodes}
        by_node = asked_node_bits(network, quant, merged)
        setup = place_quantizers(graph, soc, quant, by_node)
        joints = output_joints(network, quant)
        if not joints:
            return Placement(network, setup, {}, by_node)
        owner = {name: joint for joint, following in reversed(joints.items()) for name in following}
        in_float = dict.fromkeys(owner, NodeBits(FLOAT_BITS)) | by_node
        other = place_quantizers(graph, soc, quant, in_float)
        first = next(iter(joints))
        undecided = {name: owner.get(name, first) for name in setup.integer ^ other.integer}
        return Placement(network, setup, undecided, by_node)
