"""Running a candidate beside the float network on pictures, and the error of its outputs."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import onnx

from stages.core.base.threads import in_order
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.simulator import simulator_model
from stages.core.outputs.output_error import NetworkError, Outputs, fidelity
from stages.core.outputs.output_parts import parts_of_outputs
from stages.core.outputs.states import answering_outputs
from stages.core.statistics.metrics import cosine
from stages.quantize.candidate import Candidate
from stages.quantize.emit.prepared import prepared_model
from stages.quantize.emit.qdq import insert_quantizers

__all__ = ["BothOutputs", "Outputs", "Simulation", "mean_cosine"]


class BothOutputs(NamedTuple):
    """The outputs of both networks on a picture, and what both were fed."""

    expected: Outputs
    actual: Outputs
    fed: Outputs


class Simulation:
    """Runs candidates of one network beside the float network.

    Args:
        reference: the float network.
        feeds: gives the network's inputs, picture by picture; called for each pass.
        keep: hold the float outputs in memory, for many passes over few pictures.
    """

    def __init__(
        self, reference: onnx.ModelProto, feeds: Callable[[], Iterable[Outputs]], *, keep: bool = False
    ) -> None:
        self._reference, self._feeds, self._keep = reference, feeds, keep
        self._kept: list[Outputs] = []
        graph = Graph(reference)
        self._parts, self._answers = parts_of_outputs(graph), answering_outputs(graph)

    def simulated(self, candidate: Candidate) -> Iterator[BothOutputs]:
        """Give both networks' outputs on each picture; the candidate runs in the exact simulator."""
        names = [output.name for output in self._reference.graph.output]
        return self._beside(Runner(simulator_model(candidate.lowered()[0], names), optimize="safe"))

    def error(self, candidate: Candidate) -> float:
        """Squared error of a candidate's outputs relative to their variance: the mean over all parts of outputs."""
        return self._error(self.simulated(candidate)).mean()

    def fidelity(self, pictures: Iterable[BothOutputs]) -> float:
        """The fidelity of the worst part of an output, see `stages.core.outputs.output_error`."""
        return fidelity(self._error(pictures).worst())

    def part_error(self, candidate: Candidate, features: Collection[str], nodes: Collection[str]) -> float:
        """The same with only some features and some nodes' weights quantized: a float network with quantizers."""
        weights = [weight for weight in candidate.weights.values() if weight.node in nodes]
        model = prepared_model(candidate.model(), NetworkParams([], weights), candidate.codes)
        quantized = [feature for feature in candidate.features.values() if feature.tensor in features]
        model = insert_quantizers(model, NetworkParams(quantized, []), {})
        return self._error(self._beside(Runner(model, optimize="none"))).mean()

    def both_float(self) -> Iterator[BothOutputs]:
        """Give the float network's outputs on each picture for both networks'."""
        return (BothOutputs(outputs, outputs, {}) for outputs in self.of_float())

    def of_float(self) -> Iterator[Outputs]:
        """Give the float network's outputs on each picture."""
        if self._kept:
            yield from self._kept
            return
        kept: list[Outputs] = []
        for computed in in_order(Runner(self._reference).run, self._feeds()):
            outputs = {name: values for name, values in computed.items() if values.dtype == np.float32}
            if self._keep:
                kept.append(outputs)
            yield outputs
        self._kept = kept

    def _error(self, pictures: Iterable[BothOutputs]) -> NetworkError:
        error = NetworkError(self._parts)
        for expected, actual, fed in pictures:
            error.add({name: expected[name] for name in self._answers}, actual, fed)
        return error

    def _beside(self, runner: Runner) -> Iterator[BothOutputs]:
        def run(pair: tuple[Outputs, Outputs]) -> BothOutputs:
            feed, expected = pair
            return BothOutputs(expected, runner.run(feed), feed)

        return in_order(run, zip(self._feeds(), self.of_float(), strict=True))


def mean_cosine(pictures: Iterable[BothOutputs]) -> float:
    """Cosine similarity of the least similar output, averaged over pictures.

    It counts as 0 where a value is infinite or not a number: that is as bad as can be.
    """
    cosines = [
        [cosine(y, actual[name]) if np.isfinite(actual[name]).all() else 0.0 for name, y in expected.items()]
        for expected, actual, _ in pictures
    ]
    return float(np.min(np.mean(cosines, axis=0)))
