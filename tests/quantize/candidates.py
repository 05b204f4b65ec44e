"""Candidates of small networks, and the functions that run and measure them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INPUTS
from stages.core.config.schema import Config, QuantConfig, SocConfig
from stages.core.data.inputs import NetworkInput, feeds, load_inputs
from stages.core.data.sample_store import SampleReader, correction_samples, validation_samples
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.collect import collect
from stages.quantize.candidate import Candidate
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.partition.subgraphs import Subgraph, layer_subgraphs, subgraph_model
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.rounding.replay import Replay
from stages.quantize.validation import Validator
from tests.networks import relative_error, soc_config

Feeds = Sequence[Mapping[str, NDArray[np.float32]]]


# --- a network in memory


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


# --- the project of the fixture `calibrated`


def inputs() -> list[NetworkInput]:
    return load_inputs(INPUTS)


def fed(samples: SampleReader) -> list[dict[str, NDArray[np.float32]]]:
    """Network inputs of all pictures of a set."""
    return [feeds(sample, inputs()) for sample in samples]


def new_candidate(**quant: Any) -> Candidate:
    return candidate_of(onnx.load(FLOAT_MODEL), fed(correction_samples(CALIBSET)), soc_config("t40"), **quant)


def validator() -> Validator:
    return Validator(onnx.load(FLOAT_MODEL), inputs(), validation_samples(CALIBSET))


def plain_error(integer: bytes) -> float:
    """Of the output on the validation pictures: squared error over the float output's variance."""
    sides = Runner(FLOAT_MODEL), Runner(simulator_model(onnx.load_from_string(integer), ["logits"]), optimize="safe")
    expected, actual = ([side.run(given)["logits"] for given in fed(validation_samples(CALIBSET))] for side in sides)
    return relative_error(expected, actual)
