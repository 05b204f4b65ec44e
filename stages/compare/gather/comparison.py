"""One pass over the debug pictures: every node's output, float against quantized."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.compare.background import Background
from stages.compare.gather.layers import unquantized_values
from stages.compare.gather.networks import Networks, PartialNetworks
from stages.compare.gather.picture_sets import DebugPicture
from stages.compare.gather.units import Factors, in_float_units
from stages.core.base.errors import UserError
from stages.core.base.memory import MOST_BESIDE, check_available
from stages.core.base.threads import in_order
from stages.core.graph.infinite import infinite_tensors, without_infinity
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import SQNR_CAP, Distance, distance, summarize

__all__ = ["SOURCES", "Comparison", "Observer", "Row", "compare_networks"]

MEASURES = {"isolated": ("cosine", "sqnr"), "feature": ("cosine",), "weight": ("cosine",)}
"""What is measured of the networks that are quantized in part: each layer alone, all features, all weights."""
SOURCES = [f"{source}_{measure}" for source, measures in MEASURES.items() for measure in measures]
"""Columns that tell where the error comes from; only with `compare.isolated`."""
EXACT = Distance(1.0, 0.0, 0.0, 0.0, 0.0, SQNR_CAP, 1.0)
NOT_FINITE = Distance(0.0, math.inf, math.inf, math.inf, math.inf, -SQNR_CAP, -1.0)
"""Of a quantized tensor that is infinite or not a number somewhere."""
WORKING = 1.25
"""Memory to the bytes of the tensors that are held: running takes some. Measured by `benchmarks.load`: 1.1."""

Array = NDArray[np.float32]
Row = Mapping[str, Any]
"""A row of a table: column -> value."""


@dataclass(frozen=True)
class Comparison:
    """One picture's comparison; by tensor, in graph order.

    Attributes:
        index: which picture it is, from 0.
        picture: the picture.
        expected: what the float network computes.
        actual: what the integer model computes, in the float network's units.
        distances: between the two.
        not_finite: tensors that are infinite or not a number somewhere in the quantized network; of codes what a layer
            in float computes before it is quantized.
    """

    index: int
    picture: DebugPicture
    expected: Mapping[str, Array]
    actual: Mapping[str, Array]
    distances: Mapping[str, Distance]
    not_finite: Sequence[str] = ()


Observer = Callable[[Comparison], None]
"""Called in the background with every picture's comparison, in order."""


def compare_networks(
    networks: Networks, pictures: Iterable[DebugPicture], background: Background, observers: Sequence[Observer] = ()
) -> dict[str, Row]:
    """Run the networks on each picture and compare every node's output.

    The integer model runs in the exact simulator: a row shows what the board computes there, all layers before it
    quantized too. A node inside a fused layer shows its value before rounding and clamping.

    Args:
        networks: the float network, its integer model, and networks quantized in part, each of which is one more pass.
        pictures: one at a time; the tensors of two networks are held in memory, since those of one are measured while
            the next runs; where they are large (`MOST_BESIDE`) nothing runs beside.
        background: measures.
        observers: what else looks at the tensors.

    Returns:
        Tensor -> its row of the similarity table: `node`, `op_type`, the measures of `summarize`, and `SOURCES` where
        networks are quantized in part.

    Raises:
        UserError: if a tensor of the float network holds a value that is not finite, or memory does not suffice.
    """
    tensors = list(networks.node_names)
    factors, producers = networks.params.factors, networks.reference.producers
    infinite = infinite_tensors(networks.reference)
    sources = _sources(networks.partial, tensors, factors, infinite) if networks.partial else {}
    unquantized = {name: values for name, values in unquantized_values(networks.integer).items() if name in tensors}
    shown = list(dict.fromkeys([*tensors, *unquantized.values()]))
    simulator = simulator_model(networks.integer, shown)
    # every tensor is returned, so that nothing can be fused: looking for it takes as long as two pictures
    exact = _Measured(Runner(simulator, optimize="none"), _same(shown), tensors, factors, infinite)
    fed = [name for network in sources.values() for name in network.inputs if name in producers]
    float_network = with_outputs(networks.reference.model, list(dict.fromkeys([*tensors, *fed])))
    reference = Runner(float_network)

    def observe(index: int, picture: DebugPicture, expected: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        distances = exact.measure(index, expected, outputs)
        actual = {name: outputs[name] for name in tensors}
        before = {name: outputs[values] for name, values in unquantized.items()}
        not_finite = [name for name in tensors if distances[name] is NOT_FINITE or not _finite(before.get(name))]
        for observer in observers:
            observer(Comparison(index, picture, expected, actual, distances, not_finite))

    def run(index: int, picture: DebugPicture) -> None:  # what it holds is let go before the next picture
        computed = reference.run(picture.feeds)
        expected = _comparable(computed, infinite)
        outputs = _run_each([exact, *sources.values()], {**picture.feeds, **computed}, background.in_turns)
        background.hand_over(observe, index, picture, expected, next(outputs))
        for network in sources.values():
            background.hand_over(network.measure, index, expected, next(outputs))

    background.in_turns = reference.output_bytes > MOST_BESIDE
    _check_memory(reference, [exact, *sources.values()])
    for index, picture in enumerate(pictures):
        run(index, picture)
    background.finish()
    named = {name: {"node": node, "op_type": producers[name].op_type} for name, node in networks.node_names.items()}
    return {tensor: row | _measures(tensor, exact, sources) for tensor, row in named.items()}


def _measures(tensor: str, exact: "_Measured", partial: "Mapping[str, _Measured]") -> dict[str, Any]:
    """What was measured of a tensor on all pictures."""
    measures: dict[str, Any] = dict(summarize(exact.distances[tensor]))
    for source, network in partial.items():
        measures |= network.averages(tensor, source)
    return measures


@dataclass
class _Measured:
    """A network that is held against the float one.

    Attributes:
        runner: runs it; None where none of its tensors differs from the float network's.
        outputs: tensor of the float network -> the output that stands for it; a tensor without one is exact.
        tensors: all that are compared, in graph order.
        factors: bring its values to the float network's units.
        infinite: tensors that a constant makes infinite in places, which are not compared.
        distances: of each tensor on each picture so far.
    """

    runner: Runner | None
    outputs: Mapping[str, str]
    tensors: Sequence[str]
    factors: Factors
    infinite: Set[str] = frozenset()
    distances: dict[str, list[Distance]] = field(default_factory=dict)

    @property
    def inputs(self) -> Iterable[str]:
        """Tensors that it takes."""
        return self.runner.inputs if self.runner else ()

    def run(self, known: Mapping[str, Array]) -> dict[str, Array]:
        """Run on one picture.

        Args:
            known: network inputs and tensors of the float network; it takes what it needs.

        Returns:
            Tensor -> values in the float network's units.
        """
        if not self.runner:
            return {}
        outputs = self.runner.run({name: known[name] for name in self.inputs})
        values = {tensor: in_float_units(tensor, outputs[name], self.factors) for tensor, name in self.outputs.items()}
        return _comparable(values, self.infinite)

    def measure(self, index: int, expected: Mapping[str, Array], actual: Mapping[str, Array]) -> dict[str, Distance]:
        """Take in one picture; gives the distances of its tensors."""
        distances = {
            name: _distance(name, expected[name], actual[name], index) if name in actual else EXACT
            for name in self.tensors
        }
        for name, measured in distances.items():
            self.distances.setdefault(name, []).append(measured)
        return distances

    def averages(self, tensor: str, source: str) -> dict[str, float]:
        """Averages over the pictures, by the columns of a source."""
        distances = self.distances[tensor]
        return {
            f"{source}_{measure}": float(np.mean([getattr(each, measure) for each in distances]))
            for measure in MEASURES[source]
        }


def _run_each(networks: Sequence[_Measured], known: Mapping[str, Array], in_turns: bool) -> Iterator[dict[str, Array]]:
    """What each network gives on one picture, in their order; as many at a time as there are cores, or one."""
    if in_turns:
        return (network.run(known) for network in networks)
    return in_order(lambda network: network.run(known), networks, beside=Background.CORES)


def _check_memory(reference: Runner, networks: Iterable[_Measured]) -> None:
    """Refuse tensors that memory does not hold: of the float network and of the largest beside it."""
    largest = max(network.runner.output_bytes for network in networks if network.runner)
    check_available(int(WORKING * (reference.output_bytes + largest)), "comparing all layers of a picture")


def _sources(
    partial: PartialNetworks, tensors: Sequence[str], factors: Factors, infinite: Set[str]
) -> dict[str, _Measured]:
    """The networks that are quantized in part, by what their columns begin with."""
    outputs, same = partial.isolated.outputs, _same(tensors)
    isolated = Runner(partial.isolated.model, optimize="none") if outputs else None
    features = Runner(with_outputs(partial.features, tensors), optimize="none")
    weights = Runner(with_outputs(partial.weights, tensors))
    return {
        "isolated": _Measured(isolated, outputs, tensors, factors, infinite),
        "feature": _Measured(features, same, tensors, {}, infinite),
        "weight": _Measured(weights, same, tensors, factors, infinite),
    }


def _same(tensors: Iterable[str]) -> dict[str, str]:
    """Tensors that are outputs of their own name."""
    return {tensor: tensor for tensor in tensors}


def _comparable(values: Mapping[str, Array], infinite: Set[str]) -> dict[str, Array]:
    """Values by tensor, of some tensors without infinity."""
    return {name: without_infinity(array) if name in infinite else array for name, array in values.items()}


def _finite(values: Array | None) -> bool:
    return values is None or bool(np.isfinite(values).all())


def _distance(tensor: str, expected: Array, actual: Array, index: int) -> Distance:
    """Compare a tensor; refuses values of the float network that are not finite."""
    measured = distance(expected, actual)
    if math.isfinite(measured.standard_deviation):
        return measured
    if not np.isfinite(expected).all():
        raise UserError(
            f"tensor {tensor!r} of the float network is infinite or not a number on debug sample {index + 1}: "
            "look at the sample, at mean and normal of the input, and at the network's weights"
        )
    return NOT_FINITE
