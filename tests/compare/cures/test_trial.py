import pytest
from onnx import TensorProto, helper

from stages.compare.cures.trial import tried_of
from stages.core.graph.onnx_graph import Graph


def network(values):
    """One node that computes so many values."""
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, values]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "relu")], "g", info[:1], info[1:])
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


@pytest.mark.parametrize(
    ("count", "values", "tried"),
    [(20, 10**9, 20), (100, 10**9, 32), (100, 2 * 10**7, 50), (5000, 10**3, 1024)],
)
def test_a_large_network_takes_a_part_of_a_large_set(count, values, tried):
    assert tried_of(count, network(values)) == tried
