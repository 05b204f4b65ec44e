"""Networks of which a part is quantized, and what is known of them."""

import numpy as np
import onnx
from onnx import numpy_helper

from stages.compare.gather.networks import PartialNetworks
from stages.compare.gather.partial.feature_network import feature_network
from stages.compare.gather.partial.isolated_network import isolated_network
from stages.core.config.schema import Config, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.network_params import NetworkParams
from stages.core.statistics.collect import collect
from stages.quantize.emit.lower import lower
from stages.quantize.emit.prepared import prepared_model
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.equalize.cross_layer import equalize
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.quantizers.placement import place_quantizers
from tests.export.graphs import graph_model, node
from tests.networks import soc_config


def pictures(count=3, channels=3, size=16):
    rng = np.random.default_rng(0)
    return [{"images": rng.normal(0, 1, (1, channels, size, size)).astype(np.float32)} for _ in range(count)]


def rounded(values, feature):
    """Quantize and dequantize by the definition in docs/artifacts.md; float64 but for the division."""
    scales = np.array(feature.channel_scales or [feature.scale], dtype=np.float32)
    step = scales.reshape(-1, *[1] * (values.ndim - 2)) if len(scales) > 1 else scales[0]
    codes = np.clip(np.rint(values.astype(np.float32) / step) + feature.zero_point, 0, 2**feature.bits - 1)
    return (codes - feature.zero_point) * step.astype(np.float64)


def partial_networks(network, reference):
    """Networks quantized in part; the weights' is the float network."""
    graph = Graph(reference)
    return PartialNetworks(
        isolated_network(network.qdq, network.integer, graph, network.params),
        feature_network(network.qdq, graph, network.params),
        reference,
    )


def features_of(network):
    return {feature.tensor: feature for feature in network.params.features}


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def values_of(model, feeds, tensors):
    return Runner(with_outputs(model, tensors), optimize="none").run(feeds)


def equalized():
    """Channels of very different size, a sum with a constant between: scaled, its features quantized."""
    rng = np.random.default_rng(5)
    ranges = 2.0 ** np.arange(-3, 5, dtype=np.float32)
    given = {
        "w1": (rng.normal(0, 1, (8, 3, 3, 3)) * ranges[:, None, None, None]).tolist(),
        "b1": (rng.normal(0, 1, 8) * ranges).tolist(),
        "k": (rng.random((8, 1, 1)) * ranges[:, None, None]).tolist(),
        "w2": (rng.normal(0, 1, (4, 8, 1, 1)) / ranges[None, :, None, None]).tolist(),
    }
    nodes = [
        node("Conv", ["images", "w1", "b1"], ["c1"], "first"),
        node("Relu", ["c1"], ["r1"], "relu"),
        node("Add", ["r1", "k"], ["s"], "add"),
        node("Conv", ["s", "w2"], ["y"], "second"),
    ]
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 16, 16]}, ["y"], given))
    fed = [(str(index), feeds) for index, feeds in enumerate(pictures())]
    result = equalize(model, collect(model, fed), 8, 8)
    graph, config = Graph(result.model), Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    setup = place_quantizers(graph, config.soc, config.quant)
    features = choose_features(setup, graph, collect(result.model, fed), config)
    chosen, codes = choose_weights(setup, graph, features, config)
    params = NetworkParams(features, chosen, (), {name: tuple(map(float, f)) for name, f in result.factors.items()})
    integer, _ = lower(result.model, config.soc, setup, params, codes)
    qdq = insert_quantizers(result.model, params, codes)
    one_sided = insert_quantizers(result.model, NetworkParams(features, []), {})
    return model, params, integer, qdq, one_sided, prepared_model(result.model, params, codes), result.model
