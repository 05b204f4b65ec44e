import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.artifacts import save_model
from stages.core.base.errors import UserError
from stages.core.graph.session import Runner, with_outputs
from tests.conftest import REPOSITORY
from tests.networks import tiny_classifier


def doubler():
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("Neg", ["double"], ["minus"]),
            helper.make_node("Abs", ["minus"], ["positive"]),
        ],
        "doubler",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("positive", TensorProto.FLOAT, [2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


X = np.array([1.0, -3.0], dtype=np.float32)


@pytest.mark.parametrize("optimize", ["all", "safe", "none"])
def test_a_network_runs_from_memory_and_from_a_file(tmp_path, optimize):
    save_model(tmp_path / "model.onnx", doubler())
    for source in (doubler(), tmp_path / "model.onnx"):
        runner = Runner(source, optimize=optimize)
        assert runner.inputs == {"x": [2]}
        np.testing.assert_array_equal(runner.run({"x": X})["positive"], [2.0, 6.0])


def test_a_network_keeps_to_one_thread(monkeypatch):
    """So that its sums have one order."""
    monkeypatch.setenv("SOCQUANT_THREADS", "8")
    assert Runner(doubler())._session.get_session_options().intra_op_num_threads == 1


@pytest.mark.parametrize("tensors", [["positive", "double", "minus"], ["minus"], ["double", "positive"]])
@pytest.mark.parametrize("optimize", ["all", "safe", "none"])
def test_just_the_asked_tensors_are_returned_in_the_asked_order(tensors, optimize):
    values = {"double": [2.0, -6.0], "minus": [-2.0, 6.0], "positive": [2.0, 6.0]}
    found = Runner(with_outputs(doubler(), tensors), optimize=optimize).run({"x": X})
    assert list(found) == tensors
    assert {name: array.tolist() for name, array in found.items()} == {name: values[name] for name in tensors}


def test_nodes_that_the_asked_tensors_do_not_need_are_left_out():
    """Those that an If's branch captures stay."""
    model = doubler()
    then, other = (
        helper.make_graph(
            [helper.make_node("Identity", [name], [f"{name}_out"])], name, [], [onnx.ValueInfoProto(name=f"{name}_out")]
        )
        for name in ("double", "x")
    )
    model.graph.node.append(helper.make_node("If", ["yes"], ["chosen"], then_branch=then, else_branch=other))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    assert [node.op_type for node in with_outputs(model, ["minus"]).graph.node] == ["Add", "Neg"]
    assert [node.op_type for node in with_outputs(model, ["chosen"]).graph.node] == ["Add", "If"]
    assert Runner(with_outputs(model, ["chosen"])).run({"x": X})["chosen"].tolist() == [2.0, -6.0]


def scaled_convolution():
    """A convolution of whole numbers, then a division and an addition of constants that no float32 weight can hold."""
    constants = {
        "w": np.full((1, 64, 1, 1), 127, np.float32),
        "three": np.float32(3).reshape(1, 1, 1, 1),
        "third": np.float32(1 / 3).reshape(1, 1, 1, 1),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["sum"]),
        helper.make_node("Sub", ["sum", "third"], ["moved"]),
        helper.make_node("Div", ["moved", "three"], ["third_of_it"]),
        helper.make_node("Mul", ["third_of_it", "three"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "scaled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("optimize", ["safe", "none"])
def test_constants_of_a_simulator_stay_what_they_are(optimize):
    codes = np.random.default_rng(0).integers(-128, 128, (1, 64, 8, 8))
    moved = (127 * codes.sum(axis=1, keepdims=True)).astype(np.float32) - np.float32(1 / 3)
    expected = (moved / np.float32(3)) * np.float32(3)
    found = Runner(scaled_convolution(), optimize=optimize).run({"x": codes.astype(np.float32)})["y"]
    np.testing.assert_array_equal(found, expected)


def test_asking_for_outputs_leaves_the_model_as_it_was():
    model = tiny_classifier()
    before = model.SerializeToString(deterministic=True)
    with_outputs(model, ["r1", "sum"])
    assert model.SerializeToString(deterministic=True) == before


def test_a_tensor_that_is_not_there_is_a_user_error():
    with pytest.raises(UserError, match="cannot load") as caught:
        Runner(with_outputs(doubler(), ["nowhere"]))
    assert "\n" not in str(caught.value)


def test_a_missing_model_names_the_stage_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        Runner(Path("out/quantize/quantized.onnx"))
    assert str(caught.value) == "out/quantize/quantized.onnx is missing: run `dvc repro quantize` first"


@pytest.mark.parametrize("content", [b"", b"no network\nat all"])
def test_a_file_that_is_not_a_network_is_a_user_error(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot load") as caught:
        Runner(path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_nothing_is_noted_for_onnx_runtimes_maker(tmp_path):
    """A session of its own queues events in the user's folder, to be sent later."""
    onnx.save(tiny_classifier(), tmp_path / "net.onnx")
    code = "from stages.core.graph.session import Runner; from pathlib import Path; Runner(Path('net.onnx'))"
    kept = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment = kept | {"HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["net.onnx"]


def test_a_large_input_gives_memory_back_and_changes_no_value(monkeypatch):
    model, fed = tiny_classifier(), {"images": np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)}
    expected = Runner(model).run(fed)
    monkeypatch.setattr("stages.core.graph.session.LARGE_BYTES", 1000)
    runner = Runner(model)
    assert not runner._session.get_session_options().enable_cpu_mem_arena
    np.testing.assert_array_equal(runner.run(fed)["logits"], expected["logits"])


def test_the_bytes_of_the_outputs_are_told_from_their_shapes():
    assert Runner(with_outputs(doubler(), ["minus", "positive"])).output_bytes == 16
