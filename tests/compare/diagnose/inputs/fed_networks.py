"""Networks that were trained on pictures fed one way, to feed another way."""

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput

TRAINED = NetworkInput("x", (1, 3, 12, 12), (127.0,) * 3, (128.0,) * 3, Color.RGB)


def no_labels():
    return None


def pictures(count, seed):
    """Pictures of red ground and dark blue, uint8 [12, 12, 3], of different brightness."""
    rng = np.random.default_rng(seed)
    level = np.array([150.0, 110.0, 70.0])
    shots = (level * rng.uniform(0.8, 1.2) + rng.normal(0, 45, (12, 12, 3)) for _ in range(count))
    return [np.clip(shot, 0, 255).astype(np.uint8) for shot in shots]


def network(seed):
    """A 1x1 convolution to 16 channels, `c`, and their means over the picture as logits, `y`; its weight."""
    rng = np.random.default_rng(seed)
    value = rng.normal(0, 1, (16, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["y"], "flat"),
    ]
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 12, 12])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16])]
    graph = helper.make_graph(nodes, "g", infos, outputs, [numpy_helper.from_array(value, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), value[:, :, 0, 0]


def training(weight, seed):
    """What a batch norm behind the convolution saw in training, on other pictures, fed as `TRAINED`."""
    pixels = (np.array(pictures(64, seed), dtype=np.float64).reshape(-1, 3) - 127) / 128
    values = pixels @ weight.T.astype(np.float64)
    return [{"tensor": "c", "mean": values.mean(axis=0).tolist(), "deviation": values.std(axis=0).tolist()}]


def stored(samples, network_input):
    """Samples as calibset stores them for an input of that colour."""
    return [sample[:, :, ::-1] if network_input.color is Color.BGR else sample for sample in samples]


def changed(color=Color.RGB, mean=127.0, normal=128.0):
    return replace(TRAINED, color=color, mean=(mean,) * 3, normal=(normal,) * 3)
