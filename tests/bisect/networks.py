"""A network of fifty layers that quantizes well but for what a test plants."""

import numpy as np
import onnx

from tests.export.graphs import graph_model, node

LAYERS = 50


def chain(seed: int = 0) -> onnx.ModelProto:
    """Fifty layers: Conv, DepthwiseConv, LeakyRelu, Add in turns, input `images` [1, 3, 8, 8], output `y` [1, 6, 8, 8].

    Node `n<i>` computes tensor `t<i>`; an Add takes the input of its Conv too, so that much goes straight through.
    """
    rng = np.random.default_rng(seed)
    nodes, constants, tensor, shortcut = [], {}, "images", ""
    for i in range(LAYERS):
        output, channels = ("y" if i == LAYERS - 1 else f"t{i}"), 3 if i == 0 else 6
        match i % 4:
            case 0:
                constants[f"w{i}"] = rng.normal(0, channels**-0.5, (6, channels, 1, 1))
                nodes.append(node("Conv", [tensor, f"w{i}"], [output], f"n{i}"))
                shortcut = output if i == 0 else tensor
            case 1:
                constants[f"w{i}"] = rng.normal(0, 1 / 3, (6, 1, 3, 3))
                nodes.append(node("Conv", [tensor, f"w{i}"], [output], f"n{i}", pads=[1, 1, 1, 1], group=6))
            case 2:
                nodes.append(node("LeakyRelu", [tensor], [output], f"n{i}", alpha=0.3))
            case 3:
                nodes.append(node("Add", [tensor, shortcut], [output], f"n{i}"))
        tensor = output
    return onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 8, 8]}, ["y"], constants))
