"""A candidate of a small network and what runs it subgraph by subgraph, for the tests of roundings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config.schema import Config, QuantConfig, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.collect import collect
from stages.quantize.candidate import Candidate
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.partition.subgraphs import Subgraph, layer_subgraphs, subgraph_model
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.rounding.replay import Replay

Feeds = Sequence[Mapping[str, NDArray[np.float32]]]


def candidate_of(model: onnx.ModelProto, feeds: Feeds, soc: SocConfig, **quant: Any) -> Candidate:
    """Quantize to the nearest, as the stage does it first."""
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    config = Config(soc=soc, quant=QuantConfig("q", **quant))
    setup = place_quantizers(graph, soc, config.quant)
    statistics = collect(graph.model, ((str(index), dict(each)) for index, each in enumerate(feeds)))
    features = choose_features(setup, graph, statistics, config)
    weights, codes = choose_weights(setup, graph, features, config)
    return Candidate(graph, setup, soc, {f.tensor: f for f in features}, {w.node: w for w in weights}, codes)


def advance(candidate: Candidate, replay: Replay, subgraph: Subgraph) -> None:
    """Run one more subgraph on both sides."""
    replay.advance_float(subgraph, subgraph_model(candidate.graph, subgraph))
    replay.advance_quantized(subgraph, candidate.subgraph(subgraph), candidate.features_of(subgraph))


def replay_until(candidate: Candidate, feeds: Feeds, tensor: str | None, folder: Path) -> Replay:
    """Run all subgraphs up to the one that makes `tensor`, or all."""
    replay = Replay(folder, feeds, candidate.features)
    for subgraph in layer_subgraphs(candidate.graph, candidate.setup.layers):
        if tensor in candidate.graph.inputs:
            break
        advance(candidate, replay, subgraph)
        if tensor in subgraph.outputs:
            break
    return replay
