from stages.compare.gather.similarity import Similarity
from stages.compare.render.shown_layers import layers_to_show, worst_layers
from stages.core.statistics.metrics import SQNR_CAP


def row(node, cosine, sqnr=None):
    return {"node": node, "cosine_avg": cosine, "max_absolute": 1 - cosine} | (
        {} if sqnr is None else {"isolated_sqnr": sqnr}
    )


def worst(rows, count):
    return worst_layers(Similarity(rows, next(iter(rows.values()))), list(rows), count)


def test_worst_layers_by_what_they_err_alone():
    rows = {"a": row("A", 0.5, 30.0), "b": row("B", 0.9, 10.0), "c": row("C", 0.7, SQNR_CAP), "d": row("D", 0.8, 20.0)}
    assert worst(rows, 2) == ["b", "d"]
    assert worst(rows, 9) == ["b", "d", "a"]


def test_worst_layers_by_cosine_where_nothing_else_is_known():
    rows = {"a": row("A", 0.9), "b": row("B", 0.5), "c": row("C", 1.0), "d": row("D", 0.7)}
    assert worst(rows, 4) == ["b", "d", "a"]


def test_layers_of_findings_come_first():
    rows = {"a": row("A", 0.9), "b": row("B", 0.5), "c": row("C", 0.99), "inner": row("I", 0.98)}
    table = Similarity(rows, rows["c"])
    chosen = layers_to_show(table, ["a", "b", "c"], ["I", "nowhere"], {"inner": "c"}, 2)
    assert list(chosen.items()) == [("c", "I"), ("b", "B")]
