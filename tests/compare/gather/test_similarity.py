import onnx
import pytest

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.similarity import PictureRows, Similarity, output_row
from stages.core.graph.onnx_graph import Graph
from tests.compare.gather.examples import compared, networks
from tests.compare.gather.test_comparison import NODES, perturbed, pictures
from tests.networks import tiny_classifier


def test_the_output_is_named_and_of_several_the_least_similar():
    model = tiny_classifier()
    rows = [{"node": node.name, "cosine_avg": 1.0 - i / 100} for i, node in enumerate(model.graph.node)]
    assert output_row(rows, Graph(model))["node"] == "fc"
    model.graph.output.append(onnx.ValueInfoProto(name="pooled"))
    rows[6]["cosine_avg"] = 0.1
    assert output_row(rows, Graph(model))["node"] == "pool"


def test_where_no_output_is_in_the_table_the_last_node_stands_for_it():
    rows = [{"node": "a", "cosine_avg": 0.5}, {"node": "b", "cosine_avg": 0.9}]
    assert output_row(rows, Graph(tiny_classifier()))["node"] == "b"


def test_each_picture_has_its_rows():
    seen: list[Comparison] = []
    fed, perturbed_networks = pictures(2), networks(tiny_classifier(), perturbed("w3"))
    by_picture = PictureRows(perturbed_networks.node_names)
    rows = compared(perturbed_networks, fed, [seen.append, by_picture.add])
    assert [comparison.picture.feeds for comparison in seen] == fed
    assert [comparison.index for comparison in seen] == [0, 1]
    listed = by_picture.rows
    assert [row["node"] for row in listed] == NODES * 2
    assert [row["depth"] for row in listed] == [*range(9)] * 2
    assert [row["picture"] for row in listed] == ["0"] * 9 + ["1"] * 9
    for measure, summary in (("cosine", "cosine_avg"), ("sqnr", "sqnr"), ("euclidean", "euclidean")):
        for depth, row in enumerate(rows):
            both = (listed[depth][measure], listed[depth + 9][measure])
            assert row[summary] == pytest.approx(sum(both) / 2)


def test_what_the_table_tells_of_layers_alone():
    rows = {"a": {"node": "A", "isolated_cosine": 0.5}, "b": {"node": "B", "isolated_cosine": 1.0}}
    table = Similarity(rows, rows["b"])
    assert table.has_sources
    assert table.isolated_cosines == {"a": 0.5, "b": 1.0}
    assert table.rows == list(rows.values())
    bare = Similarity({"a": {"node": "A"}}, {"node": "A"})
    assert (bare.has_sources, bare.isolated_cosines) == (False, {})
