import pytest

from stages.core.base.console import output
from stages.core.config.schema import FakeQuant, QuantConfig
from stages.core.tables import (
    accuracy_line,
    bit_widths,
    bit_widths_line,
    measured_metrics,
    similarity_table,
    table_rows,
)


def row(node, average):
    measures = {"cosine_min": 0.5, "cosine_max": 1.0, "euclidean": 0.25, "standard_deviation": 1234.5}
    measures |= {"max_absolute": 0.001, "max_normalized": 0.125}
    return {"node": node, "op_type": "Conv", "cosine_avg": average, **measures}


ROWS = [row("first", 0.995), row("second", 0.97), row("third", 0.985)]


def cells(table, column):
    return [str(cell) for cell in table.columns[column].cells]


def test_all_nodes_appear_in_graph_order():
    table = similarity_table(ROWS, width=200)
    assert cells(table, 0) == ["first", "second", "third"]
    assert table.title == "similarity of 3 nodes"


def test_a_count_shows_the_least_similar_first():
    table = similarity_table(ROWS, width=200, count=2)
    assert cells(table, 0) == ["second", "third"]
    assert table.title == "the 2 least similar of 3 nodes, inherited errors included"


def test_a_wide_terminal_gets_every_measure():
    table = similarity_table(ROWS[:1], width=120)
    values = [cells(table, index)[0] for index in range(len(table.columns))]
    assert values == ["first", "Conv", "0.99500", "0.50000", "1.00000", "0.2500", "1234", "0.001", "0.1250"]


def test_a_narrow_terminal_gets_fewer():
    table = similarity_table(ROWS, width=119)
    assert [column.header for column in table.columns] == ["node", "type", "cos avg", "min", "max norm"]


def sourced():
    sources = {"isolated_cosine": 0.75, "isolated_sqnr": 3.0, "feature_cosine": 0.625, "weight_cosine": 0.875}
    return row("first", 0.995) | {"sqnr": 31.25, "euclidean_similarity": 0.5} | sources


def test_where_the_error_comes_from_takes_the_place_of_its_spread():
    table = similarity_table([sourced()], width=150)
    assert {column.header: cells(table, i)[0] for i, column in enumerate(table.columns)} == {
        "node": "first",
        "type": "Conv",
        "cos avg": "0.99500",
        "min": "0.50000",
        "isolated": "0.75000",
        "features": "0.62500",
        "weights": "0.87500",
        "sqnr dB": "31.2",
        "max norm": "0.1250",
    }


def test_a_very_wide_terminal_gets_both():
    headers = [column.header for column in similarity_table([sourced()], width=190).columns]
    assert headers[2:] == [
        "cos avg", "min", "max", "isolated", "features", "weights", "sqnr dB", "euclid", "std", "max abs", "max norm",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("average", "style"), [(0.97999, "red"), (0.98, "yellow"), (0.98999, "yellow"), (0.99, None), (1.0, None)]
)
def test_colour_tells_how_good_a_node_is(average, style):
    assert similarity_table([row("a", average)], width=120).rows[0].style == style


def test_a_node_name_with_brackets_is_shown_as_it_is():
    with output.capture() as capture:
        output.print(similarity_table([row("block[a]/conv:x:", 1.0)], width=100))
    assert "block[a]/conv:x:" in capture.get()


def test_what_is_infinite_is_a_dash():
    table = similarity_table([{**row("first", 0.5), "euclidean": None}], width=200)
    assert "-" in [cells(table, index)[0] for index in range(2, len(table.columns))]


@pytest.mark.parametrize(("key", "value"), [("node", 1), ("op_type", []), ("cosine_avg", None), ("euclidean", {})])
def test_a_table_that_compare_does_not_write_is_refused(key, value):
    assert table_rows([{**row("first", 0.5), "euclidean": None}])
    with pytest.raises(TypeError):
        table_rows([{**row("first", 0.5), key: value}])


METRICS = {
    "count": 20,
    "float": {"top1": 0.9, "top5": 1.0},
    "quantized": {"top1": 0.855, "top5": 0.95},
    "agreement": 0.8,
    "cosine": 0.99871,
}


@pytest.mark.parametrize("damage", [{"count": "20"}, {"float": {"top1": 0.9, "top5": 1.0, "extra": []}}])
def test_metrics_that_evaluate_does_not_write_are_refused(damage):
    assert measured_metrics(METRICS) == METRICS
    with pytest.raises(TypeError):
        measured_metrics(METRICS | damage)


def test_accuracy_of_both_networks():
    assert accuracy_line(METRICS, "picture") == (
        "accuracy on 20 pictures: top-1 float 90.0%, quantized 85.5%; top-5 100.0%, 95.0%; "
        "agreement 80.0%, cosine of the outputs 0.9987"
    )


def test_without_labels_only_the_outputs_are_compared():
    line = accuracy_line({"count": 3, "cosine": 0.5, "fidelity": 0.25}, "sample")
    assert line == "outputs on 3 samples: fidelity 0.2500, cosine 0.5000 (no labels, no accuracy)"


@pytest.mark.parametrize(
    ("bits", "weight_bits", "one_side", "said"),
    [
        (10, 4, "none", ("10-bit", "4-bit")),
        (32, 8, "none", ("float", "8-bit")),
        (8, 32, "none", ("8-bit", "float")),
        (32, 32, "none", ("float", "float")),
        (8, 4, "feature", ("8-bit", "float")),
        (8, 4, "weight", ("float", "4-bit")),
        (32, 4, "feature", ("float", "float")),
    ],
)
def test_either_side_may_be_float(bits, weight_bits, one_side, said):
    quant = QuantConfig("q", bits, weight_bits, fake_quant=FakeQuant[one_side])
    assert bit_widths(quant) == said
    assert bit_widths_line(quant) == f"{said[0]} features, {said[1]} weights"
    assert (quant.float_features, quant.float_weights) == tuple(side == "float" for side in said)


BOXES = {"agreement": 0.5, "boxes": {"float": 8, "missed": 3, "invented": 1}, "cosine": 0.9, "count": 4}


def test_a_detectors_boxes_with_and_without_labels():
    counted = "of its 8 boxes 3 missed, 1 invented"
    agreed = "agreement with the float network's boxes (mAP50) 0.500"
    assert accuracy_line(BOXES, "picture") == f"boxes on 4 pictures: {agreed}; {counted}"
    maps = {"float": {"map": 0.25}, "quantized": {"map": 0.125}, "difference": {"map": -0.125}}
    expected = f"boxes on 4 pictures: mAP50-95 float 0.2500, quantized 0.1250 (-0.1250); {agreed}; {counted}"
    assert accuracy_line(BOXES | maps, "picture") == expected
    interval = {"agreement_low": 0.25, "agreement_high": 0.75}
    assert (
        accuracy_line(BOXES | interval, "sample") == f"boxes on 4 samples: {agreed}, 95 % CI 0.250 to 0.750; {counted}"
    )


def test_a_detectors_own_metric_needs_no_map():
    own = {"float": {"f1": 0.5}, "quantized": {"f1": 0.25}, "difference": {"f1": -0.25}}
    line = accuracy_line(BOXES | own, "picture")
    assert line.startswith("boxes on 4 pictures: agreement")
    assert line.endswith("; f1 float 0.5, quantized 0.25")
