"""Rows of the guide's log (July 2022, chapter 3.3): ResNet-18, as printed."""

from stages.build.magik.converter_similarity import parse_table, table_csv
from stages.core.graph.onnx_graph import Graph
from tests.build.magik.stand_in import HEAD, NUMBERS
from tests.networks import tiny_classifier

LOG = [
    "Compute distance: 100.00 %",
    HEAD,
    f"data/BatchNormScale          {NUMBERS[0]}",
    "INFO(magikexecutor): magik executor version:2.1.0(0_e011a9b_magik) built:20220629-1945:CPU",
    f"  r1   {NUMBERS[1]}",
    f"residual\t{NUMBERS[2]}  ",
    "a name with blanks 0.5 0.25 1 1e-3 nan inf -2",
    "* ^_^ Convert successfully, Enjoy it ^_^ *",
]


def rows(lines=tuple(LOG)):
    return parse_table(lines, Graph(tiny_classifier()), {"data/BatchNormScale": "BatchNormScale"})


def test_rows_have_our_keys_and_our_names_of_nodes():
    assert rows()[:3] == [
        {
            "node": "data/BatchNormScale",
            "op_type": "BatchNormScale",
            "cosine_avg": 0.99813,
            "cosine_min": 0.99813,
            "cosine_max": 0.99813,
            "euclidean": 0.09554,
            "standard_deviation": 0.08244,
            "max_absolute": 0.14382,
            "max_normalized": 0.40347,
        },
        {
            "node": "stem_relu",  # makes the tensor r1
            "op_type": "Relu",
            "cosine_avg": 0.99078,
            "cosine_min": 0.99078,
            "cosine_max": 0.99078,
            "euclidean": 0.09715,
            "standard_deviation": 0.03879,
            "max_absolute": 0.36473,
            "max_normalized": 1.83665,
        },
        {
            "node": "residual",
            "op_type": "Add",
            "cosine_avg": 0.99310,
            "cosine_min": 0.99310,
            "cosine_max": 0.99310,
            "euclidean": 0.09006,
            "standard_deviation": 0.04120,
            "max_absolute": 0.31800,
            "max_normalized": 1.34751,
        },
    ]


def test_measures_that_are_not_finite_are_none():
    last = rows()[-1]
    assert (last["node"], last["op_type"], last["euclidean"]) == ("a name with blanks", "", 0.001)
    assert (last["standard_deviation"], last["max_absolute"], last["max_normalized"]) == (None, None, -2.0)
    assert table_csv(rows()).splitlines()[-1] == "a name with blanks,,0.5,0.25,1.0,0.001,,,-2.0"


def test_of_two_tables_the_last_counts():
    assert [row["node"] for row in rows([*LOG, HEAD, f"fc {NUMBERS[0]}"])] == ["fc"]


def test_a_log_without_a_table():
    assert rows(LOG[:1] + LOG[2:]) == []
