import numpy as np
import pytest

from stages.export.batch import with_batch_one
from stages.export.shapes import graph_shapes
from tests.export.graphs import graph_model, node, run_onnx

WEIGHT = np.random.default_rng(0).normal(size=(2, 3, 1, 1))
CONV = node("Conv", ["x", "w"], ["c"], "conv")


def network(*nodes, shape=(4, 3, 5, 5), **constants):
    return graph_model([CONV, *nodes], {"x": shape}, ["y"], {"w": WEIGHT, **constants})


@pytest.mark.parametrize("sizes", [[4, -1], [-1, 50], [0, 50]])
def test_a_fixed_batch_becomes_one(sizes):
    source = network(node("Reshape", ["c", "to"], ["y"], "flat"), to=np.array(sizes))
    changed = with_batch_one(source)
    assert graph_shapes(changed) == {"x": [1, 3, 5, 5]}
    x = np.random.default_rng(1).normal(size=(1, 3, 5, 5)).astype(np.float32)
    expected = run_onnx(source, {"x": np.repeat(x, 4, axis=0)})[0][:1]
    np.testing.assert_allclose(run_onnx(changed, {"x": x})[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "tail",
    [
        [node("ReduceMean", ["c"], ["y"], "over the batch", axes=[0], keepdims=0)],
        [node("Reshape", ["c", "to"], ["y"], "turned")],
        [node("Add", ["c", "each"], ["y"], "sum")],
    ],
    ids=["mean over the batch", "a size elsewhere", "a constant for each"],
)
def test_a_first_size_that_is_no_batch_stays(tail):
    source = network(*tail, to=np.array([2, 4, 25]), each=np.arange(4).reshape(4, 1, 1, 1).astype(np.float32))
    assert with_batch_one(source) is source


@pytest.mark.parametrize("inputs", [{"x": [4, 3]}, {"x": [4, 3, 5, 5], "state": [2, 7]}, {"x": [1, 3, 5, 5]}])
def test_other_inputs_stay(inputs):
    nodes = [node("Identity", [name], [f"{name}_out"], name) for name in inputs]
    source = graph_model(nodes, inputs, [f"{name}_out" for name in inputs])
    assert with_batch_one(source) is source
