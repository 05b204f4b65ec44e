"""A detector from export to the report, cut as by default and whole."""

import json
from pathlib import Path

import cv2
import onnx
import pytest

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.core.config.schema import Task, UnlikeParts
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.conftest import composed
from tests.core.heads.exporters import yolov8


@pytest.fixture
def detector(project):
    """A small YOLOv8 whose classes are seldom likely, and pictures; the float network shows boxes in all of them."""
    model = yolov8()
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}{index}"
    onnx.save(model, "tiny.onnx")
    config = composed()
    config.data.evaluation.labels, config.data.evaluation.task = None, Task.none
    config.data.debug.source = "file:evaluation"
    config.model.detector.score_threshold = 0.6
    return config


def run(config, *stages):
    for stage in stages or (export, calibset, calibrate, quantize, compare):
        stage(config)
    return json.loads(Path("out/compare/diagnosis.json").read_text())["findings"]


@pytest.mark.slow
def test_a_network_that_is_cut_has_no_finding(detector, capsys):
    assert run(detector) == []
    said = capsys.readouterr().out
    assert "Good: the quantized network has" in said
    page = Path("out/compare/report.html").read_text()
    assert "Boxes, float against quantized" in page
    assert page.count('<div class="pair">') == 4
    sheet = cv2.imread("out/compare/boxes.jpg")
    assert sheet.shape[1] > sheet.shape[0] / 2
    assert len(page) < 1_500_000
    first = {path.name: path.read_bytes() for path in Path("out/compare").iterdir()}
    run(detector, compare)
    assert {path.name: path.read_bytes() for path in Path("out/compare").iterdir()} == first


@pytest.mark.usefixtures("undrawn")
def test_a_whole_network_is_broken_at_its_last_concat(detector, capsys):
    detector.model.cut, detector.quant.unlike_parts = False, UnlikeParts.quantized
    joint, *others = run(detector)
    assert (joint["kind"], joint["cure"]) == ("parts", "model.cut=true")
    assert joint["node"] == onnx.load("tiny.onnx").graph.node[-1].name
    assert joint["effect"]["after"] < joint["effect"]["before"] / 3
    (boxes,) = [finding for finding in others if finding["kind"] == "boxes"]
    assert (boxes["cure"], boxes["effect"]["metric"][:13]) == ("model.cut=true", "boxes kept of")
    assert boxes["effect"]["after"] > 2 * boxes["effect"]["before"]
    said = capsys.readouterr().out
    assert "Broken: the quantized network has" in said
    assert "try: python -m stages.compose --keep model.cut=true && dvc repro" in said


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_whole_network_that_joins_in_float_has_no_finding(detector, capsys):
    detector.model.cut = False
    assert run(detector) == []
    assert "Good: the quantized network has" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_a_function_of_the_user_s_decodes(detector):
    Path("mine.py").write_text(
        "import numpy as np\n"
        "def decode(outputs):\n"
        "    return np.array([[4, 4, 40, 40.0]]), np.array([0.9]), np.array([2])\n"
    )
    detector.model.cut, detector.model.detector.function = False, "mine:decode"
    run(detector)
    assert "has 4 of the float network&#39;s 4 boxes on 4 debug pictures" in Path("out/compare/report.html").read_text()
