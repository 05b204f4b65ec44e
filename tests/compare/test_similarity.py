import csv
import io

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.compare.similarity import COLUMNS, compare_networks, output_row, table_csv, worst
from tests.export.graphs import graph_model, node
from tests.networks import tiny_classifier

KEYS = {
    "node", "op_type", "cosine_avg", "cosine_min", "cosine_max", "euclidean", "standard_deviation", "max_absolute",
    "max_normalized",
}  # fmt: skip
NODES = ["stem", "stem_relu", "depthwise", "depthwise_relu6", "project", "residual", "pool", "flatten", "fc"]


def pictures(count=3):
    rng = np.random.default_rng(0)
    return [{"images": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def perturbed(name, factor=-0.5):
    model = tiny_classifier()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(weight).copy()
    values[::2] *= factor
    weight.CopyFrom(numpy_helper.from_array(values, name))
    return model


def test_rows_are_nodes_in_graph_order_with_the_documented_keys():
    rows = compare_networks(tiny_classifier(), tiny_classifier(), pictures())
    assert [row["node"] for row in rows] == NODES
    assert [row["op_type"] for row in rows][:4] == ["Conv", "Relu", "Conv", "Clip"]
    assert all(set(row) == KEYS for row in rows)
    assert set(COLUMNS) == KEYS


def test_identical_networks_are_equal():
    for row in compare_networks(tiny_classifier(), tiny_classifier(), pictures()):
        assert row["cosine_min"] == pytest.approx(1.0, abs=1e-9)
        for key in ("euclidean", "standard_deviation", "max_absolute", "max_normalized"):
            assert row[key] == pytest.approx(0.0, abs=1e-5), (row["node"], key)


def test_a_perturbed_weight_shows_from_its_node_on():
    rows = compare_networks(tiny_classifier(), perturbed("w3"), pictures())
    by_node = {row["node"]: row for row in rows}
    for name in NODES[: NODES.index("project")]:
        assert by_node[name]["cosine_avg"] == pytest.approx(1.0, abs=1e-9)
    for name in NODES[NODES.index("project") :]:
        assert by_node[name]["cosine_avg"] < 0.999
        assert by_node[name]["max_absolute"] > 0.01
    assert worst(rows, 1)[0]["node"] in NODES[NODES.index("project") :]


def test_measures_golden():
    """One Add whose constant differs by [1, 0]: seen [3, 4] instead of [2, 4] and [0, 1] instead of [-1, 1]."""
    nodes = [node("Add", ["x", "k"], ["y"], "sum")]
    one, other = (graph_model(nodes, {"x": [1, 2]}, ["y"], {"k": [[k, 0]]}) for k in (0.0, 1.0))
    fed = [{"x": np.float32([[2, 4]])}, {"x": np.float32([[-1, 1]])}]
    (row,) = compare_networks(one, other, fed)
    cosines = [22 / (20**0.5 * 5), 1 / 2**0.5]
    expected = {
        "cosine_avg": np.mean(cosines),
        "cosine_min": min(cosines),
        "cosine_max": max(cosines),
        "euclidean": (1 / 20**0.5 + 1 / 2**0.5) / 2,
        "standard_deviation": 0.5,
        "max_absolute": 1.0,
        "max_normalized": 0.5,
    }
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-6)


def test_outputs_of_one_node_have_rows_of_their_own():
    nodes = [node("Split", ["x"], ["a", "b"], "split", axis=1, num_outputs=2), node("Add", ["a", "b"], ["y"], "sum")]
    model = graph_model(nodes, {"x": [1, 4]}, ["y"], opset=18)
    model = onnx.shape_inference.infer_shapes(model)
    rows = compare_networks(model, model, [{"x": np.float32([[1, 2, 3, 4]])}])
    assert [row["node"] for row in rows] == ["split", "split:b", "sum"]


def test_worst_first():
    rows = [{"node": name, "cosine_avg": value} for name, value in (("a", 0.9), ("b", 0.5), ("c", 0.99), ("d", 0.7))]
    assert [row["node"] for row in worst(rows, 3)] == ["b", "d", "a"]


def test_csv_counts_depth():
    rows = compare_networks(tiny_classifier(), perturbed("w3"), pictures(1))
    lines = list(csv.DictReader(io.StringIO(table_csv(rows))))
    assert next(iter(lines[0])) == "depth"
    assert [line["depth"] for line in lines] == [str(i) for i in range(9)]
    assert [line["node"] for line in lines] == NODES
    assert [float(line["cosine_avg"]) for line in lines] == [row["cosine_avg"] for row in rows]


def test_the_output_is_named_and_of_several_the_least_similar():
    model = tiny_classifier()
    rows = [{"node": node.name, "cosine_avg": 1.0 - i / 100} for i, node in enumerate(model.graph.node)]
    assert output_row(rows, model)["node"] == "fc"
    model.graph.output.append(onnx.ValueInfoProto(name="pooled"))
    rows[6]["cosine_avg"] = 0.1
    assert output_row(rows, model)["node"] == "pool"
