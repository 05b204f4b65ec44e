"""Inputs that are one number."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from stages.core.base.errors import UserError
from stages.export.shapes import graph_shapes
from stages.init.network.number_inputs import number_inputs
from tests.export.graphs import graph_model, node


def rated():
    nodes = [node("Cast", ["sr"], ["r"], "cast", to=TensorProto.FLOAT), node("Mul", ["x", "r"], ["y"], "mul")]
    model = graph_model(nodes, {"x": [1, 3]}, ["y"])
    model.graph.input.append(helper.make_tensor_value_info("sr", TensorProto.INT64, [1]))
    return model


def found(folder):
    model = rated()
    return number_inputs(model, graph_shapes(model), folder)


@pytest.mark.parametrize("form", ["npz", "npy"])
def test_what_all_samples_say(tmp_path, form):
    for index in range(3):
        if form == "npz":
            np.savez(tmp_path / f"{index}.npz", x=np.zeros((1, 3), np.float32), sr=np.int64([16000]))
        else:
            (tmp_path / str(index)).mkdir()
            np.save(tmp_path / str(index) / "sr.npy", np.int64([16000]))
    values, guess = found(tmp_path)
    assert values == {"sr": 16000}
    assert (guess.key, guess.value, guess.sure) == ("constants", "sr 16000", "high")


def test_numbers_that_vary_are_no_constants(tmp_path):
    for rate in (8000, 16000):
        np.savez(tmp_path / f"{rate}.npz", sr=np.int64(rate))
    assert found(tmp_path) == ({}, None)


def test_a_number_that_is_nowhere_must_be_told(tmp_path):
    np.save(tmp_path / "0.npy", np.zeros((1, 3), np.float32))
    with pytest.raises(
        UserError, match=r"^input 'sr' is one number, which the samples lack: give it, as in model\.cons"
    ):
        found(tmp_path)
    with pytest.raises(UserError, match=r"^input 'sr' is one number: give it, as in model\.constants\.sr=VALUE$"):
        found(None)
