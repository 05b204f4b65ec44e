"""Ranges as TPU-MLIR shares them among tensors, before it chooses any integer.

The converter starts from a threshold and a sign a tensor and changes some of them: operands of a Concat take its
threshold, an average pool keeps its input's sign, and so on. The steps below are its own, in its order, so that a
calibration table that holds what they give is left as it is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from stages.core.config.schema import Requantization
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams
from stages.core.integer.operators import KEEPS_CODES
from stages.core.integer.thresholds import settled_scale, threshold
from stages.quantize.parameters.scales import representable
from stages.quantize.partition.layers import Layer

__all__ = ["converter_ranges", "held_features"]

RESHAPED = frozenset({"Flatten", "Reshape", "Transpose", "DepthToSpace"})
"""Layers whose input takes what their output is given."""
POOLED = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})
AVERAGED = frozenset({"AveragePool", "GlobalAveragePool"})
BACKWARD = frozenset({"Clip", "DepthToSpace", "GlobalMaxPool", "MaxPool", "Relu"})
SLOPED = frozenset({"LeakyRelu", "PRelu"})
JOINED = frozenset({"Concat", "Max", "Min"})
MOST_ROUNDS = 64
TRIED_GROWTH = 1.25
"""Factor by which a scale is changed to see what follows it."""


@dataclass(frozen=True)
class _Range:
    """A threshold and whether there are negative values."""

    threshold: float
    signed: bool


def converter_ranges(
    params: Sequence[FeatureParams],
    graph: Graph,
    layers: Sequence[Layer],
    integer: Iterable[str],
    rule: Requantization,
) -> list[FeatureParams]:
    """Give features the scales and zero points that the converter leaves as they are.

    Args:
        params: as they were chosen.
        graph: the float network.
        layers: all layers.
        integer: names of the layers that run in integers.
        rule: the chip's.
    """
    chosen = set(integer)
    ranges = {
        feature.tensor: _Range(threshold(feature.scale, feature.zero_point, feature.bits), feature.zero_point > 0)
        for feature in params
    }
    shares = [layer for layer in layers if layer.name in chosen or _averages(layer, rule)]
    _Sharing(graph, shares, layers, ranges).run(rule)
    return [_with_range(feature, ranges[feature.tensor]) for feature in params]


def _averages(layer: Layer, rule: Requantization) -> bool:
    """Whether a layer's output has its input's threshold in float too: the BM1684 averages many values so."""
    return rule is Requantization.sophgo_bm1684 and layer.first.op_type in AVERAGED


def held_features(
    params: Sequence[FeatureParams],
    graph: Graph,
    layers: Sequence[Layer],
    integer: Iterable[str],
    rule: Requantization,
) -> set[str]:
    """Features whose scale cannot change by itself: the converter would take it back, or change others.

    Arguments as for `converter_ranges`, which gave the scales. Features that pass on another's codes do not count.
    """
    chosen, held = list(integer), set()
    own = [feature for feature in params if not feature.method.is_shared]
    for feature in own:
        wanted = [replace(one, scale=one.scale * TRIED_GROWTH) if one is feature else one for one in own]
        given = [wanted[own.index(one)] if one in own else one for one in params]
        found = {one.tensor: one.scale for one in converter_ranges(given, graph, layers, chosen, rule)}
        if any(abs(found[one.tensor] - one.scale) > 1e-3 * one.scale for one in wanted):
            held.add(feature.tensor)
    return held


def _with_range(feature: FeatureParams, found: _Range) -> FeatureParams:
    middle = 2 ** (feature.bits - 1)
    zero_point, most = (middle, middle - 1) if found.signed else (0, 2**feature.bits - 1)
    scale = settled_scale(found.threshold / most, zero_point, feature.bits)
    low, high = representable(scale, zero_point, feature.bits)
    return replace(feature, scale=scale, zero_point=zero_point, low=low, high=high)


class _Sharing:
    """The steps; each runs over all layers until nothing changes."""

    def __init__(
        self, graph: Graph, layers: Sequence[Layer], every: Sequence[Layer], ranges: dict[str, _Range]
    ) -> None:
        self._graph, self._layers, self._ranges, self._all_signed = graph, layers, ranges, False
        self._producers = {layer.output: layer for layer in layers}
        self._uses: dict[str, list[Layer | None]] = {}
        for layer in every:
            for name in layer.operands(graph):
                self._uses.setdefault(name, []).append(layer)
        for name in graph.outputs:
            self._uses.setdefault(name, []).append(None)

    def run(self, rule: Requantization) -> None:
        """Run all steps in the converter's order."""
        signed = rule is Requantization.sophgo_cv18xx  # all features are, so that no sign is to be kept
        self._all_signed = signed
        self._settle(self._unit_range)
        self._settle(*[] if signed else [self._keep_pool_sign])
        self._settle(*[] if signed else [self._keep_product_sign, self._sign_difference])
        self._settle(self._join)
        self._settle(self._backward, self._slope_backward)
        self._settle(*[self._sum_of_products] if rule is Requantization.sophgo else [])
        self._settle(self._forward, *[self._pool_forward] if rule is Requantization.sophgo_bm1684 else [])
        self._settle(*[] if signed else [self._keep_pool_sign])
        self._settle(self._forward)

    def _settle(self, *steps: Callable[[Layer], bool]) -> None:
        for _ in range(MOST_ROUNDS):
            changes = [step(layer) for layer in self._layers for step in steps]
            if not any(changes):
                return

    def _set(self, tensor: str, found: _Range) -> bool:
        if tensor not in self._ranges or self._ranges[tensor] == found:
            return False
        self._ranges[tensor] = found
        return True

    def _ends(self, layer: Layer) -> tuple[_Range, _Range] | None:
        """The ranges of a layer's first input and of its output."""
        ends = [self._ranges.get(name) for name in (layer.first.input[0], layer.output)]
        return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])

    def _used_once(self, tensor: str) -> bool:
        return len(self._uses.get(tensor, ())) == 1

    def _unit_range(self, layer: Layer) -> bool:
        """A Sigmoid gives 0 .. 1, whatever was seen."""
        output = self._ranges.get(layer.output)
        if layer.kind != "Sigmoid" or output is None:
            return False
        return self._set(layer.output, _Range(1.0, self._all_signed))

    def _keep_pool_sign(self, layer: Layer) -> bool:
        ends = self._ends(layer) if layer.first.op_type in POOLED else None
        return ends is not None and self._set(layer.output, replace(ends[1], signed=ends[0].signed))

    def _keep_product_sign(self, layer: Layer) -> bool:
        if layer.first.op_type != "Mul" or layer.gated:
            return False
        operands = [self._ranges.get(name) for name in layer.first.input]
        signs = {operand.signed for operand in operands if operand is not None}
        output = self._ranges.get(layer.output)
        if output is None or None in operands or output.signed in signs:
            return False
        return self._set(layer.output, replace(output, signed=signs.pop()))

    def _sign_difference(self, layer: Layer) -> bool:
        output = self._ranges.get(layer.output)
        if layer.first.op_type != "Sub" or output is None:
            return False
        return self._set(layer.output, replace(output, signed=True))

    def _join(self, layer: Layer) -> bool:
        """Operands that nothing else takes get the output's range, or the output theirs where all have the same."""
        kind = layer.first.op_type
        operands = [self._ranges.get(name) for name in layer.first.input]
        output = self._ranges.get(layer.output)
        if kind not in JOINED or output is None or None in operands or not all(map(self._joins, layer.first.input)):
            return False
        if kind == "Concat" and len({operand.signed for operand in operands if operand is not None}) > 1:
            return False
        first = operands[0]
        if first is not None and all(operand == first for operand in operands):
            return self._set(layer.output, first)
        changes = [self._set(name, output) for name in layer.first.input]
        for name in layer.first.input:
            producer = self._producers.get(name)
            if producer is not None and producer.first.op_type in RESHAPED:
                self._set(producer.first.input[0], output)
        return any(changes)

    def _joins(self, tensor: str) -> bool:
        """Whether a tensor has one consumer, or others that are only MaxPools."""
        uses = self._uses.get(tensor, [])
        others = [use for use in uses if use is None or use.first.op_type not in JOINED]
        joined = {use.name for use in uses if use is not None and use.first.op_type in JOINED}
        pools = all(use is not None and use.first.op_type == "MaxPool" for use in others)
        return tensor not in self._graph.constants and (len(uses) == 1 or (pools and len(joined) == 1))

    def _backward(self, layer: Layer) -> bool:
        """The input takes the output's range."""
        ends = self._ends(layer) if layer.first.op_type in BACKWARD else None
        if ends is None or not self._used_once(layer.first.input[0]):
            return False
        return self._give_back(layer.first.input[0], ends[1])

    def _slope_backward(self, layer: Layer) -> bool:
        """The same, but for the sign."""
        ends = self._ends(layer) if layer.first.op_type in SLOPED else None
        if ends is None or not self._used_once(layer.first.input[0]):
            return False
        return self._give_back(layer.first.input[0], replace(ends[1], signed=ends[0].signed))

    def _give_back(self, tensor: str, found: _Range) -> bool:
        changed = self._set(tensor, found)
        producer = self._producers.get(tensor)
        if changed and producer is not None and producer.first.op_type in RESHAPED:
            self._set(producer.first.input[0], found)
        return changed

    def _sum_of_products(self, layer: Layer) -> bool:
        """Products that only a sum takes get its range."""
        output = self._ranges.get(layer.output)
        producers = [self._producers.get(name) for name in layer.first.input]
        products = all(p is not None and p.first.op_type == "Mul" and not p.gated for p in producers)
        if layer.first.op_type != "Add" or output is None or not products:
            return False
        if not all(map(self._used_once, layer.first.input)):
            return False
        changes = [self._set(name, output) for name in layer.first.input]
        return any(changes)

    def _pool_forward(self, layer: Layer) -> bool:
        """An average pool's output takes the input's range."""
        ends = self._ends(layer) if layer.first.op_type in POOLED else None
        return ends is not None and self._set(layer.output, ends[0])

    def _forward(self, layer: Layer) -> bool:
        """The output takes the input's range."""
        kind = layer.first.op_type
        if kind not in KEEPS_CODES | SLOPED and kind not in {"Relu", "Clip"}:
            return False
        source = self._ranges.get(layer.first.input[0])
        changes = [] if source is None else [self._set(name, source) for name in layer.nodes[-1].output]
        return any(changes)
