import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from stages.core.base.errors import UserError
from stages.export.shapes import UnknownShapeError
from stages.scan.__main__ import _following, parser, scan
from stages.scan.render.page import render_page
from stages.scan.render.tables import float_groups, refusal_groups
from tests.conftest import composed
from tests.scan.networks import attention, scanned, socs

SOCS = ("t40", "t41", "bm1684x")


@pytest.fixture
def scan_here(project, monkeypatch, capsys):
    """Scan with a composition that other tests have too; gives what the JSON file holds, and what is printed."""
    monkeypatch.setattr("stages.scan.__main__.read_experiment", lambda *_: composed())
    monkeypatch.setattr("stages.scan.__main__.read_socs", lambda *_: socs(*SOCS))

    def run(*words):
        scan(parser().parse_args(["tiny.onnx", "--json", "scan.json", *words]))
        return json.loads(Path("scan.json").read_text(encoding="utf-8")), capsys.readouterr().out

    return run


def test_a_network(scan_here):
    content, printed = scan_here()
    assert "onnx: 9 nodes" in printed
    assert "outputs: logits (one row of values)" in printed
    assert "C++: the reference runtime; open T41: the open compiler" in printed
    assert list(content["socs"]) == [*SOCS]
    t41 = content["socs"]["t41"]
    assert (t41["float_layers"], t41["integer_macs_share"]) == (0, 1.0)
    # 8 x 27 on 8x8, 8 x 9 on 8x8, 8 x 8 on 8x8, 3 x 8
    assert content["macs"] == 64 * (8 * 27 + 8 * 9 + 8 * 8) + 24
    routes = {route["route"]: route for route in t41["routes"]}
    assert routes["C++ runtime"]["taken"]
    # the pool's input is a sum that may be negative
    assert [each["node"] for each in routes["open T41 runtime"]["refusals"]] == ["pool"]
    weights = 8 * 27 + 8 * 9 + 64 + 24
    assert [cost["weight_bytes"] for cost in t41["costs"]] == [weights, weights // 2, weights // 2]
    assert [cost["feature_bits"] for cost in content["socs"]["bm1684x"]["costs"]] == [8]
    page = Path("out/scan/report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4  # Ingenic's two and Sophgo's: two figures each
    assert "depthwise" in page


@pytest.mark.parametrize(
    ("words", "following"),
    [
        (["my.onnx", "--soc", "t41,t40"], "python -m stages.init my.onnx pictures/ --soc t41"),
        (["my.onnx", "--shape", "a=1,2"], "python -m stages.init my.onnx pictures/ --soc SOC --shape a=1,2"),
        (["model=yunet", "quant=a8w4"], "python -m stages.compose model=yunet soc=SOC && dvc repro"),
        (["--params", "params.yaml"], "dvc repro"),
    ],
)
def test_what_is_next(words, following):
    assert _following(parser().parse_intermixed_args(words)) == following


def test_open_sizes_need_a_shape(scan_here):
    model = onnx.load("tiny.onnx")
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"d{axis}"
    onnx.save(model, "tiny.onnx")
    with pytest.raises(UserError, match=r"'images' has the dynamic shape \[1,3,\?,\?\]: give --shape images=1,\.\.\."):
        scan_here()
    content, _ = scan_here("--shape", "images=1,3,32,32")
    assert content["inputs"][0]["shape"] == [1, 3, 32, 32]


def test_weights_beside_the_file_are_taken_too(scan_here, project):
    onnx.save(onnx.load("tiny.onnx"), "tiny.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    content, _ = scan_here()
    assert content["macs"] == 64 * (8 * 27 + 8 * 9 + 8 * 8) + 24


def test_formats_that_say_no_shapes_need_one(scan_here, monkeypatch):
    def read(*_):
        raise UnknownShapeError("x", "model.inputs: 'x' has no shape")

    monkeypatch.setattr("stages.scan.__main__.exported_network", read)
    with pytest.raises(UserError, match=r"^input 'x' has no static shape in the file: .* --shape x=1,3,224,224$"):
        scan_here()


def test_settings_that_a_soc_lacks_are_said_of_it(scan_here, monkeypatch):
    config = composed()
    narrow = replace(config, quant=replace(config.quant, feature_bits=4, weight_bits=4))
    monkeypatch.setattr("stages.scan.__main__.read_experiment", lambda *_: narrow)
    content, printed = scan_here()
    assert list(content["socs"]) == ["t40", "t41"]
    assert "cannot do 4 bits" in content["refused"]["bm1684x"]
    assert f"bm1684x: {content['refused']['bm1684x']}" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give a network (my.onnx), or --params params.yaml"),
        (("tiny.onnx", "--params", "params.yaml"), "leave out tiny.onnx, or leave out --params"),
        (("tiny.onnx", "--json", "calibration"), "calibration is a folder: name a file"),
    ],
)
def test_mistakes(command, words, said):
    run = command("scan", *words)
    assert run.returncode == 2
    assert said in run.stderr
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_command(command, project):
    """A file and overrides, all SOCs; then the current experiment: the same network."""
    run = command("scan", "tiny.onnx", "--json", "scan.json", "model.inputs=[{mean: [128], normal: [64]}]")
    assert run.returncode == 0, run.stderr
    first = json.loads((project / "scan.json").read_text(encoding="utf-8"))
    assert len(first["socs"]) == len(list((project / "conf/soc").glob("*.yaml")))
    run = command("scan", "--params", "params.yaml", "--json", "scan.json", "--html", "page.html")
    assert run.returncode == 0, run.stderr
    second = json.loads((project / "scan.json").read_text(encoding="utf-8"))
    assert second == first | {"network": "onnx"}
    assert (project / "page.html").is_file()
    run = command("scan", "missing.onnx")
    assert (run.returncode, len(run.stderr.splitlines())) == (2, 1)


@pytest.fixture(scope="module")
def attention_scan():
    return scanned(attention(), ("t40", "t41", "bm1684x"))


def test_reasons_are_grouped(attention_scan):
    groups = {group.kind: group for group in float_groups(attention_scan)}
    assert groups["Exp"].where == ["all"]
    assert groups["Exp"].reason == "the SOC has no integer Exp"
    refused = [(group.kind, group.where) for group in refusal_groups(attention_scan)]
    assert ("LRN", ["C++ runtime"]) in refused


def test_the_page_is_the_same_twice(attention_scan):
    page = render_page(attention_scan, "a<b>")
    assert page == render_page(attention_scan, "a<b>")
    assert "a<b>" not in page
    assert "Islands in float: 3" in page
    assert "leave it to the program on the board: model.outputs=[l]" in page
