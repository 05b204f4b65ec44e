import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.compare.cures import cures
from stages.compare.gather.comparison import SOURCES
from stages.compare.gather.similarity import COLUMNS
from stages.core.base.artifacts import write_checksums
from stages.core.base.errors import UserError
from stages.core.base.paths import INPUTS
from stages.core.config.schema import Equalization, FakeQuant
from stages.core.data.inputs import load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.networks import soc_config, spoil_logits, tiny_classifier


def files():
    return {path.name: path.read_bytes() for path in Path("out/compare").iterdir()}


def table():
    return {row["node"]: row for row in json.loads(Path("out/compare/similarity.json").read_text())}


def test_writes_table_plot_and_report(quantized, capsys):
    compare(quantized)
    first = files()
    assert sorted(first) == [
        "by_picture.csv",
        "checksums.json",
        "diagnosis.json",
        "report.html",
        "settings.json",
        "similarity.csv",
        "similarity.json",
        "similarity.svg",
    ]
    diagnosis = json.loads(first["diagnosis.json"])
    assert (diagnosis["findings"], diagnosis["inputs"]) == ([], [])
    rows = json.loads(first["similarity.json"])
    assert rows[0]["node"] == "stem"
    assert len(rows) == 9
    assert all(0.9 < row["cosine_avg"] < 1 for row in rows)
    assert list(rows[0]) == COLUMNS + SOURCES
    assert next(csv.DictReader(io.StringIO(first["similarity.csv"].decode()))).keys() == {"depth", *rows[0]}
    by_picture = list(csv.DictReader(io.StringIO(first["by_picture.csv"].decode())))
    assert [(line["picture"], line["node"]) for line in by_picture] == [
        (picture, row["node"]) for picture in ("000.png", "001.png") for row in rows
    ]
    page = first["report.html"].decode()
    assert all(f">{row['node']}<" in page for row in rows)
    assert "2: 000.png, 001.png" in page
    assert "onnx on T40: 8-bit features, 8-bit weights, 2 pictures" in first["similarity.svg"].decode()
    assert page.count('<section class="layer">') == 6
    assert "Weights of depthwise, 8 output channels" in page
    shown = capsys.readouterr().out
    assert "similarity of 9 nodes" in shown
    assert "3 more networks on each debug picture" in shown
    assert Path("out/compare/report.html").resolve().as_uri() in shown
    compare(quantized)
    assert files() == first


@pytest.mark.usefixtures("undrawn")
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
@pytest.mark.usefixtures("undrawn")
def test_a_debug_picture_that_served_to_correct_is_named(quantized, capsys, name):
    Path("more").mkdir()
    shutil.copy("evaluation/ant/000.png", "more/used.png")
    getattr(quantized.data, name).source = "file:more"
    calibset(quantized)
    quantize(quantized)
    compare(quantized)
    assert f"warning: debug picture 000.png is also {name} picture used.png: use others" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_notes_of_earlier_stages_are_on_the_page(quantized):
    quantized.data.calibration.size = 3
    quantized.quant.weight_bits = 6
    calibset(quantized)
    quantize(quantized)
    compare(quantized)
    page = Path("out/compare/report.html").read_text()
    assert "<li>calibration set: 3 calibration pictures are few: take 10 to 200</li>" in page
    assert "fc has 8-bit weights, not 6" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["block[a]/conv", "block[/a]"])
@pytest.mark.usefixtures("undrawn")
def test_names_with_brackets_are_shown_whole(quantized, capsys, name):
    model = tiny_classifier()
    model.graph.node[4].name = name
    onnx.save(model, "tiny.onnx")
    for stage in (export, quantize, compare):
        stage(quantized)
    assert name in capsys.readouterr().out


@pytest.mark.slow
def test_the_integer_model_is_what_is_compared(quantized):
    """Removing the other forms of the network changes nothing; without the integer model nothing goes."""
    quantized.compare.isolated = False
    compare(quantized)
    first = files()
    Path("out/quantize/quantized.onnx").unlink()
    Path("out/quantize/prepared.onnx").unlink()
    compare(quantized)
    assert files() == first
    Path("out/quantize/integer.onnx").unlink()
    with pytest.raises(UserError) as caught:
        compare(quantized)
    assert str(caught.value) == "out/quantize/integer.onnx is missing: run `dvc repro quantize` first"
    assert not Path("out/compare").exists()  # nobody takes the old numbers for the new ones


def test_another_network_in_its_place_is_refused(quantized):
    shutil.copy("out/quantize/quantized.onnx", "out/quantize/integer.onnx")
    write_checksums(Path("out/quantize"))
    with pytest.raises(UserError, match="is no integer model of version 1: run `dvc repro quantize`"):
        compare(quantized)


def test_a_file_that_is_no_network_is_refused(quantized):
    Path("out/quantize/integer.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"out/quantize/integer\.onnx is damaged: run") as caught:
        compare(quantized)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("undrawn")
def test_without_isolated_the_table_says_nothing_of_where_the_error_comes_from(quantized, capsys):
    compare(quantized)
    full = table()
    capsys.readouterr()
    quantized.compare.isolated = False
    compare(quantized)
    assert table() == {name: {key: row[key] for key in COLUMNS} for name, row in full.items()}
    assert "more networks" not in capsys.readouterr().out
    page = Path("out/compare/report.html").read_text()
    assert "lone quantized" not in page
    assert "are least similar" in page


@pytest.mark.parametrize(("side", "key"), [("feature", "feature_cosine"), ("weight", "weight_cosine")])
@pytest.mark.usefixtures("undrawn")
def test_one_side_alone_is_what_one_sided_quantization_gives(quantized, side, key):
    """Under a rule whose weight scales do not depend on the features."""
    quantized.soc = soc_config("multiplier_shift")
    quantize(quantized)
    compare(quantized)
    both = table()
    quantized.quant.fake_quant = FakeQuant[side]
    quantize(quantized)
    compare(quantized)
    one = table()
    assert both["project"][key] < 1 - 1e-7
    for name, row in both.items():
        assert row[key] == pytest.approx(one[name]["cosine_avg"], abs=1e-6), name
        assert one[name][key] == pytest.approx(one[name]["cosine_avg"], abs=1e-6), name


@pytest.mark.usefixtures("undrawn")
def test_corrected_biases_belong_to_the_weights(quantized):
    compare(quantized)
    before = table()
    quantized.quant.weight_correction = quantized.quant.feature_correction = True
    quantize(quantized)
    compare(quantized)
    for name, row in table().items():
        assert row["feature_cosine"] == pytest.approx(before[name]["feature_cosine"], abs=1e-9)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_an_equalized_network_is_compared_in_the_units_of_the_float_network(quantized):
    quantized.quant.equalization = Equalization.cross_layer
    quantize(quantized)
    compare(quantized)
    for row in table().values():
        assert all(row[key] > 0.99 for key in ("cosine_avg", "isolated_cosine", "feature_cosine", "weight_cosine"))


@pytest.mark.parametrize(("soc", "folder"), [("t40", "magik_dump_path"), ("bm1684x", "tpu_mlir_dump")])
@pytest.mark.usefixtures("undrawn")
def test_the_first_debug_picture_is_dumped_on_request(quantized, soc, folder):
    quantized.soc = soc_config(soc)
    quantized.compare.dump = True
    quantize(quantized)
    compare(quantized)
    assert [path.name for path in Path("out/compare").iterdir() if path.is_dir()] == [folder]
    picture = np.fromfile("out/compare/magik_dump_path/input_uint8.bin", np.uint8) if soc == "t40" else None
    if picture is not None:
        inputs = load_inputs(INPUTS)
        files = select(quantized.data.debug, inputs, "data.debug")
        first = next(read_samples(files, inputs, quantized.model.preprocess, "data.debug")).sample["images"]
        np.testing.assert_array_equal(picture.reshape(first.shape), first)
    quantized.compare.dump = False
    compare(quantized)
    assert not any(path.is_dir() for path in Path("out/compare").iterdir())


@pytest.mark.slow
def test_a_quantized_network_that_is_not_finite_has_a_report(quantized, capsys):
    spoil_logits(Path("out/quantize/integer.onnx"))
    quantized.compare.cures = 0
    compare(quantized)
    diagnosis = json.loads(Path("out/compare/diagnosis.json").read_text())
    assert diagnosis["verdict"]["level"] == "broken"
    finding = diagnosis["findings"][0]
    assert (finding["kind"], finding["node"], finding["cure"]) == ("not_finite", "fc", None)
    assert finding["evidence"] == {"pictures": 2, "of": 2, "tensors": 1, "before": "pool, residual, stem_relu"}
    assert (table()["fc"]["cosine_avg"], table()["fc"]["max_absolute"]) == (0.0, None)
    shown = capsys.readouterr().out
    assert "look first at fc, which is infinite or not a number (finding 1)" in shown
    assert Path("out/compare/report.html").read_text().count('<section class="layer">') == 6


@pytest.mark.slow
def test_what_became_of_the_outputs_is_said_before_cures_are_tried(quantized, capsys, monkeypatch):
    """Without a word of the verdict, which trials may change."""

    def with_cures(diagnosis, config):
        said = capsys.readouterr().err
        assert "so far: the output logits (class scores) is infinite or not a number after quantizing; " in said
        assert "the verdict follows the cures" in said
        assert "Broken" not in said
        return diagnosis

    spoil_logits(Path("out/quantize/integer.onnx"))
    monkeypatch.setattr(cures, "with_cures", with_cures)
    compare(quantized)
    assert "Broken: " in capsys.readouterr().out
