import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from stages.export.canonical import canonicalize
from stages.export.cut import find_cut
from stages.export.normalization import MAX_NORMS, located, onnx_norms, to_json, torch_norms

GAMMA, BETA = [0.5, -2.0], [0.25, 1.0]


def network(constant=True):
    """Convolution, batch norm, Relu, batch norm on [1, 3, 4, 4]; `constant=False`: beta of the first is fed."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["n"], "norm"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("BatchNormalization", ["r", "gamma", "beta2", "mean", "var"], ["y"], "last"),
    ]
    arrays = {
        "w": rng.normal(0, 1, (2, 3, 1, 1)), "gamma": GAMMA, "beta": BETA, "beta2": [3.0, 4.0], "mean": [0.5, -0.5],
        "var": [4.0, 0.25],
    }  # fmt: skip
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])]
    if not constant:
        del arrays["beta"]
        inputs.append(helper.make_tensor_value_info("beta", TensorProto.FLOAT, [2]))
    stored = [numpy_helper.from_array(np.array(value, dtype=np.float32), name) for name, value in arrays.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def feeds():
    return {"x": np.random.default_rng(1).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)}


def test_what_training_gave_is_found_after_folding():
    model = network()
    exported = canonicalize(model, find_cut(model, [], []))
    assert "BatchNormalization" not in [node.op_type for node in exported.graph.node]
    found = to_json(located(onnx_norms(model, feeds()), exported, feeds()))
    made = {node.output[0]: node.op_type for node in exported.graph.node}
    assert [(made[entry["tensor"]], entry["mean"], entry["deviation"]) for entry in found] == [
        ("Conv", [0.25, 1.0], [0.5, 2.0]),
        ("Conv", [3.0, 4.0], [0.5, 2.0]),
    ]


def test_a_norm_without_constants_is_left_out():
    given = feeds() | {"beta": np.array(BETA, dtype=np.float32)}
    assert [norm.mean.tolist() for norm in onnx_norms(network(constant=False), given)] == [[3.0, 4.0]]


def test_a_tensor_of_other_values_is_not_taken():
    model = network()
    norms = onnx_norms(model, feeds())
    other = onnx.ModelProto()
    other.CopyFrom(model)
    next(tensor for tensor in other.graph.initializer if tensor.name == "w").CopyFrom(
        numpy_helper.from_array(np.ones((2, 3, 1, 1), dtype=np.float32), "w")
    )
    assert located(norms, other, feeds()) == {}


def test_a_network_without_norms_has_none():
    nodes = [helper.make_node("Relu", ["x"], ["y"], "relu")]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", infos[:1], infos[1:]))
    assert onnx_norms(model, {}) == []
    assert located([], model, {}) == {}


@pytest.mark.parametrize("inplace", [False, True])
def test_a_module_gives_its_norms_as_they_run(inplace):
    torch.manual_seed(0)
    first, second = torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2)
    with torch.no_grad():
        second.weight.copy_(torch.tensor(GAMMA))
        second.bias.copy_(torch.tensor(BETA))
    module = torch.nn.Sequential(second, torch.nn.ReLU(inplace=inplace), first).eval()
    x = np.random.default_rng(0).normal(0, 1, (1, 2, 3, 3)).astype(np.float32)
    norms = torch_norms(module, [x])
    assert [norm.mean.tolist() for norm in norms] == [BETA, [0.0, 0.0]]
    assert [norm.deviation.tolist() for norm in norms] == [[0.5, 2.0], [1.0, 1.0]]
    factors = np.array(GAMMA, dtype=np.float32).reshape(2, 1, 1) / np.sqrt(np.float32(1 + 1e-5))
    np.testing.assert_allclose(norms[0].output[0], x[0] * factors + np.reshape(BETA, (2, 1, 1)), rtol=1e-5, atol=1e-6)
    assert not second._forward_hooks


def test_only_the_first_are_noted():
    module = torch.nn.Sequential(*(torch.nn.BatchNorm2d(2) for _ in range(MAX_NORMS + 2))).eval()
    assert len(torch_norms(module, [np.zeros((1, 2, 3, 3), dtype=np.float32)])) == MAX_NORMS
