import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from stages.sweep.sweep_report import as_csv, as_rows, escaped, markdown, results_table, setting_headings, swept
from tests.sweep.sweeps import POINTS, failure, made_up, ranking


def shown(points, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(results_table(ranking(*points), width))
    return console.file.getvalue()


def test_rows_are_best_first_and_the_failed_last():
    rows = as_rows(ranking(*POINTS))
    assert [(row["rank"], row["point"], row["pareto"]) for row in rows] == [
        (1, 1, True), (2, 2, False), (3, 0, True), (None, 3, False),
    ]  # fmt: skip
    assert rows[-1]["error"].startswith("quant.feature_bits=9")
    assert json.loads(json.dumps(rows)) == rows


def test_the_table_fits_the_terminal():
    wide, narrow = shown(POINTS, 150), shown(POINTS, 80)
    assert "4 points by agreement" in wide
    assert "MB weights" in wide
    assert "MB weights" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    assert [line.split("│")[2].strip() for line in narrow.splitlines()[4:-1]] == ["8", "10", "4", "9"]
    assert "failed" in narrow


def test_the_title_says_what_is_swept():
    assert swept(None, "of long on the T41") == "points of long on the T41"
    assert results_table(ranking(*POINTS, subject="of long on the T41"), 80).title == (
        "4 points of long on the T41 by agreement"
    )


def test_of_broken_points_the_table_has_the_verdict_and_no_star():
    broken = [replace(point, verdict="broken") for point in POINTS[:2]]
    table = shown(broken, 80)
    assert table.count("broken") == 2
    assert "★" not in table
    assert "verdict" not in shown([replace(POINTS[1], verdict="good"), broken[0]], 80)
    assert "★" in shown([broken[1], replace(POINTS[0], verdict="look")], 80)


def test_one_point_is_one_point():
    assert "1 point by agreement" in shown(POINTS[:1], 150)


def test_a_table_of_failures_alone_stands():
    assert "failed" in shown([failure(0)], 100)
    assert "failed: a9 w8: no such bits" in markdown(ranking(failure(0)))
    assert as_rows(ranking()) == []


def test_the_description_names_the_best_and_escapes():
    text = markdown(ranking(*POINTS))
    assert "Best by agreement: **a8 w8**, 0.75." in text
    assert r"cannot \| &lt;do&gt; it" in text
    assert text.count("| ★ |") == 2


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[here](javascript:alert(1))", r"\[here\](javascript:alert(1))"),
        ("`code` | **bold**", r"\`code\` \| \*\*bold\*\*"),
        ("a\n# heading\r\n\u2028x", "a # heading x"),
    ],
)
def test_names_stay_text_in_notes_of_mlflow(text, note):
    assert escaped(text) == note


def test_headings_are_short_where_they_can_be():
    assert setting_headings(made_up()) == ["feature_bits", "weight_bits"]
    assert setting_headings(made_up(varied=("data.debug.size", "data.evaluation.size"))) == [
        "data.debug.size",
        "data.evaluation.size",
    ]
    assert setting_headings(made_up(varied=())) == ["point"]


def test_the_csv_has_every_metric():
    rows = list(csv.DictReader(io.StringIO(as_csv(ranking(*POINTS)))))
    assert [row["quant.feature_bits"] for row in rows] == ["8", "10", "4", "9"]
    assert float(rows[0]["cost.bit_operations"]) == 4e9
    assert rows[3]["agreement"] == ""
    assert rows[3]["error"] == POINTS[3].error
