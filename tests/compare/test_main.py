import json
import shutil
from pathlib import Path

import onnx
import pytest

from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.core.errors import UserError
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.networks import tiny_classifier


def files():
    return {path.name: path.read_bytes() for path in Path("out/compare").iterdir()}


def test_writes_table_plot_and_report(quantized, capsys):
    compare(quantized)
    first = files()
    assert sorted(first) == ["report.html", "similarity.csv", "similarity.json", "similarity.svg"]
    rows = json.loads(first["similarity.json"])
    assert rows[0]["node"] == "stem"
    assert len(rows) == 9
    assert all(0.9 < row["cosine_avg"] < 1 for row in rows)
    page = first["report.html"].decode()
    assert all(f">{row['node']}<" in page for row in rows)
    assert "2: 000.png, 001.png" in page
    assert "onnx on T40: 8-bit features, 8-bit weights, 2 pictures" in page
    shown = capsys.readouterr().out
    assert "similarity of 9 nodes" in shown
    assert Path("out/compare/report.html").resolve().as_uri() in shown
    compare(quantized)
    assert files() == first


def test_a_debug_picture_that_calibrated_gives_a_note(quantized, capsys):
    Path("debug").mkdir()
    shutil.copy("evaluation/ant/000.png", "debug/new.png")
    shutil.copy("calibration/004.png", "debug/old.png")
    quantized.data.debug.source = "file:debug"
    compare(quantized)
    note = "debug picture old.png is also calibration picture 004.png: use others"
    assert f"<li>{note}</li>" in Path("out/compare/report.html").read_text()
    assert f"warning: {note}" in capsys.readouterr().err
    assert "new.png is also" not in Path("out/compare/report.html").read_text()


@pytest.mark.parametrize("name", ["correction", "validation"])
def test_a_debug_picture_that_served_to_correct_is_named(quantized, capsys, name):
    Path("more").mkdir()
    shutil.copy("evaluation/ant/000.png", "more/used.png")
    getattr(quantized.data, name).source = "file:more"
    calibset(quantized)
    quantize(quantized)
    compare(quantized)
    assert f"warning: debug picture 000.png is also {name} picture used.png: use others" in capsys.readouterr().err


def test_notes_of_earlier_stages_are_on_the_page(quantized):
    quantized.data.calibration.size = 3
    quantized.quant.weight_bits = 6
    calibset(quantized)
    quantize(quantized)
    compare(quantized)
    page = Path("out/compare/report.html").read_text()
    assert "<li>calibration set: 3 calibration pictures are few: take 10 to 200</li>" in page
    assert "fc has 8-bit weights, not 6" in page


@pytest.mark.parametrize("name", ["block[a]/conv", "block[/a]"])
def test_names_with_brackets_are_shown_whole(quantized, capsys, name):
    model = tiny_classifier()
    model.graph.node[4].name = name
    onnx.save(model, "tiny.onnx")
    for stage in (export, quantize, compare):
        stage(quantized)
    assert name in capsys.readouterr().out


def test_the_integer_model_is_what_is_compared(quantized):
    """Removing the quantize-dequantize network changes nothing; without the integer model nothing goes."""
    compare(quantized)
    first = files()
    Path("out/quantize/quantized.onnx").unlink()
    compare(quantized)
    assert files() == first
    Path("out/quantize/integer.onnx").unlink()
    with pytest.raises(UserError) as caught:
        compare(quantized)
    assert str(caught.value) == "out/quantize/integer.onnx is missing: run `dvc repro quantize` first"
    assert files() == first


def test_another_network_in_its_place_is_refused(quantized):
    shutil.copy("out/quantize/quantized.onnx", "out/quantize/integer.onnx")
    with pytest.raises(UserError, match="is no integer model of version 1: run `dvc repro quantize`"):
        compare(quantized)


def test_a_file_that_is_no_network_is_refused(quantized):
    Path("out/quantize/integer.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"out/quantize/integer\.onnx is not an ONNX file") as caught:
        compare(quantized)
    assert "\n" not in str(caught.value)
