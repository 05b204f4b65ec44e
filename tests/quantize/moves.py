"""A draft of a small network and what runs it piece by piece, for the tests of roundings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config.schema import Config, QuantConfig, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.collect import collect
from stages.quantize.candidate import Draft
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.partition.subgraphs import Piece, find_pieces, piece_model
from stages.quantize.quantizers.setup import place
from stages.quantize.rounding.replay import Replay

Feeds = Sequence[Mapping[str, NDArray[np.float32]]]


def draft_of(model: onnx.ModelProto, feeds: Feeds, soc: SocConfig, **quant: Any) -> Draft:
    """Quantize to the nearest, as the stage does it first."""
    graph = Graph(onnx.shape_inference.infer_shapes(model))
    config = Config(soc=soc, quant=QuantConfig("q", **quant))
    placement = place(graph, soc, config.quant)
    statistics = collect(graph.model, ((str(index), dict(each)) for index, each in enumerate(feeds)))
    features = choose_features(placement, graph, statistics, config)
    weights, codes = choose_weights(placement, graph, features, config)
    return Draft(graph, placement, soc, {f.tensor: f for f in features}, {w.node: w for w in weights}, codes)


def advance(draft: Draft, replay: Replay, piece: Piece) -> None:
    """Run one more piece on both sides."""
    replay.advance_float(piece, piece_model(draft.graph, piece))
    replay.advance_quantized(piece, draft.piece(piece), draft.made(piece))


def replay_until(draft: Draft, feeds: Feeds, tensor: str | None, folder: Path) -> Replay:
    """Run all pieces up to the one that makes `tensor`, or all."""
    replay = Replay(folder, feeds, draft.features)
    for piece in find_pieces(draft.graph, draft.placement.layers):
        if tensor in draft.graph.inputs:
            break
        advance(draft, replay, piece)
        if tensor in piece.outputs:
            break
    return replay
