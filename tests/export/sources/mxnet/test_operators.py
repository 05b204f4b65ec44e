"""Every operator against PyTorch, which computes the same with code of its own, or against values by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.core.base.errors import UserError
from tests.export.graphs import run_onnx
from tests.export.sources.mxnet.writing import Net, read

random = np.random.default_rng(0)


def array(*shape):
    return random.normal(size=shape).astype(np.float32)


X = array(1, 4, 6, 7)
W, B = array(6, 2, 3, 2), array(6)
SQUARE, FOUR = array(4, 2, 4, 4), array(4)
MEAN, VARIANCE = array(4), np.abs(array(4)) + 0.5
FULL, LAST = array(5, 168), array(5, 7)
STEEP = np.full(4, 0.25, np.float32)


def tensor(*values):
    found = [torch.from_numpy(value) for value in values]
    return found[0] if len(found) == 1 else found


def weighted(kind, *arrays, labels=("weight", "bias"), **attributes):
    return lambda net, x: net.weighted(kind, "out", x, *arrays, labels=labels, **attributes)


def plain(kind, **attributes):
    return lambda net, x: net.add(kind, "out", x, **attributes)


def twice(kind):
    """An operator of the input and of the input plus 2."""
    return lambda net, x: net.add(kind, "out", x, net.add("_plus_scalar", "more", x, scalar=2))


def t(function):
    return lambda: function(torch.from_numpy(X))


CASES = {
    "convolution": (
        weighted("Convolution", W, B, kernel=(3, 2), stride=(2, 1), pad=(1, 0), num_filter=6, num_group=2),
        t(lambda x: functional.conv2d(x, *tensor(W, B), stride=(2, 1), padding=(1, 0), groups=2)),
    ),
    "dilated convolution without bias": (
        weighted("Convolution", array(2, 4, 3, 3) * 0 + 0.1, kernel="(3, 3)", dilate=(2, 2), no_bias=True),
        t(lambda x: functional.conv2d(x, torch.full((2, 4, 3, 3), 0.1), dilation=2)),
    ),
    "deconvolution": (
        weighted("Deconvolution", SQUARE, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=2),
        t(lambda x: functional.conv_transpose2d(x, tensor(SQUARE), stride=2, padding=1)),
    ),
    "deconvolution with bias, groups and adj": (
        weighted(
            "Deconvolution",
            SQUARE,
            FOUR,
            kernel=(4, 4),
            stride=(3, 3),
            pad=(1, 1),
            adj=(1, 1),
            num_group=2,
            no_bias=False,
        ),
        t(
            lambda x: functional.conv_transpose2d(
                x, *tensor(SQUARE, FOUR), stride=3, padding=1, output_padding=1, groups=2
            )
        ),
    ),
    "deconvolution to a size": (
        weighted("Deconvolution", SQUARE, kernel=(4, 4), stride=(2, 2), target_shape=(12, 14)),
        t(lambda x: functional.conv_transpose2d(x, tensor(SQUARE), stride=2, padding=1)),
    ),
    "fully connected": (
        weighted("FullyConnected", FULL, np.ones(5), num_hidden=5),
        t(lambda x: x.flatten(1) @ tensor(FULL).T + 1),
    ),
    "fully connected of the last axis": (
        weighted("FullyConnected", LAST, np.ones(5), num_hidden=5, flatten=False),
        t(lambda x: x @ tensor(LAST).T + 1),
    ),
    "batch norm": (
        lambda net, x: net.batch_norm("out", x, FOUR, B[:4], MEAN, VARIANCE, eps=1e-3, fix_gamma=False),
        t(lambda x: functional.batch_norm(x, *tensor(MEAN, VARIANCE, FOUR, B[:4]), eps=1e-3)),
    ),
    "batch norm with gamma 1 and the default eps": (
        lambda net, x: net.batch_norm("out", x, FOUR, B[:4], MEAN, VARIANCE),
        t(lambda x: functional.batch_norm(x, *tensor(MEAN, VARIANCE), bias=tensor(B[:4]), eps=1e-3)),
    ),
    "instance norm": (
        weighted("InstanceNorm", FOUR, MEAN, labels=("gamma", "beta"), eps=0.01),
        t(lambda x: functional.instance_norm(x, weight=tensor(FOUR), bias=tensor(MEAN), eps=0.01)),
    ),
    "layer norm": (
        weighted("LayerNorm", LAST[0], LAST[1], labels=("gamma", "beta")),
        t(lambda x: functional.layer_norm(x, (7,), *tensor(LAST[0], LAST[1]))),
    ),
    "l2 over channels": (plain("L2Normalization", mode="channel"), t(lambda x: functional.normalize(x, dim=1))),
    "l2 over all": (plain("L2Normalization"), t(lambda x: x / x.norm())),
    "lrn": (
        plain("LRN", nsize=3, alpha=0.5, beta=0.6, knorm=1.5),
        t(lambda x: functional.local_response_norm(x, 3, alpha=0.5, beta=0.6, k=1.5)),
    ),
    "max pooling": (
        plain("Pooling", kernel=(3, 3), stride=(2, 2), pad=(1, 1)),
        t(lambda x: functional.max_pool2d(x, 3, 2, 1)),
    ),
    "max pooling, full": (
        plain("Pooling", kernel=(2, 2), stride=(2, 2), pooling_convention="full"),
        t(lambda x: functional.max_pool2d(x, 2, 2, ceil_mode=True)),
    ),
    "average pooling, full, with padding": (
        plain("Pooling", kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", pooling_convention="full"),
        t(lambda x: functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True)),
    ),
    "average pooling that leaves padding out": (
        plain("Pooling", kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False),
        t(lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
    ),
    "global pooling": (
        plain("Pooling", kernel=(2, 2), global_pool=True, pool_type="avg"),
        t(lambda x: x.mean((2, 3), keepdim=True)),
    ),
    "adaptive pooling": (
        plain("_contrib_AdaptiveAvgPooling2D", output_size=(3, 1)),
        t(lambda x: functional.adaptive_avg_pool2d(x, (3, 1))),
    ),
    "relu": (plain("Activation", act_type="relu"), t(torch.relu)),
    "softrelu": (plain("Activation", act_type="softrelu"), t(functional.softplus)),
    "leaky relu": (plain("LeakyReLU", act_type="leaky", slope=0.1), t(lambda x: functional.leaky_relu(x, 0.1))),
    "rrelu": (
        plain("LeakyReLU", act_type="rrelu", lower_bound=0.1, upper_bound=0.3),
        t(lambda x: functional.leaky_relu(x, 0.2)),
    ),
    "elu": (plain("LeakyReLU", act_type="elu", slope=0.5), t(lambda x: functional.elu(x, 0.5))),
    "selu": (plain("LeakyReLU", act_type="selu"), t(torch.selu)),
    "gelu": (plain("LeakyReLU", act_type="gelu"), t(functional.gelu)),
    "prelu": (
        weighted("LeakyReLU", STEEP * np.arange(4), labels=("gamma",), act_type="prelu"),
        t(lambda x: functional.prelu(x, tensor((STEEP * np.arange(4)).astype(np.float32)))),
    ),
    "hard sigmoid": (plain("hard_sigmoid"), t(lambda x: (0.2 * x + 0.5).clamp(0, 1))),
    "clip": (plain("clip", a_min=-0.5, a_max=1), t(lambda x: x.clamp(-0.5, 1))),
    "square": (plain("square"), t(torch.square)),
    "softmax": (plain("softmax", temperature=2.0), t(lambda x: (x / 2).softmax(-1))),
    "log softmax": (plain("log_softmax", axis=1), t(lambda x: x.log_softmax(1))),
    "softmax over channels": (plain("SoftmaxActivation", mode="channel"), t(lambda x: x.softmax(1))),
    "softmax over all": (plain("SoftmaxActivation"), t(lambda x: x.flatten(1).softmax(1).reshape(x.shape))),
    "dropout": (plain("Dropout", p=0.5), t(lambda x: x)),
    "sum": (twice("broadcast_add"), t(lambda x: 2 * x + 2)),
    "difference": (twice("elemwise_sub"), t(lambda x: torch.full_like(x, -2))),
    "product": (twice("_mul"), t(lambda x: x * (x + 2))),
    "quotient": (twice("_Div"), t(lambda x: x / (x + 2))),
    "maximum": (twice("_maximum"), t(lambda x: x + 2)),
    "sum of several": (
        lambda net, x: net.add("add_n", "out", x, net.add("_mul_scalar", "more", x, scalar=2), x),
        t(lambda x: 4 * x),
    ),
    "minus a number": (plain("_minus_scalar", scalar=127.5), t(lambda x: x - 127.5)),
    "a number minus": (plain("_rminus_scalar", scalar=1), t(lambda x: 1 - x)),
    "a number by": (plain("_RDivScalar", scalar=3), t(lambda x: 3 / x)),
    "power": (plain("_power_scalar", scalar=2), t(lambda x: x**2)),
    "mean": (plain("mean", axis=(2, 3), keepdims=True), t(lambda x: x.mean((2, 3), keepdim=True))),
    "sum of the other axes": (plain("sum", axis=1, exclude=True), t(lambda x: x.sum((0, 2, 3)))),
    "max of all": (plain("max"), t(lambda x: x.max())),
    "concat": (
        lambda net, x: net.add("Concat", "out", x, x, dim=2, num_args=2),
        t(lambda x: torch.cat([x, x], 2)),
    ),
    "stack": (lambda net, x: net.add("stack", "out", x, x, axis=1), t(lambda x: torch.stack([x, x], 1))),
    "split": (
        lambda net, x: net.add("SliceChannel", "out", x, num_outputs=2, axis=1, output=1),
        t(lambda x: x[:, 2:]),
    ),
    "split without the axis": (
        lambda net, x: net.add("split", "out", x, num_outputs=4, axis=1, squeeze_axis=True, output=3),
        t(lambda x: x[:, 3]),
    ),
    "flatten": (plain("Flatten"), t(lambda x: x.flatten(1))),
    "transpose": (plain("transpose", axes=(0, 2, 3, 1)), t(lambda x: x.permute(0, 2, 3, 1))),
    "swap": (plain("SwapAxis", dim1=1, dim2=3), t(lambda x: x.transpose(1, 3))),
    "expand": (plain("expand_dims", axis=1), t(lambda x: x.unsqueeze(1))),
    "squeeze": (plain("squeeze", axis=0), t(lambda x: x.squeeze(0))),
    "slice of an axis": (plain("slice_axis", axis=2, begin=1, end=-1), t(lambda x: x[:, :, 1:-1])),
    "slice to the end": (plain("slice_axis", axis=3, begin=2, end=None), t(lambda x: x[..., 2:])),
    "slice": (plain("slice", begin="(None, 1)", end="(None, 3)"), t(lambda x: x[:, 1:3])),
    "slice like": (
        lambda net, x: net.add(
            "slice_like", "out", x, net.add("Pooling", "p", x, kernel=(2, 2), stride=(2, 2)), axes=(2, 3)
        ),
        t(lambda x: x[:, :, :3, :3]),
    ),
    "crop": (
        lambda net, x: net.add(
            "Crop", "out", x, net.add("Pooling", "p", x, kernel=(2, 2), stride=(2, 2)), offset=(1, 2)
        ),
        t(lambda x: x[:, :, 1:4, 2:5]),
    ),
    "centred crop": (plain("Crop", h_w=(2, 3), center_crop=True), t(lambda x: x[:, :, 2:4, 2:5])),
    "pad": (
        plain("Pad", mode="constant", constant_value=3, pad_width=(0, 0, 0, 0, 1, 2, 0, 3)),
        t(lambda x: functional.pad(x, (0, 3, 1, 2), value=3)),
    ),
    "pad by reflection": (
        plain("pad", mode="reflect", pad_width=(0, 0, 0, 0, 1, 2, 0, 3)),
        t(lambda x: functional.pad(x, (0, 3, 1, 2), mode="reflect")),
    ),
    "tile": (plain("tile", reps=(2, 1)), t(lambda x: x.repeat(1, 1, 2, 1))),
    "nearest": (
        plain("UpSampling", scale=2, sample_type="nearest", num_args=1),
        t(lambda x: functional.interpolate(x, scale_factor=2, mode="nearest")),
    ),
    "bilinear, corners on corners": (
        plain("_contrib_BilinearResize2D", height=9, width=5),
        t(lambda x: functional.interpolate(x, (9, 5), mode="bilinear", align_corners=True)),
    ),
    "bilinear by weights": (
        weighted("UpSampling", SQUARE[:, :1], scale=2, sample_type="bilinear", num_args=2),
        t(lambda x: functional.conv_transpose2d(x, tensor(SQUARE[:, :1]), stride=2, padding=1, groups=4)),
    ),
    "matrices": (
        lambda net, x: net.add("batch_dot", "out", x, x, transpose_b=True),
        t(lambda x: x @ x.transpose(-1, -2)),
    ),
}


def network(build):
    net = Net()
    return net, build(net, net.variable("data"))


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_pytorch_computes(name):
    build, expected = CASES[name]
    model = read(*network(build), shape=list(X.shape))
    (found,) = run_onnx(model, {"data": X})
    np.testing.assert_allclose(found, expected().numpy(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("shape", "codes", "reverse", "expected"),
    [
        # MXNet's documentation of Reshape
        ((2, 3, 4), "(4, 0, 2)", False, (4, 3, 2)),
        ((2, 3, 4), "(6, 1, -1)", False, (6, 1, 4)),
        ((2, 3, 4), "(3, -1, 8)", False, (3, 1, 8)),
        ((2, 3, 4), "(-1,)", False, (24,)),
        ((2, 3, 4), "(-2,)", False, (2, 3, 4)),
        ((2, 3, 4), "(2, -2)", False, (2, 3, 4)),
        ((2, 3, 4), "(-2, 1, 1)", False, (2, 3, 4, 1, 1)),
        ((2, 3, 4), "(-3, 4)", False, (6, 4)),
        ((2, 3, 4, 5), "(-3, -3)", False, (6, 20)),
        ((2, 3, 4), "(0, -3)", False, (2, 12)),
        ((2, 3, 4), "(-3, -2)", False, (6, 4)),
        ((2, 3, 4), "(-4, 1, 2, -2)", False, (1, 2, 3, 4)),
        ((2, 3, 4), "(2, -4, -1, 3, -2)", False, (2, 1, 3, 4)),
        ((10, 5, 4), "(-1, 0)", False, (40, 5)),
        ((10, 5, 4), "(-1, 0)", True, (50, 4)),
    ],
)
def test_the_codes_of_reshape(shape, codes, reverse, expected):
    values = array(*shape)
    model = read(*network(plain("Reshape", shape=codes, reverse=reverse)), shape=list(shape))
    np.testing.assert_array_equal(run_onnx(model, {"data": values})[0], values.reshape(expected))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (plain("Custom"), r"operator 'out' \(Custom\) has no ONNX form here: end the network before it"),
        (plain("Pooling", pool_type="lp", kernel=(2, 2)), "pool_type lp and convention valid have no ONNX form"),
        (plain("Activation", act_type="swish"), "act_type swish has no ONNX form here; it can be relu"),
        (plain("Reshape", shape=(5, 5)), r"makes \[5, 5\] of \[1, 4, 6, 7\]"),
        (plain("Reshape", shape=(0, -9)), "has the unknown code -9 in its shape"),
        (plain("transpose", axes="(0, 1"), r"axes=\(0, 1 cannot be read"),
        (plain("transpose", axes=(0, 7, 2, 3)), "does not fit its inputs"),
        (plain("SliceChannel", num_outputs=3), "splits 4 values into 3 parts"),
        (plain("slice", begin=(0,), end=(1,), step=(2,)), "has steps, which have no ONNX form"),
        (
            plain("_contrib_AdaptiveAvgPooling2D", output_size=4),
            r"pools \[6, 7\] to \[4, 4\], which does not divide it",
        ),
        (weighted("Convolution", W, B, kernel=(3, 2), layout="NHWC"), "has the layout NHWC: export the network with"),
        (plain("Crop", h_w=(9, 9)), r"cuts \[9, 9\] out of \[6, 7\]"),
    ],
)
def test_an_operator_that_cannot_be_converted_is_named(build, message):
    with pytest.raises(UserError, match=r"^model\.source: net-symbol\.json: .*" + message):
        read(*network(build), shape=list(X.shape))
