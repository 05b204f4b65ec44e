"""Faults planted in a whole experiment; each gives its finding first, a sound one none."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.core.base.paths import DIAGNOSIS, INPUTS, REPORT
from stages.core.config.schema import Task
from stages.core.data.inputs import load_inputs
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.networks import tiny_classifier, write_pictures

pytestmark = pytest.mark.usefixtures("undrawn", "untried")

STAGES = (export, calibset, calibrate, quantize, compare)


def diagnosis(config, stages=STAGES):
    for stage in stages:
        stage(config)
    return json.loads(DIAGNOSIS.read_text())


def first(config, stages=STAGES):
    return diagnosis(config, stages)["findings"][0]


@pytest.mark.parametrize("seed", range(4))
def test_a_sound_network_has_none(quantized, seed, capsys):
    onnx.save(tiny_classifier(seed=seed), "tiny.onnx")
    assert diagnosis(quantized)["findings"] == []
    assert "finding" not in capsys.readouterr().out


def test_an_input_that_cannot_be_checked(quantized, capsys):
    """No batch norms and no labels: compare does not claim that the input is right."""
    quantized.data.evaluation.labels, quantized.data.evaluation.task = None, Task.none
    unchecked, *_ = diagnosis(quantized, (compare,))["information"]
    assert (unchecked["kind"], unchecked["evidence"]) == ("input_unchecked", {"batch_norms": 0})
    assert f"note: {unchecked['sentence']}" in capsys.readouterr().out.splitlines()
    page = REPORT.read_text()
    assert "nothing is wrong with calibration, ranges" in page
    assert page.count("not checked: the network has no batch norms") == 1


def test_few_pictures(quantized, capsys):
    quantized.data.calibration.size = 3
    finding = first(quantized)
    assert (finding["kind"], finding["cure"]) == ("calibration", "data.calibration.size=12")
    assert "try: python -m stages.compose --keep data.calibration.size=12 && dvc repro" in capsys.readouterr().out


def test_calibration_on_dark_pictures(quantized):
    for path in write_pictures(Path("grey"), 12, seed=1):
        cv2.imwrite(str(path), cv2.imread(str(path)) // 16)
    quantized.data.calibration.source = "file:grey"
    finding = first(quantized)
    assert finding["kind"] == "calibration"
    assert finding["cure"] == 'data.calibration.source="file:evaluation/ant"'


@pytest.mark.parametrize(("given", "clips"), [({"MIN": 0.0, "MAX": 900.0}, False), ({"MIN": 0.0, "MAX": 0.05}, True)])
def test_a_range_of_the_user(quantized, given, clips):
    Path("bits.json").write_text(json.dumps({"stem_relu": given}))
    quantized.quant.node_bits = "file:bits.json"
    finding = first(quantized, (quantize, compare))
    assert (finding["kind"], finding["node"], finding["cure"]) == ("range", "stem_relu", "quant.node_ranges=false")
    assert ("clipped_share" in finding["evidence"]) == clips


def test_a_node_of_too_few_bits(quantized):
    Path("bits.json").write_text(json.dumps({"project": {"QUANT_WEIGHT_BIT": 2}}))
    quantized.quant.node_bits = "file:bits.json"
    finding = first(quantized, (quantize, compare))
    assert (finding["kind"], finding["node"]) == ("bit_width", "project")
    assert finding["cure"] == "quant.node_bits_ignore=[project]"
    assert finding["evidence"]["bits"] == 2
    quantized.quant.node_bits_ignore = ["project"]
    assert diagnosis(quantized, (quantize, compare))["findings"] == []


def test_debug_pictures_that_calibrate(quantized):
    quantized.data.debug.source = "file:calibration"
    (finding,) = diagnosis(quantized, (compare,))["findings"]
    assert (finding["kind"], finding["evidence"]) == ("debug", {"pictures": 4, "known": 4})


def test_a_network_with_batch_norms_fed_wrongly(quantized):
    """A batch norm behind the first convolution, its parameters what the calibration pictures make of it at 128, 64."""
    model = tiny_classifier()
    weight, bias = (
        numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name)) for name in ("w1", "b1")
    )
    outputs = []
    for path in sorted(Path("calibration").iterdir()):
        picture = cv2.resize(cv2.imread(str(path)), (16, 16))[:, :, ::-1]
        planes = np.pad(((picture - 128.0) / 64.0).transpose(2, 0, 1), ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(planes, (3, 3), axis=(1, 2))[:, ::2, ::2]
        outputs.append(np.einsum("oikl,ihwkl->ohw", weight, windows) + bias[:, None, None])
    values = np.array(outputs).transpose(1, 0, 2, 3).reshape(8, -1)
    arrays = {
        "mean": values.mean(axis=1),
        "var": values.var(axis=1),
        "beta": values.mean(axis=1),
        "gamma": values.std(axis=1),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), k) for k, v in arrays.items())
    model.graph.node[0].output[0] = "raw"
    model.graph.node.insert(
        1, onnx.helper.make_node("BatchNormalization", ["raw", "gamma", "beta", "mean", "var"], ["c1"], "norm")
    )
    del model.graph.value_info[:]
    onnx.save(model, "tiny.onnx")
    right = diagnosis(quantized)
    assert right["findings"] == []
    assert all(item["kind"] != "input_unchecked" for item in right["information"])
    assert "nothing is wrong with input, calibration" in REPORT.read_text()
    assert right["inputs"][0]["misfit"] < 0.01
    quantized.model.inputs[0].mean, quantized.model.inputs[0].normal = [0.0], [1.0]
    wrong = diagnosis(quantized)
    assert wrong["inputs"][0]["misfit"] > 1.0
    assert load_inputs(INPUTS)[0].mean == (0.0, 0.0, 0.0)


def two_branches(small: float) -> onnx.ModelProto:
    """Six channels of a usual range beside two that are so many times smaller, and go by a weight as much larger."""
    rng = np.random.default_rng(0)
    project = rng.normal(0, 0.4, (8, 8, 1, 1))
    project[:, :6] /= 10.0
    project[:, 6:] /= small
    drawn = {
        "w1": rng.normal(0, 0.2, (8, 3, 3, 3)), "wa": rng.normal(0, 0.4, (6, 8, 1, 1)),
        "wb": small * rng.normal(0, 0.4, (2, 8, 1, 1)), "wc": project, "wd": rng.normal(0, 0.4, (3, 8)),
    }  # fmt: skip
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["images", "w1"], ["c1"], "stem", strides=[2, 2]),
        make("Relu", ["c1"], ["r1"], "stem_relu"),
        make("Conv", ["r1", "wa"], ["a"], "wide"),
        make("Conv", ["r1", "wb"], ["b"], "small"),
        make("Concat", ["a", "b"], ["joined"], "join", axis=1),
        make("Conv", ["joined", "wc"], ["c2"], "project"),
        make("GlobalAveragePool", ["c2"], ["pooled"], "pool"),
        make("Flatten", ["pooled"], ["flat"], "flatten"),
        make("Gemm", ["flat", "wd"], ["logits"], "fc", transB=1),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "branches",
        [info("images", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
        [info("logits", onnx.TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in drawn.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_a_branch_that_the_joint_with_a_wide_one_ruins(quantized):
    onnx.save(two_branches(0.002), "tiny.onnx")
    finding = first(quantized)
    assert (finding["kind"], finding["node"], finding["evidence"]["part"]) == ("parts", "join", "small")
    assert finding["cure"] == "quant.skip_nodes=[join,project]"
    assert "output" not in finding["evidence"]
    quantized.quant.skip_nodes = ["join", "project"]
    assert diagnosis(quantized, (quantize, compare))["findings"] == []


def test_branches_of_like_range(quantized):
    onnx.save(two_branches(1.0), "tiny.onnx")
    assert diagnosis(quantized)["findings"] == []
