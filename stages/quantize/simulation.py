"""Running a candidate beside the float network on pictures, and the error of its outputs."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.session import Runner
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import cosine
from stages.quantize.candidate import Candidate
from stages.quantize.emit.prepared import prepared_model
from stages.quantize.emit.qdq import insert_quantizers

__all__ = ["Outputs", "Simulation", "mean_cosine", "relative_error"]

Array = NDArray[np.float32]
Outputs = Mapping[str, Array]
"""Name -> values: the float outputs of a network."""


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

    def simulated(self, candidate: Candidate) -> Iterator[tuple[Outputs, Outputs]]:
        """Give both networks' outputs on each picture, float ones first; the candidate runs in the exact simulator."""
        names = [output.name for output in self._reference.graph.output]
        return self._beside(Runner(simulator_model(candidate.lowered()[0], names), optimize="safe"))

    def error(self, candidate: Candidate) -> float:
        """Squared error of a candidate's outputs relative to the float outputs' variance: the mean over pictures."""
        return _mean_error(self.simulated(candidate))

    def part_error(self, candidate: Candidate, features: Collection[str], nodes: Collection[str]) -> float:
        """The same with only some features and some nodes' weights quantized: a float network with quantizers."""
        weights = [weight for weight in candidate.weights.values() if weight.node in nodes]
        model = prepared_model(candidate.model(), NetworkParams([], weights), candidate.codes)
        quantized = [feature for feature in candidate.features.values() if feature.tensor in features]
        model = insert_quantizers(model, NetworkParams(quantized, []), {})
        return _mean_error(self._beside(Runner(model, optimize="none")))

    def of_float(self) -> Iterator[Outputs]:
        """Give the float network's outputs on each picture."""
        if self._kept:
            yield from self._kept
            return
        kept: list[Outputs] = []
        runner = Runner(self._reference)
        for feed in self._feeds():
            outputs = {name: values for name, values in runner.run(feed).items() if values.dtype == np.float32}
            if self._keep:
                kept.append(outputs)
            yield outputs
        self._kept = kept

    def _beside(self, runner: Runner) -> Iterator[tuple[Outputs, Outputs]]:
        for feed, expected in zip(self._feeds(), self.of_float(), strict=True):
            yield expected, runner.run(feed)


def _mean_error(pairs: Iterable[tuple[Outputs, Outputs]]) -> float:
    """The mean over pictures and outputs; 0 where all outputs are of whole numbers: there is nothing to compare."""
    errors = [relative_error(y, actual[name]) for expected, actual in pairs for name, y in expected.items()]
    return float(np.mean(errors)) if errors else 0.0


def relative_error(expected: Array, actual: Array) -> float:
    """The mean squared error of a tensor relative to the variance of its float values."""
    y = expected.astype(np.float64)
    return float(((actual - y) ** 2).mean() / max(y.var(), 1e-30))


def mean_cosine(pairs: Iterable[tuple[Outputs, Outputs]]) -> float:
    """Cosine similarity of the least similar output, averaged over pictures.

    It counts as 0 where a value is infinite or not a number: that is as bad as can be.
    """
    cosines = [
        [cosine(y, actual[name]) if np.isfinite(actual[name]).all() else 0.0 for name, y in expected.items()]
        for expected, actual in pairs
    ]
    return float(np.min(np.mean(cosines, axis=0)))
