"""What runs in float against ONNX Runtime: the same bytes where one rounding decides, else within a few units."""

import numpy as np
import pytest

from stages.core.integer.dumps import dump_names
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.reference import run_reference
from tests.build.runtime.programs import dumps, expected_dumps, model_file
from tests.build.runtime.small import float_codes, float_net
from tests.core.integer.nets import Net
from tests.core.integer.test_simulator import divided_by_zero
from tests.networks import quantized_network, soc_config, tiny_classifier

X = QuantParams(12, 0.01, 2000)
SHAPE = (1, 3, 4, 5)


def real(shape, seed=1):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


EXACT = [
    ("Relu", [], {}),
    ("Clip", [np.float32(-1), np.float32(2)], {}),
    ("LeakyRelu", [], {"alpha": 0.1}),
    ("Neg", [], {}),
    ("Abs", [], {}),
    ("Add", [real((3, 1, 1))], {}),
    ("Sub", [real((4, 1))], {}),
    ("Mul", [real((1, 3, 4, 5))], {}),
    ("Div", [real((5,))], {}),
    ("Max", [real((1,))], {}),
    ("Min", [real((3, 4, 5))], {}),
    ("PRelu", [real((3, 1, 1))], {}),
    ("Transpose", [], {"perm": [0, 2, 3, 1]}),
    ("Reshape", [np.array([1, 12, 5])], {}),
    ("Pad", [np.array([0, 0, 1, 2, 0, 0, 0, 1]), np.float32(0.5)], {}),
    ("MaxPool", [], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    ("Concat", [real((1, 2, 4, 5))], {"axis": 1}),
]
CLOSE = [
    ("Sigmoid", [], {}),
    ("Tanh", [], {}),
    ("HardSigmoid", [], {"alpha": 0.2, "beta": 0.5}),
    ("HardSwish", [], {}),
    ("Softmax", [], {"axis": 1}),
    ("Softmax", [], {"axis": 3}),
    ("Conv", [real((6, 3, 3, 2)), real(6)], {"pads": [1, 0, 1, 1], "strides": [2, 1]}),
    ("Conv", [real((3, 1, 3, 3))], {"group": 3, "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", [real((3, 2, 3, 3)), real(2)], {"strides": [2, 2], "pads": [1, 1, 0, 1]}),
    ("MatMul", [real((5, 7))], {}),
    ("GlobalAveragePool", [], {}),
    ("ReduceMean", [], {"axes": [1, 3], "keepdims": 0}),
]


def values(runtime, kind, more, attributes):
    """A float operator behind a Dequantize: what the runtime makes of it, and what ONNX Runtime does."""
    net = Net()
    net.feature("x", SHAPE, X)
    net.add("Dequantize", ["x"], None, "r")
    if kind == "ReduceMean":  # opset 18: axes are an input
        more, attributes = [np.array(attributes["axes"])], {"keepdims": attributes["keepdims"]}
    net.plain(kind, ["r", *more], "y", **attributes)
    codes = np.random.default_rng(0).integers(0, 4096, SHAPE)
    expected = net.reference(x=codes)
    model = net.model(expected)
    actual = dumps(runtime, model_file(model), [net.feeds({"x": codes})["x/real"]])["y_out.bin"]
    lying = expected["y"].transpose(0, 2, 3, 1) if expected["y"].ndim == 4 else expected["y"]
    return np.frombuffer(actual, np.float32), np.ascontiguousarray(lying).ravel()


@pytest.mark.parametrize(("kind", "more", "attributes"), EXACT)
def test_one_rounding_gives_the_same_bytes(debug, kind, more, attributes):
    actual, expected = values(debug, kind, more, attributes)
    assert actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("kind", "more", "attributes"), CLOSE)
def test_sums_and_functions_are_within_a_few_units_in_the_last_place(debug, kind, more, attributes):
    actual, expected = values(debug, kind, more, attributes)
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6)


def test_functions_are_those_of_double_precision(debug):
    """Rounded once: closer than ONNX Runtime's own approximations."""
    for kind, function in (
        ("Sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("Tanh", np.tanh),
    ):
        actual, _ = values(debug, kind, [], {})
        codes = np.random.default_rng(0).integers(0, 4096, SHAPE).transpose(0, 2, 3, 1)
        x = ((codes - 2000).astype(np.float32) * np.float32(0.01)).astype(np.float64).ravel()
        np.testing.assert_allclose(actual, function(x).astype(np.float32), rtol=1.3e-7, atol=1e-30)


def test_infinite_values_get_the_last_codes_and_what_is_no_number_that_of_zero(debug):
    net, codes = divided_by_zero()
    values = net.reference(x=codes)
    actual = dumps(debug, model_file(net.model(values)), [net.feeds({"x": codes})["x/real"]])
    assert list(actual["q_Quantize_out.bin"]) == [0, 7, 255, 9]


def test_layers_of_every_kind_in_float_are_onnx_runtimes(debug):
    """Picked elements and integers are the same, results of functions within a few units."""
    net, codes = float_net(), float_codes()
    values = net.reference(x=codes)
    model = net.model(values)
    actual = dumps(debug, model_file(model), [net.feeds({"x": codes})["x/real"]])
    expected = expected_dumps(model, values)
    assert expected.keys() <= actual.keys()
    for tensor, name in ((tensor, f"{stem}_out.bin") for tensor, stem in dump_names(model).items() if tensor != "x"):
        kind = values[tensor].dtype
        reals, wanted = (np.frombuffer(content[name], kind) for content in (actual, expected))
        np.testing.assert_allclose(reals, wanted, rtol=1e-5, atol=1e-6, err_msg=name)
    assert {values[name].dtype.name for name in ("best", "above", "number")} == {"int64", "bool", "float32"}


# --- layers in float among integer ones

PICTURE = real((1, 3, 16, 16), seed=4)


def skipping(nodes):
    """The tiny classifier with nodes in float: its integer model and the reference's values."""
    pictures = [{"images": real((1, 3, 16, 16), seed)} for seed in range(3)]
    network = quantized_network(tiny_classifier(), pictures, soc_config("t40"), skip_nodes=nodes)
    return network.integer, run_reference(network.integer, {"images": PICTURE})


@pytest.mark.parametrize("skipped", ["residual", "flatten"])
def test_a_network_with_a_layer_in_float_gives_the_references_bytes(debug, skipped):
    """`residual` takes two convolutions in float, one of which layers in integers take too."""
    model, expected = skipping([skipped])
    actual = dumps(debug, model_file(model), [PICTURE])
    for name, content in expected_dumps(model, expected).items():
        assert actual[name] == content, name


@pytest.mark.parametrize("skipped", [["project"], ["depthwise", "pool"], ["stem", "residual", "fc"]])
def test_networks_with_sums_in_float_agree_to_a_code(debug, skipped):
    model, expected = skipping(skipped)
    actual = dumps(debug, model_file(model), [PICTURE])
    for name, content in expected_dumps(model, expected).items():
        codes = name.endswith("_Quantize_out.bin")
        values, wanted = (np.frombuffer(dump, np.uint8 if codes else np.float32) for dump in (actual[name], content))
        tolerance = {"rtol": 0, "atol": 1} if codes else {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(values.astype(np.float64), wanted.astype(np.float64), err_msg=name, **tolerance)
