"""The reader, with a program in the worker's place: it needs no TensorFlow."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.data.model_files import SourceFormat, with_format
from stages.core.graph.session import Runner
from stages.export.shapes import UnknownShapeError
from stages.export.sources import tensorflow_files
from stages.export.sources.tensorflow_files import Conversion, compared, read_tensorflow
from tests.export.dequantize.test_qdq import f32, model_of, pair
from tests.networks import tiny_classifier

IMAGES = np.linspace(-1, 1, 3 * 16 * 16, dtype=np.float32).reshape(1, 3, 16, 16)


def source(name, content=b"network"):
    return SourceFile(name, lambda: content)


@pytest.mark.parametrize(
    ("names", "kind", "main"),
    [
        (["net.TFLITE"], "tflite", "net.TFLITE"),
        (["net.h5"], "keras", "net.h5"),
        (["net.keras"], "keras", "net.keras"),
        (["net.hdf5"], "keras", "net.hdf5"),
        (["frozen.pb"], "frozen", "frozen.pb"),
        (["saved_model.pb"], "saved_model", "saved_model.pb"),
        (["fingerprint.pb", "saved_model.pb", "variables/variables.index"], "saved_model", "saved_model.pb"),
        (["a/b/saved_model.pb", "a/b/variables/variables.index", "a/c.py"], "saved_model", "a/b/saved_model.pb"),
    ],
)
def test_the_formats(names, kind, main):
    files = with_format([source(name) for name in names])
    assert (files.format, files.main.name) == (SourceFormat[kind], main)


def test_two_saved_models_are_not_one():
    with pytest.raises(UserError, match=r"model\.source matches 2 files \(a/saved_model\.pb, \.\.\.\)"):
        with_format([source("a/saved_model.pb"), source("b/saved_model.pb")])


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Takes the worker's place: keeps what it is called with, and writes what is put into it, or fails so."""
    given = {"code": 0, "text": "", "notes": [], "calls": 0}
    monkeypatch.setenv("SOCQUANT_CACHE", str(tmp_path / "cache"))

    def run(environment, arguments, folder):
        given["calls"] += 1
        _, given["kind"], network, target, given["shapes"] = arguments
        written = [path for path in (folder / "network").rglob("*") if path.is_file()]
        given["files"] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}
        given["network"] = Path(network).relative_to(folder).as_posix()
        results = Path(target)
        model = tiny_classifier()
        onnx.save(model, results / "model.onnx")
        report = {"inputs": ["images"], "outputs": ["logits"], "notes": given["notes"]}
        (results / "report.json").write_text(json.dumps(report))
        np.savez(results / "values.npz", input_0=IMAGES, output_0=Runner(model).run({"images": IMAGES})["logits"] + 0.5)
        if "unknown" in given:
            (results / "unknown_shape.txt").write_text(given["unknown"])
        return given["code"], given["text"]

    monkeypatch.setattr(tensorflow_files, "run_python", run)
    monkeypatch.setattr(tensorflow_files, "install", lambda environment: None)
    return given


def test_the_network_and_its_difference_to_tensorflow(worker, capsys):
    worker["notes"] = ["its signature other is taken"]
    config = ModelConfig(name="m", inputs=[InputConfig(shape=[1, 3, 16, 16]), InputConfig(name="second")])
    read = read_tensorflow(config, with_format([source("dir/net.tflite", b"content")]))
    largest = np.abs(Runner(tiny_classifier()).run({"images": IMAGES})["logits"] + 0.5).max()
    assert read.difference == pytest.approx(0.5 / max(largest, 1), rel=1e-5)
    assert [node.op_type for node in read.model.graph.node] == [node.op_type for node in tiny_classifier().graph.node]
    assert worker["files"] == {"network/net.tflite": b"content"}
    assert (worker["kind"], worker["network"]) == ("tflite", "network/net.tflite")
    assert json.loads(worker["shapes"]) == [[1, 3, 16, 16]]
    assert "dir/net.tflite: its signature other is taken\n" in capsys.readouterr().out


def test_a_saved_model_is_written_as_it_lay(worker):
    names = ["a/b/saved_model.pb", "a/b/variables/variables.index", "a/c.py"]
    read_tensorflow(ModelConfig(name="m"), with_format([source(name, name.encode()) for name in names]))
    assert worker["files"] == {
        "network/saved_model.pb": b"a/b/saved_model.pb",
        "network/variables/variables.index": b"a/b/variables/variables.index",
    }
    assert worker["network"] == "network"


def test_a_network_is_converted_once_for_each_content_and_shape(worker, tmp_path, capsys):
    worker["notes"] = ["said each time"]

    def read(content=b"content", shape=(1, 3, 16, 16)):
        config = ModelConfig(name="m", inputs=[InputConfig(shape=list(shape))])
        return read_tensorflow(config, with_format([source("net.tflite", content)]))

    first, second = read(), read()
    assert worker["calls"] == 1
    assert first.model.SerializeToString() == second.model.SerializeToString()
    assert first.difference == second.difference
    assert capsys.readouterr().out.count("said each time") == 2
    read(b"other")
    read(shape=(1, 3, 32, 32))
    assert worker["calls"] == 3
    worker |= {"code": 2, "text": "error: is damaged"}
    for _ in range(2):
        with pytest.raises(UserError, match="is damaged"):
            read(b"damaged")
    assert worker["calls"] == 5
    assert len(list((tmp_path / "cache/conversions").iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "code", "text", "message"),
    [
        ("a.pb", 2, "warning\nerror: is no graph\nbye\n", "model.source: a.pb is no graph"),
        ("a.h5", 1, "Traceback\nValueError: luck\n", "model.source: a.h5 cannot be converted: ValueError: luck"),
        (
            "a.tflite",
            -11,
            "a warning",
            "model.source: a.tflite cannot be converted: TensorFlow crashed on it (SIGSEGV); the file may be damaged",
        ),
        (
            "saved_model.pb",
            2,
            "error: lacks its variables",
            "model.source: saved_model.pb lacks its variables; a SavedModel is given as its folder: "
            "model.source=file:FOLDER",
        ),
    ],
)
def test_what_the_worker_refuses_is_said_in_one_line(worker, name, code, text, message):
    worker |= {"code": code, "text": text}
    with pytest.raises(UserError) as caught:
        read_tensorflow(ModelConfig(name="m"), with_format([source(name)]))
    assert str(caught.value) == message


def test_a_crash_is_no_word_of_the_last_warning(worker):
    worker |= {"code": -11, "text": "warnings.warn(DELETION)\n"}
    with pytest.raises(UserError, match=r"a\.tflite cannot be converted: TensorFlow crashed on it \(SIGSEGV\); the f"):
        read_tensorflow(ModelConfig(name="m"), with_format([source("a.tflite")]))


def test_an_input_whose_shape_must_be_told_is_named(worker):
    worker |= {"code": 2, "text": "error: has the input 'x' of unknown rank", "unknown": "x"}
    with pytest.raises(UnknownShapeError, match=r"^model\.source: a\.pb has the input 'x' of unknown rank$") as caught:
        read_tensorflow(ModelConfig(name="m"), with_format([source("a.pb")]))
    assert caught.value.name == "x"


@pytest.mark.parametrize(("sign", "said"), [(1, "1.0000"), (-1, "-1.0000: much less than rounding explains")])
def test_of_a_quantized_network_the_cosine_is_printed(capsys, sign, said):
    nodes = [*pair("x", "y")]
    nodes[0].output[0] = nodes[1].input[0] = "codes"
    model = model_of(nodes, {"s": f32(0.1), "z": np.uint8(128)}, {"x": [1, 4]})
    x = f32(-1.04, 0.3, 0.7, 12.7)[None]
    rounded = np.array([[-1.0, 0.3, 0.7, 12.7]], np.float32)
    assert compared(Conversion(model, {"x": x}, {"y": sign * rounded}), "net.tflite").difference == 0
    assert capsys.readouterr().out == (
        f"cosine of net.tflite in its own runtime and as quantizers in ONNX, on random input: {said}\n"
    )


def test_an_output_of_another_shape_cannot_be_compared():
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": [1, 4]})
    read = compared(Conversion(model, {"x": np.ones((1, 4), np.float32)}, {"y": np.ones((4, 1), np.float32)}), "net")
    assert read.difference == float("inf")
