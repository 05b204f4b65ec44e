"""Names of nodes and files made of HTML, shell, line breaks and right-to-left marks, through all stages."""

import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.build.__main__ import build
from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.evaluate.__main__ import evaluate
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.conftest import composed, run_here

SCRIPT = "<script>alert(1)</script>"
NAMES = [SCRIPT, "$(touch pwned)", "line\nbreak", "\u202eevil", "'; touch pwned; '", '"onload="x', "../../../pwned"]


def network() -> onnx.ModelProto:
    """A convolution and an activation of each name, then a mean; the output has such a name too."""
    nodes, constants, last = [], [], "images"
    for index, name in enumerate(NAMES):
        weight = np.random.default_rng(index).normal(size=(3, 3, 1, 1)).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"{name} sum"], name))
        nodes.append(helper.make_node("Relu", [f"{name} sum"], [f"{name} relu"], f"{name} relu"))
        last = f"{name} relu"
    nodes.append(helper.make_node("GlobalAveragePool", [last], [SCRIPT + "out"], "pool"))
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 16, 16])]
    outputs = [helper.make_tensor_value_info(SCRIPT + "out", TensorProto.FLOAT, [1, 3, 1, 1])]
    graph = helper.make_graph(nodes, "names", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.slow
def test_they_stay_names(project, capsys):
    onnx.save(network(), "tiny.onnx")
    picture = Path("calibration/000.png")
    picture.rename(picture.with_name("<img src=x onerror=alert(2)>\n$(touch pwned).png"))
    config = composed("compare.cures=0", "compare.isolated=true")
    for stage in (export, calibset, calibrate, quantize, compare, build, evaluate):
        stage(config)
    assert run_here("-m", "stages.scan", "tiny.onnx", "--html", "scan.html").returncode == 0
    for page in ("out/compare/report.html", "scan.html"):
        text = Path(page).read_text()
        assert "<script>alert" not in text, page
        assert "&lt;script&gt;alert(1)" in text, page
        assert not re.search(r"<img[^>]*onerror", text), page
    for script in Path("out/build").rglob("*.sh"):
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0, script
    outside = [
        path for path in Path("out/build").rglob("*") if not path.resolve().is_relative_to(Path("out").resolve())
    ]
    assert outside == []
    assert not list(Path().rglob("pwned*"))
