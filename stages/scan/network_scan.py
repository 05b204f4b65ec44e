"""The scan of a network: on every SOC what runs in integers, which routes take it, what it costs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.core.base.errors import UserError
from stages.core.config.schema import QuantConfig, SocConfig
from stages.core.cost import cost_file, load_cost
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.scan.costs import LayerCosts, NetworkCost
from stages.scan.large_depthwise import LargeDepthwise, large_depthwise
from stages.scan.placements import Placement, Placements, State, check_bits
from stages.scan.remedies import remedy
from stages.scan.routes import OPEN_T41, Route, Routes

__all__ = ["FloatLayer", "NetworkScan", "SocScan", "float_layers", "scan_network"]

BIT_WIDTHS = ((8, 8), (8, 4), (4, 4))
"""Of features and weights, at which costs are told."""


@dataclass(frozen=True)
class FloatLayer:
    """A layer that does not run in integers.

    Attributes:
        node: the layer's name.
        kind: the operator that the SOC's table lists.
        state: in float, or left to calibration.
        reason: why.
        remedy: what would change that; empty where nothing is known.
        macs: its multiplications.
    """

    node: str
    kind: str
    state: State
    reason: str
    remedy: str
    macs: int


@dataclass(frozen=True)
class SocScan:
    """What becomes of a network on a SOC.

    Attributes:
        soc: the SOC.
        placement: its layers at the bit widths of the settings.
        float_layers: those that do not run in integers, or may not.
        routes: of build.
        costs: at each pair of bit widths that it can do.
        layer_costs: at the bit widths of the settings.
        time_source: what the times rest on; empty where none are known.
        depthwise: convolutions that the T41's open runtime refuses for their kernel.
    """

    soc: SocConfig
    placement: Placement
    float_layers: Sequence[FloatLayer]
    routes: Sequence[Route]
    costs: Sequence[NetworkCost]
    layer_costs: LayerCosts
    time_source: str
    depthwise: Sequence[LargeDepthwise]

    def count(self, state: State) -> int:
        """How many layers run so."""
        return sum(each is state for each in self.placement.states.values())

    @property
    def integer_share(self) -> float | None:
        """The share of the multiplications that run in integers, 0..1; None of a network without any."""
        states = self.placement.states
        macs = Counter[bool]()
        for work in self.placement.works:
            macs[states[work.node] is State.integer] += work.macs
        return macs[True] / macs.total() if macs.total() else None

    @property
    def islands(self) -> list[list[str]]:
        """Runs of layers in float, in graph order: each is left and entered through float values."""
        runs: list[list[str]] = []
        inside = False
        for name, state in self.placement.states.items():
            if state is State.index:
                continue
            if state is State.float:
                if not inside:
                    runs.append([])
                runs[-1].append(name)
            inside = state is State.float
        return runs


@dataclass(frozen=True)
class NetworkScan:
    """The scan of a network.

    Attributes:
        graph: the float network as export writes it.
        inputs: its inputs.
        description: what its head or its outputs are, a line.
        socs: name -> what becomes of it there.
        refused: name of a SOC -> why the settings cannot be had there.
    """

    graph: Graph
    inputs: Sequence[NetworkInput]
    description: str
    socs: Mapping[str, SocScan]
    refused: Mapping[str, str]

    @property
    def macs(self) -> int:
        """Multiplications of one pass."""
        first = next(iter(self.socs.values()), None)
        return sum(work.macs for work in first.placement.works) if first else 0


def scan_network(
    graph: Graph,
    inputs: Sequence[NetworkInput],
    description: str,
    socs: Mapping[str, SocConfig],
    quant: QuantConfig,
) -> NetworkScan:
    """Scan a network.

    Args:
        graph: the float network as export writes it.
        inputs: its inputs.
        description: what its head or its outputs are.
        socs: name -> SOC.
        quant: the settings.
    """
    placements, routes = Placements(graph, quant), Routes(inputs, quant)
    scanned, refused = {}, {}
    # first those of more routes: what they need serves SOCs that run the layers alike
    for name in sorted(socs, key=lambda name: socs[name].open_runtime is None):
        soc = socs[name]
        try:
            check_bits(soc, quant)
            placement = placements.place(soc)
        except UserError as error:
            refused[name] = str(error)
            continue
        scanned[name] = _scan_soc(soc, placement, placements, routes)
    in_order = {name: scanned[name] for name in socs if name in scanned}
    return NetworkScan(graph, inputs, description, in_order, refused)


def _scan_soc(soc: SocConfig, placement: Placement, placements: Placements, routes: Routes) -> SocScan:
    model = load_cost(cost_file(soc.name))
    costs = []
    for bits in BIT_WIDTHS:
        try:
            placed = placements.place_at(soc, bits)
        except UserError:  # bit widths that it does not have
            continue
        costs.append(LayerCosts(placed, soc, model).total(bits))
    taken = routes.of(soc, placement)
    layer_costs = LayerCosts(placement, soc, model)
    refusals = [refusal for route in taken if route.name == OPEN_T41 for refusal in route.refusals]
    return SocScan(
        soc,
        placement,
        float_layers(placement),
        taken,
        costs,
        layer_costs,
        model.note if model.timed else "",
        large_depthwise(placement, layer_costs, refusals),
    )


def float_layers(placement: Placement) -> list[FloatLayer]:
    """The layers that do not run in integers, or may not, in graph order, with what would change that."""
    layers = []
    for layer, work in zip(placement.setup.layers, placement.works, strict=True):
        state = placement.states[layer.name]
        if state in (State.integer, State.index):
            continue
        reason = placement.reason(layer.name)
        undecided = state is State.undecided
        text = "quant.unlike_parts=quantized" if undecided else remedy(placement.graph, layer, reason)
        layers.append(FloatLayer(layer.name, layer.kind, state, reason, text, work.macs))
    return layers
