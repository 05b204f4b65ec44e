"""A small network quantized for the T41 as the stages do it, without files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from benchmarks.pluto.networks import Pictures
from stages.build.pluto.compiler_form import to_compiler_form
from stages.core.config.composition import compose_socs
from stages.core.config.schema import Config, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from stages.core.statistics.collect import collect
from stages.quantize.emit.lower import lower
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.quantizers.placement import place_quantizers

__all__ = ["QuantizedNetwork", "quantized_network"]

CONF = Path("conf")


@dataclass(frozen=True)
class QuantizedNetwork:
    """A quantized network.

    Attributes:
        qdq: in QDQ form.
        integer: the integer model.
        form: what the open compiler reads.
    """

    qdq: onnx.ModelProto
    integer: onnx.ModelProto
    form: onnx.ModelProto


def quantized_network(model: onnx.ModelProto, pictures: Pictures, **quant: Any) -> QuantizedNetwork:
    """Calibrate a network, and quantize it with codes of its outputs too; `quant` are keys of QuantConfig."""
    soc = replace(compose_socs(["t41"], CONF)["t41"], float_outputs=False)
    graph = Graph(model)
    config = Config(soc=soc, quant=QuantConfig("int8", **quant))
    setup = place_quantizers(graph, soc, config.quant, None)
    statistics = collect(model, ((str(index), dict(feeds)) for index, feeds in enumerate(pictures)))
    features = choose_features(setup, graph, statistics, config)
    weights, codes = choose_weights(setup, graph, features, config)
    params = NetworkParams(features, weights)
    integer, _ = lower(model, soc, setup, params, codes)
    qdq = insert_quantizers(model, params, codes)
    ranges: Mapping[str, tuple[float, float]] = {name: (each.low, each.high) for name, each in statistics.items()}
    return QuantizedNetwork(qdq, integer, to_compiler_form(qdq, ranges)[0])
