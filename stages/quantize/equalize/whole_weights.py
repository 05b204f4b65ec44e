"""Factors of channels where one scale serves a whole weight: by the error that rounding is expected to make.

A layer whose weights share one scale gives a channel of small weights few codes, as a feature gives a channel of small
values. Factors of the tensors on both sides even out its weights. They pull at each other through the network, so those
of all channels are found together: the sum of the errors that rounding of features and weights is expected to make is
minimized over their logarithms.

A Clip that begins at 0 counts as a Relu here: on such units its upper bound is the feature's threshold, one for all
channels. What that changes is part of the sum, by samples of the values before it (see `Clipping`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.optimize import minimize

from stages.core.graph.onnx_graph import Graph
from stages.core.integer.operators import WEIGHTED
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.equalize.channel_ties import Channels, Indices
from stages.quantize.equalize.expected_noise import Clipping, Noise
from stages.quantize.equalize.factors import MAX_FACTOR, channel_power
from stages.quantize.equalize.scaled_model import weight_by_input
from stages.quantize.partition.layers import CLAMP_TYPES

__all__ = ["whole_weight_factors"]

Array = NDArray[np.float64]

LEAST_ROOM = 0.5
"""Of a channel's largest value: what a factor must leave room for, however seldom it is reached."""
UNSEEN_GROWTH, UNSEEN_SHARE = 1.5, 1e-3
"""How far values may lie beyond those that were seen, and how many are reckoned with."""
KEPT_WEIGHTS = 8
"""Of a row and of a column: the largest ones, which the largest of the layer is among whatever the factors."""
FEATURE_CODES, WEIGHT_CODES = 255.0, 90.0
"""Codes that the largest value gets; of a weight, whose scale is a power of two, 63 to 126."""
CLIPPING_WEIGHT = 4.0
"""Of what clipping changes: learning makes good most of what rounding changes, and none of this."""
MAX_STEPS = 150
TINY = 1e-30


def whole_weight_factors(
    channels: Channels, statistics: Mapping[str, TensorStatistics], samples: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Choose the factors of all channels.

    Args:
        channels: of the float network, with clips tied.
        statistics: by tensor.
        samples: quantiles of the values of each tensor before a Clip: [Q, C].

    Returns:
        Tensor -> float32 [C], original = scaled * factor; those before a Clip may have others than it.
    """
    problem = _Problem(channels, statistics, samples)
    u = problem.solved()
    factors = {name: np.exp(u[channels.of(name)]) for name in channels.first}
    for output, shrinks in problem.shrinks.items():
        source = channels.clips[output][0]
        factors[source] = factors[source] * np.exp(u[shrinks])
    return {name: factor.astype(np.float32) for name, factor in factors.items()}


@dataclass
class _Problem:
    """The sum of all errors. Variables: a logarithm a class, then one a channel of each Clip's output, then a 0."""

    channels: Channels
    statistics: Mapping[str, TensorStatistics]
    samples: Mapping[str, NDArray[np.float32]]
    shrinks: dict[str, Indices] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size, self.shrinks = len(self.channels.fixed), {}
        for output, (source, _) in self.channels.clips.items():
            if source in self.samples and output in self.statistics:
                count = len(self.channels.of(output))
                self.shrinks[output] = np.arange(self.size, self.size + count)
                self.size += count

    def solved(self) -> Array:
        """The logarithms of least error: [variables]."""
        low, high = self._bounds()
        live = np.flatnonzero(low < high)
        terms = self._terms()
        u = np.zeros(self.size + 1)

        def cost(logs: Array) -> tuple[float, Array]:
            u[live] = logs
            gradient = np.zeros_like(u)
            error = sum(term.add(u, gradient) for term in terms)
            return error, gradient[live]

        if live.size and terms:
            bounds, start = np.stack([low[live], high[live]], axis=1), np.clip(0.0, low[live], high[live])
            found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MAX_STEPS})
            u[live] = found.x
        return u

    def _bounds(self) -> tuple[Array, Array]:
        """The least and the largest logarithms."""
        most = float(np.log(MAX_FACTOR))
        low, high = np.full((2, self.size), [[-most], [most]])
        fixed = np.append(self.channels.fixed, np.zeros(self.size - len(self.channels.fixed), np.bool_))
        for tensor in self.channels.first:
            if tensor not in self.statistics:
                fixed[self.channels.of(tensor)] = True
        for output, (_, bound) in self.channels.clips.items():
            classes = self.channels.of(output)
            if output not in self.shrinks:
                fixed[classes] = True
                continue
            low[self.shrinks[output]] = 0.0
            least = LEAST_ROOM * self.statistics[output].channel_high.astype(np.float64) / bound
            np.maximum.at(low, classes, np.log(np.maximum(least, TINY)))
        return np.where(fixed, 0.0, low), np.where(fixed, 0.0, high)

    def _terms(self) -> list[Noise | Clipping]:
        graph, first = self.channels.graph, self.channels.first
        weighted = [
            node for node in graph.nodes
            if node.op_type in WEIGHTED and node.input[0] in self.statistics and node.input[0] in first
            and node.output[0] in first and graph.constant(node.input[1]) is not None
        ]  # fmt: skip
        behind, sensitivity = self._sensitivities(weighted)
        terms: list[Noise | Clipping] = [self._weight_noise(behind[node.output[0]], node) for node in weighted]
        for tensor in first:
            if tensor in self.statistics and not _is_fused(graph, tensor):
                terms.append(self._feature_noise(sensitivity, tensor))
        return terms + [self._clipping(sensitivity, output) for output in self.shrinks]

    def _sensitivities(self, weighted: Sequence[onnx.NodeProto]) -> tuple[dict[str, Array], Array]:
        """What an error of power 1 in a channel adds to the relative error of the network's outputs, about.

        From the end: a weighted layer passes errors on by its squared weights, where the Clip behind it lets them
        through.

        Returns:
            Of each output of a weighted layer [C], from what comes after it; and of each class, from all consumers.
        """
        behind, sensitivity = {}, np.zeros(len(self.channels.fixed))
        for node in reversed(weighted):
            squares, classes = self._squares(node), self.channels.of(node.output[0])
            own = sensitivity[classes]
            if not own.any():  # nothing weighted follows that is reached through like channels
                total = float(np.einsum("goi,gi->", squares, self._power(node)))
                own = np.full(len(classes), 1.0 / max(total, TINY))
            behind[node.output[0]] = own
            passed = (own * self._passing(node)).reshape(squares.shape[:2])
            np.add.at(
                sensitivity, self.channels.of(node.input[0]), np.einsum("goi,go->gi", squares, passed).reshape(-1)
            )
        return behind, sensitivity

    def _passing(self, node: onnx.NodeProto) -> Array:
        """The share of a weighted layer's values that the Clip behind it does not cut off: [channels]."""
        clip, values = self._clip_behind(node), self.samples.get(node.output[0])
        if clip is None or values is None:
            return np.ones(len(self.channels.of(node.output[0])))
        return np.asarray(((values > 0.0) & (values < self.channels.clips[clip][1])).mean(axis=0))

    def _rows(self, node: onnx.NodeProto) -> Array:
        weight = np.asarray(self.channels.graph.constant(node.input[1]))
        return weight_by_input(node, weight).astype(np.float64)

    def _squares(self, node: onnx.NodeProto) -> Array:
        return np.asarray((self._rows(node) ** 2).sum(axis=3))

    def _power(self, node: onnx.NodeProto) -> Array:
        """Mean square of each input channel of a weighted node: [groups, inputs of a group]."""
        rows = self._rows(node)
        power = channel_power(self.statistics[node.input[0]])
        source, bound = self.channels.clips.get(node.input[0], ("", 0.0))
        if source in self.samples:
            power = (np.clip(self.samples[source], 0.0, bound).astype(np.float64) ** 2).mean(axis=0)
        return power.reshape(rows.shape[0], rows.shape[2])

    def _weight_noise(self, sensitivity: Array, node: onnx.NodeProto) -> Noise:
        rows = self._rows(node)
        groups, outputs, inputs, kernel = rows.shape
        x = self.channels.of(node.input[0]).reshape(groups, inputs)
        y = self.channels.of(node.output[0]).reshape(groups, outputs)
        largest, power = np.abs(rows).max(axis=3), self._power(node)
        group, out, into = np.nonzero(_largest(largest))
        minus, clip = [y[group, out]], self._clip_behind(node)
        if clip is not None:
            minus.append(self.shrinks[clip].reshape(groups, outputs)[group, out])
        sizes = np.log(largest[group, out, into] / WEIGHT_CODES)
        weights = (sensitivity * self._passing(node)).reshape(y.shape)
        return Noise(sizes, x[group, into], np.stack(minus), weights / 12.0, y, kernel * power, x)

    def _clip_behind(self, node: onnx.NodeProto) -> str | None:
        """The output of the Clip that ends a layer."""
        return next((output for output in self.shrinks if self.channels.clips[output][0] == node.output[0]), None)

    def _feature_noise(self, sensitivity: Array, tensor: str) -> Noise:
        """One scale for all channels."""
        statistics, classes = self.statistics[tensor], self.channels.of(tensor)
        signed = bool(statistics.channel_low.min() < 0.0)
        seen = np.maximum(statistics.channel_high, -statistics.channel_low).astype(np.float64)
        sizes = np.log(np.maximum(seen, TINY) / (FEATURE_CODES / 2 if signed else FEATURE_CODES))
        unscaled = np.full_like(classes, self.size)
        one, row = unscaled[:1].reshape(1, 1), classes.reshape(1, -1)
        return Noise(sizes, unscaled, classes[np.newaxis], sensitivity[row] / 12.0, row, np.ones((1, 1)), one)

    def _clipping(self, sensitivity: Array, output: str) -> Clipping:
        source, bound = self.channels.clips[output]
        values = self.samples[source].astype(np.float64)
        unseen = UNSEEN_GROWTH * values.max(axis=0, keepdims=True)
        shares = np.append(np.full(len(values), 1.0 / len(values)), UNSEEN_SHARE).reshape(-1, 1)
        classes = self.channels.of(output)
        stacked = np.concatenate([values, unseen])
        return Clipping(stacked, shares, bound, CLIPPING_WEIGHT * sensitivity[classes], classes, self.shrinks[output])


def _largest(values: Array) -> NDArray[np.bool_]:
    """The largest of each row and column of [groups, outputs, inputs]."""
    kept = np.zeros(values.shape, dtype=np.bool_)
    for axis in (1, 2):
        count = min(KEPT_WEIGHTS, values.shape[axis])
        bound = np.partition(values, -count, axis=axis).take([-count], axis=axis)
        kept |= values >= bound
    return kept & (values > 0.0)


def _is_fused(graph: Graph, name: str) -> bool:
    consumers = graph.consumers.get(name, [])
    return len(consumers) == 1 and consumers[0].op_type in CLAMP_TYPES
