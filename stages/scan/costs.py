"""What a network costs on a SOC: bytes of weights, memory of features, time where times are known."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from stages.core.config.schema import FLOAT_BITS, SocConfig
from stages.core.cost import CostModel, LayerWork, size, stored_bits
from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.core.integer.operators import VIEWS
from stages.quantize.partition.layers import Layer
from stages.scan.placements import Placement, State

__all__ = ["LayerCosts", "NetworkCost"]


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs at two bit widths.

    Attributes:
        bits: asked for, of features and weights.
        weight_bytes: of all weights as stored, float ones in the float type of the SOC; without biases.
        peak_bytes: of the features that live at once at the fullest moment.
        peak_layer: that runs then.
        milliseconds: of the layers in integers; None where no times are known.
        untimed: layers in float with work to do, which no source times.
    """

    bits: tuple[int, int]
    weight_bytes: int
    peak_bytes: int
    peak_layer: str
    milliseconds: float | None
    untimed: int


class LayerCosts:
    """What each layer costs on a SOC.

    Args:
        placement: the layers, and their bit widths.
        soc: how features lie in its memory.
        model: its times.
    """

    def __init__(self, placement: Placement, soc: SocConfig, model: CostModel) -> None:
        self._placement, self._soc, self._model = placement, soc, model
        self._graph = placement.graph

    def total(self, bits: tuple[int, int]) -> NetworkCost:
        """What they cost together; `bits` is what was asked for."""
        alive, layers = self.alive, self._placement.setup.layers
        peak = max(range(len(alive)), key=lambda index: alive[index], default=None)
        in_float = [
            work
            for work in self._placement.works
            if self._runs_in_float(work.node) and (work.macs or work.inputs or work.outputs)
        ]
        times = self.milliseconds
        return NetworkCost(
            bits,
            sum(size(work, self._weight_bits(work), self._soc.float_bits) for work in self._placement.works),
            0 if peak is None else alive[peak],
            "" if peak is None else layers[peak].name,
            None if times is None else sum(times),
            len(in_float),
        )

    @cached_property
    def milliseconds(self) -> list[float] | None:
        """Time of each layer; 0 for those in float, which no source times. None where no times are known."""
        if not self._model.timed:
            return None
        return [
            0.0 if self._runs_in_float(layer.name) else self.time(layer, work)
            for layer, work in zip(self._placement.setup.layers, self._placement.works, strict=True)
        ]

    def time(self, layer: Layer, work: LayerWork) -> float:
        """Time of a layer in integers, or of a like one of other `work`, ms.

        Raises:
            UserError: if no times are known.
        """
        features, graph = self._placement.feature_bits, self._graph
        operands = layer.operands(graph)
        in_bits = max((features.get(name, FLOAT_BITS) for name in operands), default=FLOAT_BITS)
        out_bits = features.get(layer.output, FLOAT_BITS)
        weight_bits = self._placement.weight_bits.get(layer.name, in_bits)
        return self._model.latency(work, in_bits, out_bits, weight_bits)

    @cached_property
    def alive(self) -> list[int]:
        """Bytes of the features that live while each layer runs, in graph order.

        A feature lives from the layer that computes it to the last that reads it, a result to the end, a network input
        from the start. Tensors inside a layer, and those that an activation is folded behind, are never stored; a view
        shares its input's memory.
        """
        layers = self._placement.setup.layers
        stored, last = self._stored_as(), dict[str, int]()
        first: dict[str, int] = {stored.get(name, name): 0 for name in self._graph.inputs}
        for index, layer in enumerate(layers):
            for name in self._reads(layer):
                last[stored.get(name, name)] = index
            for name in filter(None, layer.nodes[-1].output):
                first.setdefault(stored.get(name, name), index)
        last.update({stored.get(name, name): len(layers) - 1 for name in self._graph.outputs})
        changes = [0] * (len(layers) + 1)
        for name, start in first.items():
            if (end := last.get(name)) is not None:
                changes[start] += (amount := self.feature_bytes(name))
                changes[end + 1] -= amount
        total, alive = 0, []
        for change in changes[:-1]:
            total += change
            alive.append(total)
        return alive

    def feature_bytes(self, name: str) -> int:
        """Bytes of a feature in the SOC's memory: channels of pictures in whole groups; 0 if its size is not known."""
        shape = self._graph.shapes.get(name)
        if shape is None or name in self._graph.constants:
            return 0
        bits = self._placement.feature_bits.get(name, FLOAT_BITS)
        if len(shape) == PICTURE_RANK and bits != FLOAT_BITS:
            group = (self._soc.input_channels or 1) if name in self._graph.inputs else self._soc.channel_alignment
            shape = [shape[0], -(-shape[1] // group) * group, *shape[2:]]
        return math.ceil(math.prod(shape) * stored_bits(bits) / 8)

    def _stored_as(self) -> dict[str, str]:
        """Tensor -> the tensor in whose memory it lies, where that is another one."""
        stored: dict[str, str] = {}
        by_name = {layer.name: layer for layer in self._placement.setup.layers}
        for layer in self._placement.setup.layers:
            source = layer.first.input[0] if layer.first.input else ""
            inside = layer.name in self._placement.folded
            if layer.first.op_type in VIEWS and source and source not in self._graph.constants:
                stored[layer.output] = stored.get(source, source)
            elif inside:
                # the weighted layer before writes what the activation makes of its result
                stored[by_name[self._placement.folded[layer.name]].output] = layer.output
        return stored

    def _reads(self, layer: Layer) -> Iterable[str]:
        return (name for node in layer.nodes for name in node.input if name and name not in self._graph.constants)

    def _weight_bits(self, work: LayerWork) -> int:
        return self._placement.weight_bits.get(work.node, FLOAT_BITS)

    def _runs_in_float(self, name: str) -> bool:
        return self._placement.states[name] in (State.float, State.index)
