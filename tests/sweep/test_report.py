import csv
import io
import json
import xml.etree.ElementTree as ET

import cv2
import pytest
from rich.console import Console

from stages.sweep.pictures import draw, interactive
from stages.sweep.progress import point_line, watched
from stages.sweep.report import as_csv, as_rows, markdown, results_table, settings
from stages.sweep.session import save_result
from tests.sweep.sweeps import failure, made_up, result

POINTS = [
    result(0, "4", "8", 0.5, 0.8, 2),
    result(1, "8", "8", 0.75, 0.9, 4, executed=("quantize", "compare")),
    result(2, "10", "8", 0.75, 0.9, 5),
    failure(3, error="quant.feature_bits=9: the T40 cannot | <do> it"),
]


def shown(points, session, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(results_table(points, session, width))
    return console.file.getvalue()


def test_rows_are_best_first_and_the_failed_last():
    rows = as_rows(POINTS, made_up())
    assert [(row["rank"], row["point"], row["pareto"]) for row in rows] == [
        (1, 1, True), (2, 2, False), (3, 0, True), (None, 3, False),
    ]  # fmt: skip
    assert rows[-1]["error"].startswith("quant.feature_bits=9")
    assert json.loads(json.dumps(rows)) == rows


def test_the_table_fits_the_terminal():
    wide, narrow = shown(POINTS, made_up(), 150), shown(POINTS, made_up(), 80)
    assert "4 points by agreement" in wide
    assert "MB weights" in wide
    assert "MB weights" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    assert [line.split("│")[2].strip() for line in narrow.splitlines()[4:-1]] == ["8", "10", "4", "9"]
    assert "failed" in narrow


def test_one_point_is_one_point():
    assert "1 point by agreement" in shown(POINTS[:1], made_up(), 150)


def test_a_table_of_failures_alone_stands():
    assert "failed" in shown([failure(0)], made_up(), 100)
    assert "failed: a9 w8: no such bits" in markdown([failure(0)], made_up())
    assert as_rows([], made_up()) == []


def test_the_description_names_the_best_and_escapes():
    text = markdown(POINTS, made_up())
    assert "Best by agreement: **a8 w8**, 0.75." in text
    assert r"cannot \| &lt;do> it" in text
    assert text.count("| ★ |") == 2


def test_headings_are_short_where_they_can_be():
    assert settings(made_up()) == ["feature_bits", "weight_bits"]
    assert settings(made_up(varied=("data.debug.size", "data.evaluation.size"))) == [
        "data.debug.size",
        "data.evaluation.size",
    ]
    assert settings(made_up(varied=())) == ["point"]


def test_the_csv_has_every_metric():
    rows = list(csv.DictReader(io.StringIO(as_csv(POINTS, made_up()))))
    assert [row["quant.feature_bits"] for row in rows] == ["8", "10", "4", "9"]
    assert float(rows[0]["cost.bit_operations"]) == 4e9
    assert rows[3]["agreement"] == ""
    assert rows[3]["error"] == POINTS[3].error


@pytest.mark.parametrize("points", [POINTS, POINTS[:1], [POINTS[1], POINTS[2]]])
@pytest.mark.parametrize("varied", [("quant.feature_bits", "quant.weight_bits"), ()])
def test_the_picture_is_the_same_each_time(tmp_path, points, varied):
    session = made_up(varied=varied)
    files = [tmp_path / "a.png", tmp_path / "a.svg"]
    draw(points, session, files)
    before = [file.read_bytes() for file in files]
    draw(points, session, files)
    assert [file.read_bytes() for file in files] == before
    assert cv2.imread(str(files[0])) is not None
    assert "agreement" in " ".join(ET.parse(files[1]).getroot().itertext())


def test_no_tick_stands_above_a_share_of_1(tmp_path):
    draw([result(0, "8", "8", 1.0, 0.9, 4)], made_up(), [tmp_path / "a.svg"])
    axis = next(e for e in ET.parse(tmp_path / "a.svg").getroot().iter() if e.get("id") == "matplotlib.axis_2")
    ticks = [float("".join(e.itertext())) for e in axis.iter() if e.tag.endswith("text") and e.text != "agreement"]
    assert max(ticks) == 1.0


def test_the_page_needs_no_network(tmp_path):
    pytest.importorskip("plotly")
    interactive(POINTS, made_up(), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert '"label":"feature_bits"' in text
    assert "<script src=" not in text


@pytest.mark.parametrize(
    ("point", "line"),
    [
        (POINTS[0], "a4 w8: 0.5 (1.0 s, from the cache)"),
        (POINTS[1], "a8 w8: 0.75 (1.0 s, 2 stages computed)"),
        (failure(0), "a9 w8: failed: no such bits"),
    ],
)
def test_a_point_is_a_line(point, line):
    assert point_line(point, made_up()) == line


def test_points_are_shown_once_each(tmp_path, capsys):
    session = made_up(tmp_path)
    with watched(session, 4):
        for point in POINTS:
            save_result(tmp_path / str(point.number), point)
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["1/4", "2/4", "3/4", "4/4"]
    assert sum("failed" in line for line in lines) == 1
