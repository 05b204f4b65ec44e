"""What build's routes make of a network: the vendor's converter, the open runtime of the T41, the C++ runtime."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.build.pluto.folder import compiled_form
from stages.build.pluto.refusals import Concern
from stages.build.runtime.translate import untranslatable
from stages.core.config.schema import (
    ChannelScales,
    Config,
    FeatureMethod,
    OpenRuntime,
    QuantConfig,
    SocConfig,
    WeightMethod,
)
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.quantize.candidate import Candidate
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.float_network import Network
from stages.quantize.pipeline import Pipeline
from stages.scan.assumed_ranges import assumed_ranges, assumed_statistics
from stages.scan.placements import Placement

__all__ = ["CPP", "OPEN_T41", "Route", "RouteRefusal", "Routes", "without_assumed"]

CPP, OPEN_T41 = "C++ runtime", "open T41 runtime"
CPP_REMEDY = "a network without it, or one that ends before it (model.outputs); docs/board.md lists what runs"


def without_assumed(reason: str) -> str:
    """A refusal without the zero point that follows from an assumed range: where it is not, is all that is known."""
    return re.sub(r"zero point is -?\d+;", "zero point is not -128;", reason)


@dataclass(frozen=True)
class RouteRefusal:
    """Why a route does not take a network.

    Attributes:
        node: its name; for a network input or output that tensor's.
        op_type: ONNX's type; empty where it is no node.
        reason: what is wrong.
        remedy: what to do.
    """

    node: str
    op_type: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Route:
    """What becomes of a network on a route.

    Attributes:
        name: of the route.
        refusals: in graph order; empty: it is taken.
        conditions: what the ranges of calibration or the settings have to give besides.
    """

    name: str
    refusals: Sequence[RouteRefusal]
    conditions: Sequence[RouteRefusal] = ()

    @property
    def taken(self) -> bool:
        """Whether the route takes the network."""
        return not self.refusals


class Routes:
    """Tries build's routes on a network that is quantized with assumed ranges.

    Args:
        inputs: the network's inputs.
        quant: the settings.
    """

    def __init__(self, inputs: Sequence[NetworkInput], quant: QuantConfig) -> None:
        self._inputs, self._quant = inputs, _without_pictures(quant)
        self._assumed: dict[int, tuple[Network, dict[str, tuple[float, float]]]] = {}
        self._cpp: dict[Hashable, Route] = {}

    def of(self, soc: SocConfig, placement: Placement) -> list[Route]:
        """Try the routes of a SOC whose verdicts follow from rules that are known here.

        The vendors' converters are not among them: they take the network, and float layers as their options say, as far
        as their guides tell.
        """
        key = _structure(placement)
        candidate = None
        if key not in self._cpp:
            candidate = self._candidate(soc, placement)
            refused = untranslatable(candidate.lowered()[0], self._inputs)
            op_types = {node.name: str(node.op_type) for node in placement.graph.nodes}
            refusals = [
                RouteRefusal(name, op_types.get(name, ""), text.partition(": ")[2], CPP_REMEDY)
                for name, text in refused.items()
            ]
            self._cpp[key] = Route(CPP, refusals)
        routes = [self._cpp[key]]
        if soc.open_runtime is OpenRuntime.pluto:
            candidate = candidate or self._candidate(soc, placement)
            routes.append(_open_t41(candidate, self._of(placement.graph)[1]))
        return routes

    def _of(self, graph: Graph) -> tuple[Network, dict[str, tuple[float, float]]]:
        """A network with assumed statistics, and the ranges that these have."""
        if id(graph) not in self._assumed:
            ranges = assumed_ranges(graph, self._inputs)
            self._assumed[id(graph)] = Network(graph, assumed_statistics(graph, ranges)), ranges
        return self._assumed[id(graph)]

    def _candidate(self, soc: SocConfig, placement: Placement) -> Candidate:
        config, network = Config(soc=soc, quant=self._quant), self._of(placement.graph)[0]
        pipeline = Pipeline(config, network, placement.by_node, self._inputs, Path(), Path())
        return pipeline.choose_parameters(network, self._quant)


def _open_t41(candidate: Candidate, ranges: Mapping[str, tuple[float, float]]) -> Route:
    params, model = candidate.params(), candidate.model()
    quantized = insert_quantizers(model, params, candidate.codes)
    compiled, found, _ = compiled_form(params, quantized, ranges)
    refused = [RouteRefusal(each.node, each.op_type, without_assumed(each.reason), each.cure) for each in found]
    if compiled is None:  # the settings are refused, whatever the ranges are
        return Route(OPEN_T41, refused)
    of_ranges = [each.concern is Concern.settings for each in found]
    return Route(
        OPEN_T41,
        [each for each, by_range in zip(refused, of_ranges, strict=True) if not by_range],
        [each for each, by_range in zip(refused, of_ranges, strict=True) if by_range],
    )


def _without_pictures(quant: QuantConfig) -> QuantConfig:
    """The settings without what chooses parameters by pictures: no route refuses a network for that."""
    channel_scales = quant.channel_scales
    if channel_scales is ChannelScales.measured:
        channel_scales = ChannelScales.never
    return replace(
        quant,
        feature_method=FeatureMethod.MAX_ABS,
        weight_method=WeightMethod.MAX_ABS,
        channel_scales=channel_scales,
    )


def _structure(placement: Placement) -> Hashable:
    """What decides which nodes the integer model has: equal for SOCs whose rules of requantization alone differ."""
    setup = placement.setup
    layers = tuple((layer.kind, *layer.names) for layer in setup.layers)
    return layers, frozenset(setup.integer), tuple(setup.features), tuple(setup.weights)
