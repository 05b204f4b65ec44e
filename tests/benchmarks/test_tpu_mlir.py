"""What TPU-MLIR wrote, as the comparison of calibration methods reads it."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.tpu_mlir.methods import of_tensors, similarity, table_ranges
from stages.core.graph.onnx_graph import Graph
from stages.quantize.float_network import Network
from tests.core.tpu_mlir.network import renamed_network

GOLDEN = Path(__file__).parents[1] / "core" / "tpu_mlir" / "golden"


def test_a_feature_that_is_never_negative_has_unsigned_codes():
    text = "# op_name    threshold    min    max\nx 1.5000000 -1.0000000 1.5000000\n\nr_Relu 6.0000000 0.0000000 6.5\n"
    assert table_ranges(text) == {"x": (-1.5, 1.5), "r_Relu": (0.0, 6.0)}


def test_rows_are_found_by_the_tensors_of_the_network():
    graph = Graph(renamed_network())
    statistics = dict.fromkeys(graph.float_tensors)
    (first,) = graph.inputs
    table = {first: (-1.0, 1.0), "sum_Add": (-3.0, 3.0), "absent_Add": (-9.0, 9.0)}
    assert of_tensors(GOLDEN / "net.mlir", table, Network(graph, statistics)) == {
        first: (-1.0, 1.0),
        "sum": (-3.0, 3.0),
    }


def test_likeness_is_the_mean_over_pictures():
    expected = [{"y": np.float32([1, 0])}, {"y": np.float32([0, 2])}]
    actual = [{"y": np.float32([2, 0])}, {"y": np.float32([1, 1])}]
    assert similarity(expected, actual) == {"cosine": pytest.approx((1 + 0.5**0.5) / 2, abs=1e-4), "agree": 1}
