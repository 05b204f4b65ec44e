import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from stages.calibset.__main__ import calibset
from stages.core.base.artifacts import write_checksums
from stages.core.base.errors import UserError
from stages.core.config.schema import Task
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import load_qparams
from stages.core.integer.reference import run_reference
from stages.evaluate.__main__ import evaluate
from stages.quantize.__main__ import quantize
from tests.export.graphs import run_onnx
from tests.networks import soc_config, spoil_logits, tiny_classifier


def results():
    rows = list(csv.DictReader(Path("out/evaluate/predictions.csv").read_text().splitlines()))
    return json.loads(Path("out/evaluate/metrics.json").read_text()), rows


def float_input(name):
    sample = cv2.resize(cv2.imread(f"evaluation/{name}"), (16, 16))[:, :, ::-1]
    return ((sample.astype(np.float32) - 128) / 64).transpose(2, 0, 1)[None]


def float_logits(name):
    return run_onnx(tiny_classifier(), {"images": float_input(name)})[0][0]


def test_accuracy_of_labelled_pictures(quantized, capsys):
    evaluate(quantized)
    metrics, rows = results()
    assert set(metrics) == {"float", "quantized", "agreement", "cosine", "fidelity", "count"}
    assert metrics["count"] == len(rows) == 6
    assert [row["file"] for row in rows][::2] == ["ant/000.png", "bee/000.png", "cat/000.png"]
    assert [row["label"] for row in rows] == ["0", "0", "1", "1", "2", "2"]
    expected = [np.argsort(-float_logits(row["file"])) for row in rows]
    assert [row["float_top5"] for row in rows] == [" ".join(map(str, best)) for best in expected]
    hits = [best[0] == int(row["label"]) for best, row in zip(expected, rows, strict=True)]
    assert metrics["float"] == {"top1": sum(hits) / 6, "top5": 1.0}
    quantized = [row["quantized_top5"].split()[0] == row["label"] for row in rows]
    assert metrics["quantized"]["top1"] == sum(quantized) / 6
    assert 0.9 < metrics["cosine"] < 1
    assert "accuracy on 6 pictures" in capsys.readouterr().out


def test_same_bytes_twice(quantized):
    evaluate(quantized)
    first = [path.read_bytes() for path in sorted(Path("out/evaluate").iterdir())]
    evaluate(quantized)
    assert [path.read_bytes() for path in sorted(Path("out/evaluate").iterdir())] == first


def test_a_few_of_the_pictures_keep_their_class_numbers(quantized):
    quantized.data.evaluation.size = 2
    evaluate(quantized)
    _, rows = results()
    assert [(row["file"], row["label"]) for row in rows] == [("ant/000.png", "0"), ("bee/001.png", "1")]


def test_without_labels_the_outputs_are_compared(quantized, capsys):
    quantized.data.evaluation.labels, quantized.data.evaluation.task = None, Task.none
    evaluate(quantized)
    metrics, rows = results()
    assert set(metrics) == {"cosine", "fidelity", "count"}
    assert metrics["cosine"] == pytest.approx(np.mean([float(row["cosine"]) for row in rows]))
    assert "no labels, no accuracy" in capsys.readouterr().out


def test_calibration_pictures_among_them_are_warned_of(quantized, capsys):
    shutil.copy("calibration/003.png", "evaluation/cat/known.png")
    evaluate(quantized)
    shown = capsys.readouterr().err
    assert "warning: 1 of 7 evaluation pictures served to quantize: the result flatters" in shown


def test_pictures_that_served_to_correct_are_warned_of(quantized, capsys):
    quantized.data.correction.source = quantized.data.validation.source = "file:evaluation/cat"
    for stage in (calibset, quantize, evaluate):
        stage(quantized)
    shown = capsys.readouterr().err
    assert "warning: 2 of 6 evaluation pictures served to quantize: the result flatters" in shown


def test_a_label_the_network_lacks_is_refused(quantized):
    Path("labels.csv").write_text(
        "file,label\n" + "".join(f"{c}/00{i}.png,{i + 2}\n" for c in ("ant", "bee", "cat") for i in (0, 1))
    )
    quantized.data.evaluation.labels = "file:labels.csv"
    with pytest.raises(UserError, match="class 3, but the network has 3 classes"):
        evaluate(quantized)
    assert not Path("out/evaluate").exists()


def test_a_network_with_several_outputs_has_no_classes(quantized):
    model = tiny_classifier()
    model.graph.output.append(onnx.ValueInfoProto(name="pooled"))
    onnx.save(model, "out/export/model.onnx")
    write_checksums(Path("out/export"))
    with pytest.raises(UserError, match="classification needs one output; the network has logits, pooled"):
        evaluate(quantized)


def files():
    return {path.name: path.read_bytes() for path in Path("out/evaluate").iterdir()}


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
def test_the_scores_are_of_the_integer_arithmetic(quantized, soc):
    """The NumPy reference gives the predictions that are written."""
    quantized.soc = soc_config(soc)
    quantize(quantized)
    evaluate(quantized)
    integer = load_integer_model(Path("out/quantize/integer.onnx"))
    params = {entry.tensor: entry for entry in load_qparams(Path("out/quantize/qparams.json"), quantized).features}
    assert ("logits" in params) is (soc == "bm1684x")
    for row in results()[1]:
        logits = run_reference(integer, {"images": float_input(row["file"])})["logits"][0].astype(np.float64)
        assert row["quantized_top5"].split()[0] == str(np.argmax(logits))


def test_the_integer_model_is_what_is_evaluated(quantized):
    """Removing the quantize-dequantize network changes nothing; without the integer model nothing goes."""
    evaluate(quantized)
    first = files()
    Path("out/quantize/quantized.onnx").unlink()
    evaluate(quantized)
    assert files() == first
    Path("out/quantize/integer.onnx").unlink()
    with pytest.raises(UserError) as caught:
        evaluate(quantized)
    assert str(caught.value) == "out/quantize/integer.onnx is missing: run `dvc repro quantize` first"
    assert not Path("out/evaluate").exists()  # nobody takes the old numbers for the new ones


def test_another_network_in_its_place_is_refused(quantized):
    shutil.copy("out/quantize/quantized.onnx", "out/quantize/integer.onnx")
    write_checksums(Path("out/quantize"))
    with pytest.raises(UserError, match="is no integer model of version 1: run `dvc repro quantize`"):
        evaluate(quantized)


def test_a_file_that_is_no_network_is_refused(quantized):
    Path("out/quantize/integer.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"out/quantize/integer\.onnx is damaged: run") as caught:
        evaluate(quantized)
    assert "\n" not in str(caught.value)


def test_a_quantized_network_that_is_not_finite_is_refused(quantized):
    spoil_logits(Path("out/quantize/integer.onnx"))
    with pytest.raises(UserError) as caught:
        evaluate(quantized)
    assert str(caught.value).startswith(
        "data.evaluation: an output of the quantized network is infinite or not a number"
    )
    assert str(caught.value).endswith("; compare says which layer makes it so")
