"""The examples of docs/detectors.md run as they stand there."""

import re
from typing import Any

import numpy as np
import onnx

from stages.core.config.schema import Config, ModelConfig
from stages.export.__main__ import export
from tests.conftest import REPOSITORY
from tests.core.heads.exporters import yolov5, yolox

PAGE = (REPOSITORY / "docs" / "detectors.md").read_text(encoding="utf-8")
DECODING, OWN, RECOGNIZING, BY_HAND = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_decoding_in_a_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    onnx.save(yolox(), "detector.onnx")
    export(Config(model=ModelConfig("detector", "file:detector.onnx")))
    capsys.readouterr()
    exec(DECODING, {})
    assert capsys.readouterr().out.startswith("[[")


def test_a_decoding_of_ones_own():
    module: dict[str, Any] = {}
    exec(OWN, module)
    outputs = {"scores": np.zeros((1, 256, 1), np.float32), "boxes": np.tile([1.0, 2.0, 8.0, 4.0], (1, 256, 1))}
    boxes, scores, classes = module["decode"](outputs)
    # the second cell's centre is 12, 4
    assert boxes[1].tolist() == [12 + 1 - 4, 4 + 2 - 2, 12 + 1 + 4, 4 + 2 + 2]
    assert (scores[1], classes[1]) == (0.5, 0)


def test_recognizing_with_anchors(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (name,) = re.findall(r'onnx\.load\("(.+)"\)', RECOGNIZING)
    onnx.save(yolov5(end="sigmoid"), name)
    exec(RECOGNIZING, {})
    assert "with the anchors given" in capsys.readouterr().out


def test_a_head_by_hand(capsys):
    exec(BY_HAND, {})
    assert capsys.readouterr().out == "2125\n"
