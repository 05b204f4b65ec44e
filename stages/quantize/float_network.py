"""The float network that is quantized, as it is or equalized, with its statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import counted
from stages.core.config.schema import FLOAT_BITS, Config, WeightScale
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.sample_store import SampleReader
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.collect import calibration_feeds, collect
from stages.core.statistics.tensor_statistics import TensorStatistics

__all__ = ["Network", "equalized"]

MAX_PICTURES = 24
"""That single values are looked at of."""


@dataclass(frozen=True)
class Network:
    """A float network to quantize.

    Attributes:
        graph: the network, its channels scaled or not.
        statistics: of its tensors.
        factors: scaled tensor -> float32 [C]: original = scaled * factor.
        groups: how many groups of tensors were scaled.
        ranges: feature -> range chosen by its consumers' outputs, where there is one.
    """

    graph: Graph
    statistics: Mapping[str, TensorStatistics]
    factors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    groups: int = 0
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def note(self) -> str:
        """A line for the report: how much was scaled."""
        if not self.factors:
            return (
                "quant.equalization: nothing was scaled: no channels between weighted layers, with only operators "
                "between that scale along (Relu, Add, pools, ...), would lose error by it"
            )
        tensors, groups = counted(len(self.factors), "tensor"), counted(self.groups, "group")
        return (
            f"quant.equalization: channels of {tensors} in {groups} scaled; ranges here are those of the scaled network"
        )


def equalized(network: Network, config: Config, samples: SampleReader, inputs: Sequence[NetworkInput]) -> Network:
    """Scale a network's channels by its statistics; those of scaled tensors are collected again on `samples`."""
    from stages.quantize.equalize.cross_layer import equalize, equalize_whole  # noqa: PLC0415  SciPy is slow to load

    quant, soc = config.quant, config.soc
    model, statistics = network.graph.model, network.statistics
    if soc.follows_converter and soc.weight_scale is WeightScale.per_tensor:
        few = samples.subset(range(0, len(samples), -(-len(samples) // MAX_PICTURES)))
        scaled = equalize_whole(model, statistics, (feeds(sample, inputs) for sample in few))
    else:
        feature_bits = FLOAT_BITS if quant.float_features else quant.feature_bits
        weight_bits = FLOAT_BITS if quant.float_weights else quant.weight_bits
        scaled = equalize(model, statistics, feature_bits, weight_bits)
    if not scaled.factors:
        return network
    changed = collect(scaled.model, calibration_feeds(samples, inputs, "equalize"), scaled.factors)
    return Network(Graph(scaled.model), {**network.statistics, **changed}, scaled.factors, scaled.groups)
