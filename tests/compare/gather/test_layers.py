import numpy as np

from stages.compare.gather.layers import computed_in_integers, enclosing_layers, layer_tensors, node_names
from stages.core.graph.onnx_graph import Graph
from tests.networks import quantized_network, soc_config, tiny_classifier


def quantized(**quant):
    pictures = [{"images": np.random.default_rng(3).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}]
    return quantized_network(tiny_classifier(), pictures, soc_config("t40"), **quant)


def test_layers_of_the_tiny_network():
    """Two convolutions have their activation inside them, and Flatten passes codes on."""
    network = quantized()
    names = node_names(Graph(tiny_classifier()))
    assert layer_tensors(names, network.integer, network.params) == ["r1", "r2", "c3", "sum", "pooled", "logits"]
    assert enclosing_layers(network.integer) == {"c1": "r1", "c2": "r2"}


def test_layers_in_integers_compute_what_is_inside_them_too():
    tensors = {"c1", "r1", "c2", "r2", "c3", "sum", "pooled", "flat", "logits"}
    assert computed_in_integers(quantized().integer) & tensors == tensors
    assert computed_in_integers(quantized(skip_nodes=["stem", "stem_relu"]).integer) & tensors == tensors - {"c1", "r1"}
