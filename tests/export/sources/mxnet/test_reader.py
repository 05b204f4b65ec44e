"""Whole networks, one of them a residual network written out of PyTorch's weights."""

import json

import numpy as np
import onnx
import pytest
import torch

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.data.model_files import with_format
from stages.export.sources.mxnet.reader import read_mxnet
from stages.export.sources.mxnet.symbol import read_symbol
from tests.export.graphs import run_onnx
from tests.export.sources.mxnet.writing import Net, files, params, read

VALUE = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)


class Block(torch.nn.Module):
    """A basic block of a residual network, version 1."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(outputs)
        self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(outputs)
        self.shortcut = torch.nn.Identity()
        if stride > 1:
            down = torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = torch.nn.Sequential(down, torch.nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


@pytest.fixture(scope="module")
def residual():
    """conv, bn, relu, pool, two blocks, pool, dense: ResNet-18 in small."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(3, 2, 1),
        Block(8, 8, 1),
        Block(8, 12, 2),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 5),
    ).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for values in (part.weight.data, part.bias.data, part.running_mean):
                values.normal_()
            part.running_var.uniform_(0.5, 2)
    return module


def written(module):
    """The module as Gluon writes it."""
    net = Net()

    def convolution(name, part, value):
        size, stride, pad = part.kernel_size, part.stride, part.padding
        settings = {"kernel": size, "stride": stride, "pad": pad, "num_filter": part.out_channels, "no_bias": True}
        return net.weighted("Convolution", name, value, part.weight.detach().numpy(), **settings)

    def norm(name, part, value):
        arrays = (part.weight, part.bias, part.running_mean, part.running_var)
        return net.batch_norm(name, value, *(a.detach().numpy() for a in arrays), eps=part.eps, fix_gamma=False)

    def block(name, part, value):
        inner = norm(f"{name}_bn0", part.bn1, convolution(f"{name}_conv0", part.conv1, value))
        inner = net.add("Activation", f"{name}_relu0", inner, act_type="relu")
        inner = norm(f"{name}_bn1", part.bn2, convolution(f"{name}_conv1", part.conv2, inner))
        if isinstance(part.shortcut, torch.nn.Sequential):
            value = norm(f"{name}_bn2", part.shortcut[1], convolution(f"{name}_conv2", part.shortcut[0], value))
        return net.add(
            "Activation", f"{name}_relu1", net.add("elemwise_add", f"{name}_add", inner, value), act_type="relu"
        )

    value = norm("bn", module[1], convolution("conv", module[0], net.variable("data")))
    value = net.add("Activation", "relu", value, act_type="relu")
    value = net.add("Pooling", "pool", value, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    value = block("stage2", module[5], block("stage1", module[4], value))
    value = net.add(
        "Flatten", "flat", net.add("Pooling", "last", value, kernel=(1, 1), global_pool=True, pool_type="avg")
    )
    dense = module[8]
    arrays = [dense.weight.detach().numpy(), dense.bias.detach().numpy()]
    value = net.weighted("FullyConnected", "dense", value, *arrays, num_hidden=5)
    return net, net.add("SoftmaxOutput", "prob", value, net.variable("prob_label"))


def test_a_residual_network_computes_what_pytorch_computes(residual, capsys):
    model = read(*written(residual), shape=[1, 3, 16, 16])
    onnx.checker.check_model(model, full_check=True)
    assert [info.name for info in model.graph.input] == ["data"]
    assert [info.name for info in model.graph.output] == ["prob"]
    assert "stage2_conv2" in [node.name for node in model.graph.node]
    assert "is read without MXNet: no other runtime has checked how" in capsys.readouterr().err
    expected = residual(torch.from_numpy(VALUE)).softmax(1).detach().numpy()
    np.testing.assert_allclose(run_onnx(model, {"data": VALUE})[0], expected, rtol=1e-4, atol=1e-6)


def test_a_network_ends_where_the_config_says(residual):
    model = read(*written(residual), shape=[1, 3, 16, 16], outputs=["dense"])
    expected = residual(torch.from_numpy(VALUE)).detach().numpy()
    np.testing.assert_allclose(run_onnx(model, {"data": VALUE})[0], expected, rtol=1e-4, atol=1e-5)


def test_the_same_files_give_the_same_bytes(residual):
    first, second = (
        read(*written(residual), shape=[1, 3, 16, 16]).SerializeToString(deterministic=True) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("key", ["attr", "param", "attrs"])
def test_attributes_of_every_age(key):
    net = Net(key)
    head = net.add("_plus_scalar", "out", net.variable("data", __shape__="(1L, 3L)"), scalar=2)
    found = run_onnx(read(net, head), {"data": np.ones((1, 3), np.float32)})[0]
    np.testing.assert_array_equal(found, [[3, 3, 3]])


def test_states_of_a_batch_norm_that_are_no_inputs():
    """As MXNet wrote it before 0.9."""
    net = Net("param")
    arrays = [net.variable(f"bn_{label}", np.full(3, number)) for label, number in (("gamma", 2.0), ("beta", 1.0))]
    head = net.add("BatchNorm", "bn", net.variable("data"), *arrays, fix_gamma=False, eps=0)
    net.arrays |= {"aux:bn_moving_mean": np.full(3, 3, np.float32), "aux:bn_moving_var": np.full(3, 4, np.float32)}
    found = run_onnx(read(net, head, shape=[1, 3], form="legacy"), {"data": np.full((1, 3), 5, np.float32)})[0]
    np.testing.assert_allclose(found, np.full((1, 3), 2 * (5 - 3) / 2 + 1))


def test_names_that_are_there_twice_are_told_apart():
    net = Net()
    first = net.add("_plus_scalar", "same", net.variable("data"), scalar=2)
    head = net.add("_mul_scalar", "same", first, scalar=3)
    found = run_onnx(read(net, head, shape=[1, 1]), {"data": np.ones((1, 1), np.float32)})[0]
    assert found == 9


def test_an_input_without_a_shape_or_a_missing_array_is_said():
    net = Net()
    head = net.add(
        "Convolution", "conv", net.variable("data"), net.variable("conv_wieght"), kernel=(1, 1), no_bias=True
    )
    net.arrays["arg:conv_weight"] = np.zeros((1, 3, 1, 1), np.float32)
    with pytest.raises(UserError, match=r"^model\.inputs: net-symbol\.json says no shape of 'data': give .*224\]$"):
        read(net, head)
    with pytest.raises(
        UserError, match=r"no shape of 'conv_wieght': .*net-0000\.params lacks it \(did you mean 'conv_weight'\?\)"
    ):
        read(net, head, shape=[1, 3, 4, 4])


@pytest.mark.parametrize(
    "content", [b"", b"text", b"[]", b'{"nodes": [{"op": "null"}]}', b'{"nodes": [], "heads": [[3, 0]]}']
)
def test_what_is_no_symbol_is_refused(content):
    with pytest.raises(UserError, match=r"^net-symbol\.json is no symbol file of MXNet, or damaged$"):
        read_symbol(content, "net-symbol.json")


def test_a_symbol_without_operators_is_refused():
    content = json.dumps({"nodes": [], "heads": []}).encode()
    with pytest.raises(UserError, match="is no network: it has no operators"):
        read_symbol(content, "net-symbol.json")


def test_files_of_two_networks_are_refused():
    net = Net()
    head = net.weighted(
        "Convolution", "conv", net.variable("data"), np.zeros((2, 3, 1, 1)), kernel=(1, 1), no_bias=True
    )
    taken = files(net, head)
    other = params({"arg:dense_weight": np.zeros(1, np.float32)})
    mixed = with_format([SourceFile("other.params", lambda: other), *taken.others])
    config = ModelConfig(name="net", inputs=[InputConfig(shape=[1, 3, 4, 4])])
    with pytest.raises(UserError, match=r"no shape of 'conv_weight': .* other\.params lacks it"):
        read_mxnet(config, mixed)
