import numpy as np
import onnx
import pytest
from onnx import helper

from stages.core.base.errors import UserError
from stages.core.integer import operators
from stages.core.integer.model import DOMAIN, DOMAIN_VERSION, load_integer_model, tensor_quant_params
from stages.core.integer.quant_params import QuantParams
from tests.core.integer.nets import Net
from tests.networks import tiny_classifier

BYTES = QuantParams(8, 0.5, 3)
WIDE = QuantParams(12, 0.25, 2048)


@pytest.fixture
def net():
    y_params = Net()
    y_params.feature("x", [1, 4, 6, 6], BYTES)
    return y_params


@pytest.mark.parametrize(
    ("bits", "qmax", "dtype", "onnx_type"),
    [(4, 15, np.uint8, onnx.TensorProto.UINT8), (8, 255, np.uint8, onnx.TensorProto.UINT8),
     (9, 511, np.uint16, onnx.TensorProto.UINT16), (16, 65535, np.uint16, onnx.TensorProto.UINT16)],
)  # fmt: skip
def test_codes_are_stored_in_the_smallest_type(bits, qmax, dtype, onnx_type):
    codes = QuantParams(bits, 1.0, 0)
    assert (codes.qmax, codes.dtype, codes.onnx_type) == (qmax, dtype, onnx_type)


def test_a_node_of_the_domain_gives_its_output_quantization_parameters(net):
    net.add("Add", ["x", "x"], WIDE, "sum", multipliers=[1, 1], shift=1)
    assert tensor_quant_params(net.nodes) == {"x": BYTES, "sum": WIDE}


def test_moving_operators_pass_quantization_parameters_on_through_a_chain(net):
    net.plain("Reshape", ["x", np.array([1, 2, 2, 36])], "a")
    net.plain("Split", ["a"], "b", "c", axis=1, num_outputs=2)
    net.plain("Transpose", ["b"], "d", perm=[0, 2, 1, 3])
    net.plain("MaxPool", ["c"], "e", kernel_shape=[2, 2])
    net.add("Mul", ["d", "e"], WIDE, "f", multipliers=[1], shift=1)
    net.plain("Flatten", ["f"], "g")
    actual = tensor_quant_params(net.nodes)
    assert actual == {**dict.fromkeys(["x", "a", "b", "c", "d", "e"], BYTES), "f": WIDE, "g": WIDE}


def test_float_tensors_have_no_quantization_parameters(net):
    net.add("Dequantize", ["x"], None, "r")
    net.plain("Sigmoid", ["r"], "s")
    net.plain("Reshape", ["s", np.array([-1])], "t")
    net.add("Quantize", ["t"], WIDE, "q")
    net.add("MatMul", ["q", np.ones((144, 2), np.int8), np.zeros(2, np.int32), np.ones(2, np.float32)], None, "y",
            rule="float")  # fmt: skip
    assert tensor_quant_params(net.nodes) == {"x": BYTES, "q": WIDE}


def test_a_constant_moved_by_onnx_has_no_quantization_parameters():
    """Only the first input counts: a shape or an axis that happens to be code-like does not."""
    net = Net()
    net.plain("Reshape", [np.zeros(4, np.float32), np.array([2, 2])], "y")
    assert tensor_quant_params(net.nodes) == {}


def test_a_scale_is_the_float32_of_its_attribute():
    net = Net()
    net.feature("x", [1], QuantParams(8, 0.1, 0))
    assert tensor_quant_params(net.nodes)["x"].scale == float(np.float32(0.1))


def test_a_scale_a_channel_is_that_of_its_attribute():
    net, own = Net(), QuantParams(8, 0.5, 3, (0.5, 0.25, float(np.float32(0.1))))
    net.feature("x", [1, 3, 4, 4], own)
    assert tensor_quant_params(net.nodes) == {"x": own}
    np.testing.assert_array_equal(own.scales, np.float32([0.5, 0.25, 0.1]))
    assert [own.broadcast_scale(rank).shape for rank in (2, 3, 4)] == [(3,), (3, 1), (3, 1, 1)]
    assert (BYTES.scales.tolist(), BYTES.broadcast_scale(4).shape) == ([0.5], ())


def test_an_integer_model_is_loaded(net, tmp_path):
    onnx.save(net.model(), tmp_path / "integer.onnx")
    assert load_integer_model(tmp_path / "integer.onnx") == net.model()


@pytest.mark.parametrize("version", [None, DOMAIN_VERSION - 1, DOMAIN_VERSION + 1])
def test_a_model_of_no_or_another_version_is_refused(net, tmp_path, version):
    model = net.model() if version is not None else tiny_classifier()
    if version is not None:
        del model.opset_import[:]
        model.opset_import.extend([helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, version)])
    path = tmp_path / "integer.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match=r"integer\.onnx is no integer model of version 1: run `dvc repro quantize`"):
        load_integer_model(path)


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"integer\.onnx"):
        load_integer_model(tmp_path / "integer.onnx")


def test_what_is_not_onnx_is_refused(tmp_path):
    path = tmp_path / "integer.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(UserError, match="is not an ONNX file"):
        load_integer_model(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": None}, "lacks its attribute scale"),
        ({"bits": "eight"}, "its attribute bits is 'eight'"),
        ({"bits": 8.0}, "its attribute bits is 8.0"),
        ({"color": 1}, "has no attribute color"),
    ],
)
def test_a_damaged_node_is_said_with_its_file(net, tmp_path, change, said):
    model = net.model()
    (node,) = [node for node in model.graph.node if node.op_type == "Quantize"]
    kept = [entry for entry in node.attribute if entry.name not in change]
    del node.attribute[:]
    given = [helper.make_attribute(name, value) for name, value in change.items() if value is not None]
    node.attribute.extend([*kept, *given])
    onnx.save(model, tmp_path / "integer.onnx")
    with pytest.raises(UserError, match=rf"integer.onnx is damaged: .*{said}: run `dvc repro --force"):
        load_integer_model(tmp_path / "integer.onnx")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], r"sum \(Add\) needs 2 inputs and has 0"),
        (["x"], r"sum \(Add\) needs 2 inputs and has 1"),
        (["x", ""], r"sum \(Add\) needs 2 inputs and has 1"),
        (["x", "nowhere"], r"sum \(Add\) has the input nowhere, which nothing computes before it"),
    ],
)
def test_a_node_whose_inputs_are_gone_is_said(net, tmp_path, inputs, said):
    net.add("Add", ["x", "x"], WIDE, "sum", multipliers=[1, 1], shift=1)
    model = net.model()
    node = model.graph.node[-1]
    node.name = "sum"
    del node.input[:]
    node.input.extend(inputs)
    onnx.save(model, tmp_path / "integer.onnx")
    with pytest.raises(UserError, match=rf"integer\.onnx is damaged: {said}: run `dvc repro --force"):
        load_integer_model(tmp_path / "integer.onnx")


def test_a_node_of_an_unknown_type_is_said(net, tmp_path):
    model = net.model()
    model.graph.node[0].op_type = "Elu"
    onnx.save(model, tmp_path / "integer.onnx")
    with pytest.raises(UserError, match=r"is damaged: .*Elu is no operator of the domain socquant"):
        load_integer_model(tmp_path / "integer.onnx")


def test_a_rule_that_is_none_is_refused():
    with pytest.raises(
        ValueError,
        match="MatMul has the rule 'xyz', not one of nna, multiplier_shift, multiplier_shift_away, doubling, float",
    ):
        operators.OPERATORS["MatMul"](rule="xyz")
