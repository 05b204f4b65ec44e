import csv
import io

from stages.compare.gather.comparison import SOURCES
from stages.compare.gather.similarity import BY_PICTURE, COLUMNS, Similarity
from stages.compare.render.similarity_csv import picture_csv, table_csv


def row(node, average, **more):
    return dict.fromkeys(COLUMNS, 0.0) | {"node": node, "op_type": "Conv", "cosine_avg": average} | more


def test_csv_counts_depth():
    rows = [row("stem", 0.999), row("fc", 1 / 3)]
    lines = list(csv.DictReader(io.StringIO(table_csv(Similarity({"a": rows[0], "b": rows[1]}, rows[1])))))
    assert list(lines[0]) == ["depth", *COLUMNS]
    assert [line["depth"] for line in lines] == ["0", "1"]
    assert [line["node"] for line in lines] == ["stem", "fc"]
    assert [float(line["cosine_avg"]) for line in lines] == [row["cosine_avg"] for row in rows]


def test_csv_tells_where_the_error_comes_from_if_that_is_known():
    only = row("stem", 0.999, **dict.fromkeys(SOURCES, 0.5))
    assert table_csv(Similarity({"a": only}, only)).splitlines()[0].split(",") == ["depth", *COLUMNS, *SOURCES]


def test_csv_of_pictures():
    by_picture = [dict.fromkeys(BY_PICTURE, 1.0) | {"picture": "a.png", "node": "stem"}]
    text = picture_csv(Similarity({}, {}, by_picture))
    assert text.splitlines() == ["picture,depth,node,cosine,sqnr,euclidean", "a.png,1.0,stem,1.0,1.0,1.0"]


def test_a_measure_that_is_not_finite_is_empty():
    rows = [row("stem", 0.0, max_absolute=float("inf"), euclidean=float("nan"))]
    (line,) = csv.DictReader(io.StringIO(table_csv(Similarity({"a": rows[0]}, rows[0]))))
    assert (line["max_absolute"], line["euclidean"], line["sqnr"]) == ("", "", "0.0")
