import re
from html.parser import HTMLParser

import pytest

from stages.compare.diagnose.cure import Cure
from stages.compare.diagnose.diagnosis import Diagnosis
from stages.compare.diagnose.finding import Effect, Finding
from stages.compare.gather.picture_sets import CalibrationSet, DebugSet
from stages.compare.gather.similarity import Similarity
from stages.compare.render.box_figures import BoxPair, BoxSection
from stages.compare.render.depth_plots import similarity_plot
from stages.compare.render.report_figures import Figure
from stages.compare.render.report_page import NONE, LayerFigures, PageFigures, ReportPage, render_page
from stages.compare.render.report_verdict import Verdict
from stages.core.config.schema import Config, DataConfig, ModelConfig, QuantConfig, SocConfig, WeightScale
from stages.core.integer.network_params import FeatureParams, NetworkParams, RangeSource, WeightParams
from stages.core.outputs.answers import Answers
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import Level, OutputJudgement
from stages.core.outputs.output_kind import OutputKind
from stages.core.tpu_mlir.compiled import CompiledNetwork
from tests.compare.detected import observed, picture
from tests.compare.detected import row as boxes_in_a_row
from tests.compare.outcomes import came_through


def row(name, average, kind="Conv"):
    return {
        "node": name, "op_type": kind, "cosine_avg": average, "cosine_min": average - 0.01, "cosine_max": average,
        "euclidean": 0.125, "standard_deviation": 0.25, "max_absolute": 1.5, "max_normalized": 0.0625, "sqnr": 31.5,
        "euclidean_similarity": 0.875,
    }  # fmt: skip


GOOD = [row("stem", 0.9999), row("fc", 0.9912, "Gemm")]
BAD = [row("stem", 0.9999), row("/mid/Conv", 0.4321), row("/late/Conv", 0.9), row("fc", 0.9566, "Gemm")]


SOURCES = {"isolated_cosine": 0.75, "isolated_sqnr": 3.0, "feature_cosine": 0.625, "weight_cosine": 0.875}
SOUND = Diagnosis([], [], [], came_through([]))
GONE = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}  # have no end tag


def page(
    rows, notes=(), pictures=("a.png", "b.png"), diagnosis=SOUND, layers=(), level="good", boxes=None, compiled=None
):
    config = Config(
        soc=SocConfig(name="T40", weight_scale=WeightScale.per_channel),
        model=ModelConfig(name="small net"),
        data=DataConfig(name="street"),
        quant=QuantConfig("q", 10, 4, percentile=99.5, skip_nodes=["x", "<y>"]),
    )
    params = NetworkParams(
        [FeatureParams("t", "stem", 10, 0.5, 1, -0.5, 511.0, -0.4, 500.0, RangeSource.MAX_ABS)],
        [WeightParams("w", "stem", 4, 0, (0.1,), "MAX_ABS")],
    )
    plot = similarity_plot(rows, "")
    return render_page(
        ReportPage(
            config=config,
            params=params,
            similarity=Similarity({row["node"]: row for row in rows}, rows[-1]),
            debug=DebugSet(pictures),
            calibration=CalibrationSet(13, 13),
            verdict=Verdict(level, "It's <so>."),
            diagnosis=diagnosis,
            notes=notes,
            figures=PageFigures(curve=Figure(plot, "", plot), bits=Figure(plot, "", plot), layers=layers, boxes=boxes),
            compiled=compiled,
        )
    )


class Document(HTMLParser):
    """What a page holds: its table, headings, text outside of styles and scripts, and whether its tags nest."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.headings, self.columns, self.text = [], [], [], ""
        self.open, self.addresses, self.ids = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.addresses += [
            values[key] for key in ("src", "href", "action", "data", "poster", "srcset") if key in values
        ]
        if tag not in GONE:
            self.open.append(tag)
        if "tbody" in self.open and tag == "tr":
            self.rows.append([])
        if tag in ("td", "h2", "th"):
            {"td": self.rows[-1] if self.rows else [], "h2": self.headings, "th": self.columns}[tag].append("")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag, cells in (("td", self.rows[-1] if self.rows else []), ("h2", self.headings), ("th", self.columns)):
            if tag in self.open:
                cells[-1] += data
        if not {"script", "style", "svg"}.intersection(self.open):
            self.text += data


@pytest.mark.parametrize("level", ["good", "look", "broken"])
def test_the_verdict_comes_first(level):
    text = page(BAD, level=level)
    assert f'<p class="verdict {level}">It&#39;s &lt;so&gt;.</p>' in text
    assert text.index("verdict good" if level == "good" else f"verdict {level}") < text.index("<dl>")


def test_order():
    layers = [LayerFigures(BAD[0] | SOURCES, [])]
    sound = Document(page(BAD, notes=["n"], layers=layers))
    assert sound.headings == [
        "Findings", "Similarity over depth", "The layers to look at", "Bits over depth", "Every node", "Notes",
        "Settings",
    ]  # fmt: skip
    assert Document(page(BAD)).headings == [
        "Findings", "Similarity over depth", "Bits over depth", "Every node", "Settings",
    ]  # fmt: skip
    assert "None: nothing is wrong" in sound.text


def test_page_needs_no_other_file():
    text = page(BAD)
    document = Document(text)
    assert all(address.startswith(("#", "data:")) for address in document.addresses)
    assert len(document.ids) == len(set(document.ids))
    assert "http" not in text
    assert not re.search(r"<link|<iframe|<img|<base|@import|url\(\s*[\"']?(?!#)|fetch\(|XMLHttpRequest", text)


def test_every_node_is_in_the_table_the_least_similar_first():
    document = Document(page(BAD))
    assert [cells[:3] for cells in document.rows] == [
        ["1", "/mid/Conv", "Conv"], ["2", "/late/Conv", "Conv"], ["3", "fc", "Gemm"], ["0", "stem", "Conv"],
    ]  # fmt: skip
    assert document.columns == [
        "depth", "node", "type", "bits f/w", "cosine avg", "min", "max", "SQNR dB", "euclidean", "eucl. similarity",
        "std of error", "max absolute", "max normalized", "range", "seen",
    ]  # fmt: skip
    assert document.rows[-1][3:] == [
        "10/4", "0.99990", "0.98990", "0.99990", "31.5", "0.1250", "0.8750", "0.25", "1.5", "0.0625", "-0.5 .. 511",
        "-0.4 .. 500",
    ]  # fmt: skip
    assert document.rows[0][3] == "\N{EN DASH}/\N{EN DASH}"
    assert document.rows[0][-2:] == ["", ""]


def test_what_errs_most_alone_is_first_where_that_is_known():
    alone = [25.0, 30.0, 3.0, 12.0]
    rows = [bad | SOURCES | {"isolated_sqnr": sqnr} for bad, sqnr in zip(BAD, alone, strict=True)]
    document = Document(page(rows))
    assert [cells[1] for cells in document.rows] == ["/late/Conv", "fc", "stem", "/mid/Conv"]
    by_heading = dict(zip(document.columns, document.rows[0], strict=True))
    expected = {"isolated SQNR dB": "3.0", "isolated cosine": "0.75000", "features": "0.62500", "weights": "0.87500"}
    assert {key: by_heading[key] for key in expected} == expected
    assert "this layer alone quantized" in document.text
    assert "this layer alone quantized" not in Document(page(GOOD)).text


@pytest.mark.parametrize(("more", "heading"), [({}, "cosine avg"), (SOURCES, "isolated SQNR dB")])
def test_the_heading_says_what_the_table_is_sorted_by(more, heading):
    text = page([good | more for good in GOOD])
    assert re.findall(r'aria-sort="(\w+)"[^>]*><button type="button">([^<]+)', text) == [("ascending", heading)]


def test_poor_rows_are_marked():
    assert page(BAD).count('<tr class="poor">') == 3
    assert page(GOOD).count('<tr class="poor">') == 0


def test_the_experiment_is_named():
    text = Document(page(GOOD)).text
    for part in (
        "small net on T40", "10-bit features", "4-bit weights", "per channel", "street, 13 pictures", "2: a.png, b.png",
    ):  # fmt: skip
        assert part in text


def test_settings_are_listed():
    text = page(GOOD)
    for key, value in (
        ("quant.feature_bits", "10"), ("quant.percentile", "99.5"), ("quant.weight_correction", "false"),
        ("quant.skip_nodes", "[x, &lt;y&gt;]"), ("quant.edge_bits", "\N{EN DASH}"), ("quant.head", "quantized"),
    ):  # fmt: skip
        assert f"<dt>{key}</dt><dd>{value}</dd>" in text


def test_plots_are_inside_for_screen_and_phone():
    text = page(GOOD)
    assert text.count("<svg") == text.count("</svg>") == 4
    assert text.count('<div class="wide">') == text.count('<div class="narrow">') == 2
    assert "<?xml" not in text


def test_layers_to_look_at():
    plot = similarity_plot(GOOD, "")
    alone = row("<mid>", 0.4321) | SOURCES
    text = page([row("stem", 0.9999) | SOURCES], layers=[LayerFigures(alone, [Figure(plot, "a <caption>")])])
    assert "<h3>&lt;mid&gt;</h3>" in text
    assert "<figcaption>a &lt;caption&gt;.</figcaption>" in text
    assert "alone 3.0 dB (cosine 0.75000),\nin the network 31.5 dB (cosine 0.43210)" in text


def test_a_detector_s_boxes_stand_before_the_curve():
    caption = "<a>.jpg: boxes 3 float; 1 lost"
    pair = BoxPair("data:image/jpeg;base64,AAAA", "data:image/jpeg;base64,BBBB", caption)
    plot = Figure(similarity_plot(GOOD, ""), "a <plot>")
    text = page(GOOD, boxes=BoxSection("the network has 2 of 3 boxes", 0.25, [pair, pair], [plot], b""))
    document = Document(text)
    assert document.headings[:3] == ["Findings", "Boxes, float against quantized", "Similarity over depth"]
    assert "The network has 2 of 3 boxes." in document.text
    assert "of score 0.25 or more" in document.text
    assert text.count('<img src="data:image/jpeg;base64,AAAA" alt="float network') == 2
    assert "&lt;a&gt;.jpg: boxes 3 float; 1 lost." in text
    assert "<figcaption>a &lt;plot&gt;.</figcaption>" in text
    assert all(address.startswith(("#", "data:")) for address in document.addresses)


def test_a_detector_without_pictures_has_no_key_to_them():
    text = page(GOOD, boxes=BoxSection("the float network shows no box", 0.25, [], [], None))
    assert "The float network shows no box." in text
    assert "<img" not in text
    assert "the worst pictures first" not in text


def test_what_the_vendor_s_compiler_made_stands_before_the_nodes():
    def layer(name, cosine, apart):
        codes = None if apart is None else 200
        return {"layer": name, "op_type": "Conv", "type": "i8", "cosine": cosine, "euclidean_similarity": 0.9,
                "sqnr": 20.0, "codes": codes, "codes_apart": apart}  # fmt: skip

    outputs = [{"output": "y_Gemm", "cosine": 0.98765, "equals_simulation": True, "near_simulation": True}]
    record = {"model": "net.bmodel", "compiler": "v1", "outputs": outputs}
    compiled = CompiledNetwork(record, [layer("a_Conv", 0.999, 10), layer("b_Conv", 0.5, 0), layer("s", 0.9, None)])
    made = Document(page(BAD, compiled=compiled))
    assert made.headings[-3:] == ["As the vendor's compiler made it", "Every node", "Settings"]
    assert [[row[0], row[-1]] for row in made.rows[:3]] == [["b_Conv", "0"], ["s", NONE], ["a_Conv", "10"]]
    text = " ".join(made.text.split())
    assert "y_Gemm has cosine 0.9877 to the float network and equals its simulation." in text
    assert "has 2.5 % of the codes otherwise." in text


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
    assert Document(text).rows[0][1] == "<script>alert(1)</script>"


def test_same_page_twice():
    assert page(BAD) == page(BAD)


CURE = "quant.skip_nodes=[/mid/Conv]"
FOUND = Diagnosis(
    [
        Finding(
            "falls",
            "/mid/Conv",
            "it falls <here>",
            {"a": 1.0, "from_node": "x<y"},
            CURE,
            Effect("isolated cosine", 0.75, 1.0),
        ),
        Finding("debug", None, "others please", {"known": 1}),
    ],
    [Finding("dead_channels", "stem", "3 of 8 channels are 0", {"dead": 3})],
    [],
    came_through(
        [
            OutputJudgement(
                "y<0>",
                OutputKind.heat_map,
                [PartError("y<0>", "mask", 9, 1.0, 0.6)],
                [1.0],
                Answers(40, 8, 2, "pixels"),
            ),
            OutputJudgement(
                "z",
                OutputKind.number,
                [PartError("z", "", 9, 1.0, 0.1)],
                [1.0],
                silent="it says nothing",
                span=(-3.25, -1.0),
            ),
        ]
    ),
    cures=[Cure(CURE, Effect("fidelity of the outputs", 0.8, 0.99), Level.good, False, 0)],
    notes=["quant=best could not be tried: it is late"],
)


def test_findings_stand_on_the_page_with_their_cure():
    text = page(BAD, diagnosis=FOUND)
    assert "it falls &lt;here&gt;." in text
    assert "<p>With the cure: isolated cosine 0.75 -&gt; 1.</p>" in text
    assert "python -m stages.compose --keep &#39;quant.skip_nodes=[/mid/Conv]&#39; &amp;&amp; dvc repro" in text
    assert "<li>3 of 8 channels are 0</li>" in text
    assert "<span>a: 1</span> <span>from node: x&lt;y</span>" in text
    assert text.count('class="copy"') == 2


def test_cures_stand_on_the_page_with_what_they_were_measured_to_do():
    text = page(BAD, diagnosis=FOUND)
    remark = " (on the PC only: no converter takes a scale a channel of features)."
    assert f"<b>Fidelity of the outputs 0.8 -&gt; 0.99</b>{remark}" in text
    assert "Quant=best could not be tried: it is late." in text
    assert "Cures that were tried" not in page(BAD)


def test_outputs_of_a_detector_are_no_alarm_where_its_boxes_decide():
    part = OutputJudgement("y", OutputKind.head, [PartError("y", "", 40, 1.0, 0.6)], [1.0])
    found = observed(picture(boxes_in_a_row(4), boxes_in_a_row(4)))
    for boxes, heading in ((found, "by itself"), (None, "verdict")):
        text = page(GOOD, diagnosis=Diagnosis([], [], [], came_through([part], boxes)))
        assert ("the verdict above goes by the boxes" in text) == (boxes is not None)
        assert ('<tr class="poor"><td class="name">y' in text) == (boxes is None)
        (headings,) = (line for line in text.splitlines() if ">what it is<" in line)
        assert re.findall(r"<th(?: [^>]*)?>(.*?)</th>", headings) == [
            "output",
            "what it is",
            "float values",
            "off by",
            "fidelity",
            heading,
        ]


def test_every_output_stands_on_the_page_with_its_verdict():
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in page(BAD, diagnosis=FOUND).splitlines()]
    assert ["y&lt;0&gt;", "heat map", NONE, "mask", "60 %", "0.8000", "8 of 40 pixels", "look"] in cells
    assert ["z", "one number", "-3.25 .. -1", NONE, "10 %", "0.9950", NONE, "cannot tell: it says nothing"] in cells
