"""Networks that the open T41 runtime accepts, quantized for it: a small classifier and a small detector."""

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.build.pluto.compiler_form import to_compiler_form
from tests.networks import Quantized, quantized_network, soc_config

SIZE = 16


def network(nodes, weights, output, *, low=-1.0, high=1.0):
    """Float network on `images` [1, 3, 16, 16]; `weights`: name -> shape, or its values."""
    rng = np.random.default_rng(0)
    constants = []
    for name, shape in weights.items():
        fan = float(np.prod(shape[1:])) if isinstance(shape, tuple) else 1.0
        values = rng.normal(0, fan**-0.5, shape).astype(np.float32) if isinstance(shape, tuple) else np.asarray(shape)
        constants.append(numpy_helper.from_array(values, name))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    pictures = [{"images": rng.uniform(low, high, (1, 3, SIZE, SIZE)).astype(np.float32)} for _ in range(4)]
    for picture in pictures:
        picture["images"].reshape(-1)[:2] = low, high
    return model, pictures


def conv(name, source, target, size=1, stride=1, group=1):
    pads = [size // 2] * 4
    inputs = [source, f"{name}/w", f"{name}/b"]
    kernel = {"kernel_shape": [size, size], "strides": [stride, stride], "pads": pads, "group": group}
    return helper.make_node("Conv", inputs, [target], name, **kernel)


def conv_weights(name, cout, cin, size=1):
    return {f"{name}/w": (cout, cin, size, size), f"{name}/b": (cout,)}


def quantized(model, pictures, **quant) -> Quantized:
    return quantized_network(model, pictures, soc_config("t41"), **quant)


def ranges(model, pictures):
    """The smallest and largest value of each output over the pictures."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    runs = [session.run(None, picture) for picture in pictures]
    return {
        name: (float(min(run[i].min() for run in runs)), float(max(run[i].max() for run in runs)))
        for i, name in enumerate(names)
    }


def classifier(softmax=False, **span):
    nodes = [
        conv("stem", "images", "c1", 3, 2),
        helper.make_node("Relu", ["c1"], ["r1"], "stem/relu"),
        conv("depthwise", "r1", "c2", 3, group=8),
        helper.make_node("Clip", ["c2", "zero", "six"], ["r2"], "depthwise/relu6"),
        conv("project", "r2", "c3"),
        helper.make_node("Add", ["r1", "c3"], ["sum"], "residual"),
        conv("last", "sum", "c4"),
        helper.make_node("Relu", ["c4"], ["r4"], "last/relu"),
        helper.make_node("GlobalAveragePool", ["r4"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "fc/w", "fc/b"], ["logits"], "fc", transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax"))
    weights = conv_weights("stem", 8, 3, 3) | conv_weights("depthwise", 8, 1, 3) | conv_weights("project", 8, 8)
    weights |= conv_weights("last", 16, 8) | {"fc/w": (3, 16), "fc/b": (3,)}
    weights |= {"zero": np.float32(0), "six": np.float32(6)}
    return network(nodes, weights, "probabilities" if softmax else "logits", **span)


def silu(name, source, target):
    return [
        helper.make_node("Sigmoid", [source], [f"{target}/gate"], f"{name}/sigmoid"),
        helper.make_node("Mul", [source, f"{target}/gate"], [target], f"{name}/mul"),
    ]


def detector(**span):
    quarters = ((0, 0), (1, 0), (0, 1), (1, 1))
    nodes = [
        helper.make_node("Slice", ["images", f"start{i}", "end", "axes", "steps"], [f"q{i}"], f"slice{i}")
        for i in range(4)
    ]
    nodes += [
        helper.make_node("Concat", [f"q{i}" for i in range(4)], ["focus"], "focus", axis=1),
        conv("stem", "focus", "c1", 3),
        *silu("stem", "c1", "s1"),
        helper.make_node("MaxPool", ["s1"], ["m1"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("deep", "m1", "c2"),
        *silu("deep", "c2", "s2"),
        helper.make_node("Resize", ["s2", "", "twice"], ["up"], "up", mode="nearest"),
        helper.make_node("Concat", ["up", "s1"], ["joined"], "join", axis=1),
        conv("boxes", "joined", "box"),
        conv("scores", "joined", "raw"),
        helper.make_node("Sigmoid", ["raw"], ["score"], "score"),
        helper.make_node("Concat", ["box", "score"], ["output"], "tail", axis=1),
    ]
    nodes[nodes.index(next(node for node in nodes if node.name == "up"))].attribute.extend(
        [
            helper.make_attribute("coordinate_transformation_mode", "asymmetric"),
            helper.make_attribute("nearest_mode", "floor"),
        ]
    )
    weights = conv_weights("stem", 8, 12, 3) | conv_weights("deep", 8, 8)
    weights |= conv_weights("boxes", 4, 16) | conv_weights("scores", 2, 16)
    weights |= {f"start{i}": np.array(quarter, np.int64) for i, quarter in enumerate(quarters)}
    weights |= {"end": np.array([SIZE, SIZE]), "axes": np.array([2, 3]), "steps": np.array([2, 2])}
    weights |= {"twice": np.array([1, 1, 2, 2], np.float32)}
    return network(nodes, weights, "output", **span)


def cut_detector(**span):
    """The detector as export leaves it: it ends at its last convolutions."""
    model, pictures = detector(**span)
    del model.graph.node[-2:]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("box", "raw"))
    return onnx.shape_inference.infer_shapes(model), pictures


@cache
def accepted(kind: str) -> onnx.ModelProto:
    """The converted network; a copy of it is the test's to change."""
    network = {"classifier": classifier, "detector": detector, "cut detector": cut_detector}[kind]
    model, pictures = network(high=127 / 128)  # the input's zero point is 0
    return to_compiler_form(quantized(model, pictures).qdq, ranges(model, pictures))[0]
