"""Inputs that are constants."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.config.schema import InputConfig
from stages.export.sources.constant_inputs import with_constants
from tests.export.graphs import graph_model, node


def gated():
    """y = x * gain + mask, of floats and of integers that are cast."""
    nodes = [
        node("Cast", ["mask"], ["m"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["x", "gain"], ["g"], "gain"),
        node("Add", ["g", "m"], ["y"], "add"),
    ]
    model = graph_model(nodes, {"x": ["batch", "n"], "gain": []}, ["y"])
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.INT64, ["batch", "n"]))
    return model


def bound(constants, inputs=()):
    model = with_constants(gated(), constants, inputs)
    return [info.name for info in model.graph.input], {
        tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }


def test_a_number_fills_the_shape_that_the_inputs_say():
    inputs, arrays = bound({"gain": 2, "mask": 1}, [InputConfig("x", [1, 3])])
    assert inputs == ["x"]
    assert arrays["gain"].dtype == np.float32
    assert arrays["gain"].shape == ()
    assert arrays["mask"].dtype == np.int64
    assert arrays["mask"].tolist() == [[1, 1, 1]]


def test_a_list_says_its_shape():
    assert bound({"mask": [[1, 0]]})[1]["mask"].tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"gian": 2}, "model.constants.gian: the network has no such input; did you mean 'gain'?"),
        ({"gain": "loud"}, "model.constants.gain=loud: give a number, or a list of numbers"),
        ({"gain": [1, 2]}, "model.constants.gain has the shape [2], and the input takes []"),
        ({"mask": 1}, "model.constants.mask has the shape [], and the input takes [1,?]"),
        ({"mask": [[1]], "gain": 1, "x": [[1]]}, "model.constants has every input: nothing is left to compute"),
    ],
)
def test_refusals(constants, message):
    with pytest.raises(UserError) as caught:
        bound(constants)
    assert str(caught.value) == message


def test_without_constants_it_is_the_same_network():
    model = gated()
    assert with_constants(model, {}, []) is model
