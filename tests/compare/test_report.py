import re
from html.parser import HTMLParser

import pytest

from stages.compare.diagnosis.diagnose import Diagnosis
from stages.compare.diagnosis.finding import Effect, Finding
from stages.compare.plot import similarity_plot
from stages.compare.report import finding_lines, render, verdict
from stages.core.config import Config, DataConfig, ModelConfig, QuantConfig, SocConfig, WeightScale
from stages.core.qparams import FeatureParams, QuantParams, WeightParams


def row(name, average, kind="Conv"):
    return {
        "node": name, "op_type": kind, "cosine_avg": average, "cosine_min": average - 0.01, "cosine_max": average,
        "euclidean": 0.125, "standard_deviation": 0.25, "max_absolute": 1.5, "max_normalized": 0.0625, "sqnr": 31.5,
        "euclidean_similarity": 0.875,
    }  # fmt: skip


GOOD = [row("stem", 0.9999), row("fc", 0.9912, "Gemm")]
BAD = [row("stem", 0.9999), row("/mid/Conv", 0.4321), row("/late/Conv", 0.9), row("fc", 0.9566, "Gemm")]


def page(rows, notes=(), pictures=("a.png", "b.png"), diagnosis=None):
    config = Config(
        soc=SocConfig(name="T40", weight_scale=WeightScale.per_channel),
        model=ModelConfig(name="small net"),
        data=DataConfig(name="street"),
        quant=QuantConfig("q", 10, 4),
    )
    params = QuantParams(
        [FeatureParams("t", "stem", 10, 0.5, 1, -0.5, 511.0, -0.4, 500.0, "MAX_ABS")],
        [WeightParams("w", "stem", 4, 0, (0.1,), "MAX_ABS")],
    )
    return render(
        config,
        rows,
        similarity_plot(rows, "t"),
        params,
        list(notes),
        list(pictures),
        rows[-1],
        13,
        diagnosis or Diagnosis([], [], []),
    )


class Table(HTMLParser):
    """Cells of the table's body, row by row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self._in_body, self._in_cell = [], False, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._in_body = self._in_body or tag == "tbody"
        if self._in_body and tag == "tr":
            self.rows.append([])
        if self._in_body and tag == "td":
            self.rows[-1].append("")
        self._in_cell = self._in_body and tag == "td"

    def handle_endtag(self, tag):
        self._in_cell = False
        self._in_body = self._in_body and tag != "tbody"

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] += data


def test_good_verdict():
    assert verdict(GOOD, GOOD[-1]) == "No layer is poor (average cosine below 0.98); the output (fc) has 0.9912."


def test_bad_verdict():
    assert verdict(BAD, BAD[-1]) == (
        "3 of 4 nodes are poor (average cosine below 0.98); the worst is /mid/Conv with 0.4321, "
        "the output (fc) has 0.9566."
    )


@pytest.mark.parametrize(("rows", "mark"), [(GOOD, '<p class="verdict">'), (BAD, '<p class="verdict bad">')])
def test_verdict_is_on_the_page(rows, mark):
    text = page(rows)
    assert mark in text
    assert re.sub("&#39;", "'", text).count(verdict(rows, rows[-1])) == 1


def test_page_needs_no_other_file():
    text = page(BAD)
    links = re.findall(r"""\b(?:src|href|action|data)\s*=\s*["']?([^"'\s>]+)""", text)
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"<link|<iframe|<img|<base|@import|url\(\s*[\"']?(?!#)|fetch\(|XMLHttpRequest", text)


def test_every_node_is_in_the_table_worst_first():
    found = Table(page(BAD)).rows
    assert [cells[:3] for cells in found] == [
        ["1", "/mid/Conv", "Conv"], ["2", "/late/Conv", "Conv"], ["3", "fc", "Gemm"], ["0", "stem", "Conv"],
    ]  # fmt: skip
    assert found[-1][3:] == [
        "0.99990", "0.98990", "0.99990", "10/4", "-0.5 .. 511", "-0.4 .. 500", "0.1250", "0.25", "1.5", "0.0625",
        "31.5",
    ]  # fmt: skip
    assert found[0][6:9] == ["\N{EN DASH}/\N{EN DASH}", "", ""]


def test_where_the_error_comes_from_has_columns_of_its_own():
    sources = {"isolated_cosine": 0.75, "isolated_sqnr": 3.0, "feature_cosine": 0.625, "weight_cosine": 0.875}
    text = page([entry | sources for entry in GOOD])
    assert Table(text).rows[0][-4:] == ["0.75000", "3.0", "0.62500", "0.87500"]
    assert "this layer alone quantized" in text
    assert "this layer alone quantized" not in page(GOOD)
    headings = [re.findall("<th ", page(rows)) for rows in (GOOD, [entry | sources for entry in GOOD])]
    assert len(headings[1]) == len(headings[0]) + 4


def test_poor_rows_are_marked():
    assert page(BAD).count('<tr class="poor">') == 3
    assert page(GOOD).count('<tr class="poor">') == 0


def test_the_experiment_is_named():
    text = page(GOOD)
    for part in ("small net on T40", "10-bit features", "4-bit weights", "per channel", "street", "2: a.png, b.png"):
        assert part in text


def test_plot_is_inside():
    text = page(GOOD)
    assert text.count("<svg") == text.count("</svg>") == 1
    assert "<?xml" not in text


def test_notes():
    text = page(GOOD, notes=["soft (Softmax) runs in float", "second"])
    assert "<li>soft (Softmax) runs in float</li>" in text
    assert "<li>second</li>" in text
    assert "<h2>Notes</h2>" not in page(GOOD)


def test_names_are_escaped():
    rows = [row("<script>alert(1)</script>", 0.5)]
    text = page(rows, notes=["<b>note</b>"], pictures=["<i>.png"])
    assert "<script>alert" not in text
    assert "<b>note" not in text
    assert "<i>.png" not in text
    assert Table(text).rows[0][1] == "<script>alert(1)</script>"


def test_same_page_twice():
    assert page(BAD) == page(BAD)


CURE = "quant.skip_nodes=[/mid/Conv]"
FOUND = Diagnosis(
    [
        Finding("falls", "/mid/Conv", "it falls <here>", {"a": 1.0}, CURE, Effect("isolated cosine", 0.75, 1.0)),
        Finding("debug", None, "others please", {"known": 1}),
    ],
    [Finding("dead_channels", "stem", "3 of 8 channels are 0", {"dead": 3})],
    [],
)


def test_findings_stand_on_the_page_with_their_cure():
    text = page(BAD, diagnosis=FOUND)
    assert "it falls &lt;here&gt;." in text
    assert "Isolated cosine: 0.75 → 1 with the cure." in text
    assert "python -m stages.compose --keep &#39;quant.skip_nodes=[/mid/Conv]&#39; &amp;&amp; dvc repro" in text
    assert "<li>3 of 8 channels are 0</li>" in text
    assert "Findings, worst first" not in page(GOOD)
    assert "Worth knowing" not in page(GOOD)


def test_findings_on_the_terminal():
    assert finding_lines(FOUND.findings) == [
        "finding 1: it falls <here>",
        "  try: python -m stages.compose --keep 'quant.skip_nodes=[/mid/Conv]' && dvc repro",
        "finding 2: others please",
    ]
    assert finding_lines([]) == []
