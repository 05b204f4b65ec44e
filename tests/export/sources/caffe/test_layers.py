"""Every layer against OpenCV's reading of the same two files."""

import numpy as np
import pytest

from stages.core.base.errors import UserError
from tests.export.graphs import run_onnx
from tests.export.sources.caffe.writing import caffemodel, convolution, files, net, read

random = np.random.default_rng(0)


def array(*shape):
    return random.normal(size=shape).astype(np.float32)


def positive(*shape):
    return random.uniform(0.5, 2, shape).astype(np.float32)


def layer(kind, parameters="", bottoms=("data",), tops=("out",), name="out"):
    blobs = "".join(f' bottom: "{blob}"' for blob in bottoms) + "".join(f' top: "{blob}"' for blob in tops)
    return f'layer {{ name: "{name}" type: "{kind}"{blobs} {parameters} }}\n'


def two(kind, parameters="", weights=()):
    """A layer whose second input is a convolution's output with as many channels as the data."""
    conv = convolution("conv").replace("num_output: 4", "num_output: 3")
    return conv + layer(kind, parameters, ("data", "conv")), {"conv": [array(3, 3, 1, 1), array(3)], "out": weights}


CASES = {
    "convolution": (
        layer(
            "Convolution",
            "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 1 pad_w: 0 group: 3 }",
        ),
        {"out": [array(6, 1, 3, 2), array(6)]},
    ),
    "dilated convolution without bias": (
        layer(
            "Convolution",
            "convolution_param { num_output: 2 kernel_size: 3 dilation: 2 pad: 2 bias_term: false }",
        ),
        {"out": [array(2, 3, 3, 3)]},
    ),
    "deconvolution": (
        layer("Deconvolution", "convolution_param { num_output: 2 kernel_size: 4 stride: 2 pad: 1 }"),
        {"out": [array(3, 2, 4, 4), array(2)]},
    ),
    "grouped deconvolution": (
        layer(
            "Deconvolution",
            "convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3 bias_term: false }",
        ),
        {"out": [array(3, 1, 4, 4)]},
    ),
    "inner product": (
        layer("InnerProduct", "inner_product_param { num_output: 5 }"),
        {"out": [array(5, 126), array(5)]},
    ),
    "inner product of the last axis": (
        layer("InnerProduct", "inner_product_param { num_output: 5 axis: 3 }"),
        {"out": [array(5, 7), array(5)]},
    ),
    "max pooling rounds up": (layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }"), {}),
    "max pooling with padding": (layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"), {}),
    "max pooling of a rectangle": (
        layer("Pooling", "pooling_param { kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0 }"),
        {},
    ),
    "average pooling without a rest": (layer("Pooling", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }"), {}),
    "global average pooling": (layer("Pooling", "pooling_param { pool: AVE global_pooling: true }"), {}),
    "global max pooling": (layer("Pooling", "pooling_param { pool: MAX global_pooling: true }"), {}),
    "relu": (layer("ReLU"), {}),
    "leaky relu": (layer("ReLU", "relu_param { negative_slope: 0.1 }"), {}),
    "relu6": (layer("ReLU6"), {}),
    "prelu": (layer("PReLU"), {"out": [array(3)]}),
    "shared prelu": (layer("PReLU", "prelu_param { channel_shared: true }"), {"out": [array(1)]}),
    "elu": (layer("ELU", "elu_param { alpha: 1 }"), {}),
    "sigmoid": (layer("Sigmoid"), {}),
    "tanh": (layer("TanH"), {}),
    "absolute value": (layer("AbsVal"), {}),
    "bnll": (layer("BNLL"), {}),
    "power": (layer("Power", "power_param { power: 2 scale: 0.5 shift: 0.25 }"), {}),
    "power of 1": (layer("Power", "power_param { scale: 0.5 shift: 0.25 }"), {}),
    "exp": (layer("Exp", "exp_param { base: 2 scale: 0.5 shift: 0.25 }"), {}),
    "softmax": (layer("Softmax"), {}),
    "softmax of the last axis": (layer("Softmax", "softmax_param { axis: 3 }"), {}),
    "batch norm": (layer("BatchNorm"), {"out": [array(3), positive(3), np.array([4.0])]}),
    "batch norm and scale": (
        layer("BatchNorm", "batch_norm_param { eps: 0.001 }", tops=("bn",), name="bn")
        + layer("Scale", "scale_param { bias_term: true }", ("bn",)),
        {"bn": [array(3), positive(3), np.array([0.5])], "out": [array(3), array(3)]},
    ),
    "scale": (layer("Scale", "scale_param { bias_term: true }"), {"out": [array(3), array(3)]}),
    "lrn over channels": (
        layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 }"),
        {},
    ),
    "lrn within a channel": (
        layer("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 norm_region: WITHIN_CHANNEL }"),
        {},
    ),
    "normalize": (
        layer("Normalize", "norm_param { across_spatial: false channel_shared: false }"),
        {"out": [array(3)]},
    ),
    "mvn": (layer("MVN"), {}),
    "sum": two("Eltwise"),
    "sum with coefficients": two("Eltwise", "eltwise_param { operation: SUM coeff: 0.5 coeff: -2 }"),
    "difference": two("Eltwise", "eltwise_param { operation: SUM coeff: 1 coeff: -1 }"),
    "product": two("Eltwise", "eltwise_param { operation: PROD }"),
    "maximum": two("Eltwise", "eltwise_param { operation: MAX }"),
    "concat": two("Concat", "concat_param { axis: 2 }"),
    "slice": (layer("Slice", "slice_param { axis: 2 slice_point: 1 slice_point: 4 }", tops=("a", "b", "c")), {}),
    "flatten": (layer("Flatten"), {}),
    "flatten of a range": (layer("Flatten", "flatten_param { axis: 2 }"), {}),
    "reshape": (layer("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 7 } }"), {}),
    "permute": (layer("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"), {}),
    "shuffle": (layer("ShuffleChannel", "shuffle_channel_param { group: 3 }"), {}),
    "crop": (
        layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", tops=("small",), name="small")
        + layer("Crop", "crop_param { axis: 2 offset: 1 offset: 2 }", ("data", "small")),
        {},
    ),
    "interp": (layer("Interp", "interp_param { height: 9 width: 4 }"), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_computes_what_opencv_computes(name, capsys):
    layers, weights = CASES[name]
    channels = 6 if name == "shuffle" else 3
    weights = {"unused": [array(1)]} | {key: value for key, value in weights.items() if len(value)}
    source = read(net(layers, (1, channels, 6, 7)), weights)
    assert 0 <= source.difference < 2e-6
    assert "OpenCV cannot run" not in capsys.readouterr().err
    assert source.model.graph.node[-1].op_type != "Identity"


@pytest.mark.parametrize(("pool", "op_type"), [("AVE", "GlobalAveragePool"), ("MAX", "GlobalMaxPool")])
def test_a_window_over_the_whole_feature_is_a_global_pool(pool, op_type):
    parameters = f"pooling_param {{ pool: {pool} kernel_h: 6 kernel_w: 7 }}"
    source = read(net(layer("Pooling", parameters)), {"x": [array(1)]})
    assert [node.op_type for node in source.model.graph.node] == [op_type]
    assert source.difference < 1e-6


def test_a_fault_in_the_weights_would_be_seen(monkeypatch):
    """The measure itself: OpenCV reads its own files, so that a reader that is wrong differs."""
    from stages.export.sources.caffe import reader

    weights = {"out": [array(4, 3, 1, 1), array(4)]}
    wrong = {"out": [weights["out"][0] * 1.01, weights["out"][1]]}
    text = net(convolution("out"))
    monkeypatch.setattr(reader, "read_weights", lambda *_: wrong)
    assert read(text, weights).difference > 1e-3


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "size", "expected"),
    [
        # a window that overhangs divides by its own pixels; one in the padding counts the zeros: by hand
        (2, 2, 0, 3, [(0 + 1) / 2, 2]),
        (3, 2, 1, 4, [(0 + 0 + 1) / 3, (1 + 2 + 3) / 3, (3 + 0) / 2]),
        (3, 1, 1, 3, [(0 + 0 + 1) / 3, 1, (1 + 2 + 0) / 3]),
    ],
)
def test_average_pooling_divides_as_caffe_does(kernel, stride, pad, size, expected):
    parameters = f"pool: AVE kernel_h: 1 kernel_w: {kernel} stride_h: 1 stride_w: {stride} pad_h: 0 pad_w: {pad}"
    source = read(net(layer("Pooling", f"pooling_param {{ {parameters} }}"), (1, 1, 1, size)), {"x": [array(1)]})
    values = np.arange(size, dtype=np.float32).reshape(1, 1, 1, size)
    np.testing.assert_allclose(run_onnx(source.model, {"data": values})[0].ravel(), expected, rtol=1e-6)


BY_HAND = {
    "log to base 2": ("Log", "log_param { base: 2 shift: 1 }", [3.0, 7.0], [2.0, 3.0]),
    "natural log": ("Log", "log_param { scale: 2 }", [0.5, 1.0], [0.0, 0.693147]),
    "natural exp": ("Exp", "", [0.0, 1.0], [1.0, 2.718282]),
    "threshold": ("Threshold", "threshold_param { threshold: 1 }", [1.0, 1.5], [0.0, 1.0]),
    "swish": ("Swish", "swish_param { beta: 2 }", [0.0, 1.0], [0.0, 0.880797]),
    "clip": ("Clip", "clip_param { min: -1 max: 2 }", [-3.0, 3.0], [-1.0, 2.0]),
    # OpenCV takes no k, and adds eps before the root
    "lrn with k": ("LRN", "lrn_param { local_size: 1 alpha: 2 beta: 1 k: 3 }", [1.0, 2.0], [1 / 5, 2 / 11]),
    "mvn with eps": ("MVN", "mvn_param { eps: 1 }", [2.0, 4.0], [-0.5, 0.5]),
    "mean only": ("MVN", "mvn_param { normalize_variance: false }", [2.0, 4.0], [-1.0, 1.0]),
    "numbered operation": ("Eltwise", "eltwise_param { operation: 0 }", [3.0, 4.0], [9.0, 16.0]),
    "sum of squares": ("Reduction", "reduction_param { operation: SUMSQ axis: 1 coeff: 2 }", [3.0, 4.0], [50.0]),
    "mean": ("Reduction", "reduction_param { operation: MEAN axis: 1 }", [3.0, 4.0], [3.5]),
    "total": ("Reduction", "", [3.0, 4.0], [7.0]),
    "argmax": ("ArgMax", "argmax_param { axis: 3 }", [3.0, 4.0], [1.0]),
    "tile": ("Tile", "tile_param { axis: 2 tiles: 2 }", [3.0, 4.0], [3.0, 4.0, 3.0, 4.0]),
    "bias": ("Bias", "", [3.0, 4.0], [5.0, 6.0]),
    "upsample": ("Upsample", "upsample_param { scale: 2 }", [3.0, 4.0], [3.0, 3.0, 4.0, 4.0] * 2),
    "floor": (
        "Pooling",
        "pooling_param { kernel_h: 1 kernel_w: 1 stride_h: 1 stride_w: 2 round_mode: FLOOR }",
        [3, 4],
        [3],
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_layer_that_opencv_lacks_computes_what_is_expected(name):
    kind, parameters, values, expected = BY_HAND[name]
    bottoms = ("data", "data") if kind == "Eltwise" else ("data",)
    source = read(net(layer(kind, parameters, bottoms), (1, 1, 1, 2)), {"out": [np.array([2.0])]})
    found = run_onnx(source.model, {"data": np.array(values, np.float32).reshape(1, 1, 1, 2)})[0]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


def test_a_slice_without_points_has_equal_parts():
    source = read(net(layer("Slice", tops=("a", "b", "c"))), {"x": [array(1)]})
    values = array(1, 3, 6, 7)
    for channel, found in enumerate(run_onnx(source.model, {"data": values})):
        np.testing.assert_array_equal(found, values[:, [channel]])


def test_squeeze_and_excitation_by_scale_and_by_axpy():
    pool = layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", tops=("gate",), name="gate")
    values = array(1, 3, 6, 7)
    gated = values * values.mean((2, 3), keepdims=True)
    flat = layer("Flatten", bottoms=("gate",), tops=("flat",), name="flat")
    scaled = net(pool + flat + layer("Scale", "scale_param { axis: 0 }", ("data", "flat")))
    added = net(pool + layer("Axpy", "", ("gate", "data", "data")))
    for text, expected in ((scaled, gated), (added, gated + values)):
        found = run_onnx(read(text, {"x": [array(1)]}).model, {"data": values})[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("Python", "", r"layer 'out' \(Python\) has no ONNX form here: end the network before it"),
        ("Pooling", "pooling_param { kernel_size: 2 pool: STOCHASTIC }", "stochastic pooling has no ONNX form"),
        ("Pooling", "pooling_param { kernel_size: 2 pool: MIDDLE }", "pool: MIDDLE cannot be read; it can be MAX, AVE"),
        ("Pooling", "pooling_param { stride: 2 }", r"layer 'out' \(Pooling\) has no kernel_size"),
        ("Pooling", "pooling_param { kernel_size: big }", r"layer 'out': kernel_size: big is no number"),
        ("Slice", "slice_param { slice_point: 5 }", r"cuts 3 values at \[5\] into 1 parts"),
        ("ShuffleChannel", "shuffle_channel_param { group: 2 }", "has 2 groups for 3 channels"),
        ("Reshape", "reshape_param { shape { dim: 5 dim: 5 } }", r"makes \[5, 5\] of \[1, 3, 6, 7\]"),
        (
            "Permute",
            "permute_param { order: 0 order: 9 }",
            r"layer 'out' \(Permute\) does not fit|out \(Transpose\) does",
        ),
        ("ArgMax", "", r"end the network before it, model\.outputs=\[data\]"),
        ("Scale", "", r"has 0 arrays in the caffemodel, and needs 1"),
        ("BN", "", r"has 0 arrays in the caffemodel, and needs 4"),
    ],
)
def test_a_layer_that_cannot_be_converted_is_named(kind, parameters, message):
    with pytest.raises(UserError, match=r"^model\.source: net\.prototxt: .*" + message):
        read(net(layer(kind, parameters)), {"x": [array(1)]})


@pytest.mark.parametrize(
    ("text", "arrays", "message"),
    [
        (
            convolution("out"),
            [array(5, 3, 1, 1)],
            r"takes 3 channels and gives 4; its weight has the shape \[5, 3, 1, 1\]",
        ),
        (
            convolution("out"),
            [array(4, 2, 1, 1)],
            r"takes 3 channels and gives 4; its weight has the shape \[4, 2, 1, 1\]",
        ),
        (layer("InnerProduct", "inner_product_param { num_output: 5 }"), [array(5, 7)], "takes 126 values and gives 5"),
        (layer("PReLU"), [array(5)], "has 5 slopes for 3 channels"),
        (
            layer("BatchNorm"),
            [array(4), array(4), array(1)],
            r"takes 3 channels; its arrays have \[4, 4, 4, 4\] values",
        ),
    ],
)
def test_weights_that_do_not_fit_their_layer_are_refused(text, arrays, message):
    with pytest.raises(UserError, match=message):
        read(net(text), {"out": arrays})


def test_files_of_two_networks_are_refused():
    text = net(convolution("conv1"))
    with pytest.raises(UserError, match=r"has no weights for layer 'conv1' .*did you mean 'conv2'\?"):
        read(text, {"conv2": [array(4, 3, 1, 1), array(4)]})


@pytest.mark.parametrize(("kind", "parameters"), [("LRN", "lrn_param { k: 2 }"), ("MVN", "mvn_param { eps: 0.01 }")])
def test_what_opencv_computes_otherwise_is_not_compared(kind, parameters, capsys):
    assert read(net(layer(kind, parameters)), {"x": [array(1)]}).difference == 0
    assert f"OpenCV computes layer 'out' ({kind}) in a way of its own" in capsys.readouterr().err


def test_what_opencv_cannot_run_is_said(capsys):
    source = read(net(layer("Threshold")), {"x": [array(1)]})
    assert source.difference == 0
    assert "OpenCV cannot run net.caffemodel, so that no other runtime has checked" in capsys.readouterr().err


def test_files_are_known_by_their_names():
    assert files(net(layer("ReLU")), caffemodel({})).main.name == "net.caffemodel"
