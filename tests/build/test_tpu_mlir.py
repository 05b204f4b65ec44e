import os

import pytest

from stages.build.tpu_mlir import quantize_table, run_script
from stages.core.config.schema import Color, FeatureMethod, Vendor
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from tests.build import boards
from tests.build.boards import PICTURE, STATE, board_config
from tests.networks import tiny_classifier

TOOLS = ("model_transform.py", "run_calibration.py", "model_deploy.py")


def calls_of(tmp_path, network_input=PICTURE, **changes):
    for tool in TOOLS:
        boards.stand_in(tmp_path / "bin", tool)
    script = tmp_path / "run.sh"
    config = board_config(Vendor.sophgo, "bm1684x", **changes)
    script.write_text(run_script(config, [network_input], "0000_a.png", 12))
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    finished, calls = boards.run_script(script, tmp_path / "record", PATH=path)
    assert finished.returncode == 0, finished.stderr
    return {call[0]: dict(zip(call[1::2], call[2::2], strict=False)) | {"all": call} for call in calls}


def test_script_has_no_syntax_error(tmp_path):
    text = run_script(board_config(Vendor.sophgo, "bm1688"), [PICTURE], "0000_a.png", 3)
    assert boards.syntax_errors(text, tmp_path / "run.sh") == ""


def test_three_steps_with_their_options(tmp_path):
    calls = calls_of(tmp_path)
    assert list(calls) == list(TOOLS)
    transform = calls["model_transform.py"]
    assert transform["--model_name"] == "net"
    assert transform["--model_def"] == "model.onnx"
    assert transform["--input_shapes"] == "[[1,3,16,24]]"
    assert transform["--pixel_format"] == "rgb"
    assert transform["--test_input"] == "calibration/0000_a.png"
    assert transform["--test_result"] == "net_top_outputs.npz"
    assert transform["--mlir"] == "net.mlir"
    assert calls["run_calibration.py"]["all"] == [
        "run_calibration.py", "net.mlir", "--dataset", "calibration", "--input_num", "12", "--cali_method", "max",
        "-o", "net_table",
    ]  # fmt: skip
    deploy = calls["model_deploy.py"]
    assert deploy["--mlir"] == "net.mlir"
    assert deploy["--quantize"] == "INT8"
    assert deploy["--chip"] == "bm1684x"
    assert deploy["--calibration_table"] == "net_table"
    assert deploy["--test_input"] == "net_in_f32.npz"
    assert deploy["--test_reference"] == "net_top_outputs.npz"
    assert deploy["--tolerance"] == "0.8,0.5"
    assert deploy["--model"] == "net_bm1684x_int8.bmodel"


def test_several_inputs_come_as_npz_and_are_not_scaled_again():
    script = run_script(board_config(Vendor.sophgo, "bm1688"), [PICTURE, STATE], "0000_a.npz", 3)
    assert "--input_shapes '[[1,3,16,24],[1,4]]'" in script
    assert "--test_input calibration/0000_a.npz" in script
    assert not any(option in script for option in ("--mean", "--scale", "--pixel_format"))


def test_scale_is_one_over_normal(tmp_path):
    transform = calls_of(tmp_path)["model_transform.py"]
    assert [float(value) for value in transform["--mean"].split(",")] == [127.0, 116.28, 103.53]
    scales = [float(value) for value in transform["--scale"].split(",")]
    assert scales == pytest.approx([0.0078125, 0.0175070028, 0.015625], rel=1e-8)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (FeatureMethod.MAX_ABS, "max"),
        (FeatureMethod.KL, "kl"),
        (FeatureMethod.MSE, "mse"),
        (FeatureMethod.PERCENTILE, "percentile9999"),
    ],
)
def test_method(tmp_path, method, name):
    assert calls_of(tmp_path, method=method)["run_calibration.py"]["all"][7] == name


@pytest.mark.parametrize(("color", "channels"), [(Color.BGR, 3), (Color.GRAY, 1)])
def test_pixel_format(tmp_path, color, channels):
    network_input = NetworkInput("x", (1, channels, 8, 8), (0.0,) * channels, (255.0,) * channels, color)
    transform = calls_of(tmp_path, network_input)["model_transform.py"]
    assert transform["--pixel_format"] == color.value.lower()
    assert len(transform["--scale"].split(",")) == channels


def test_a_model_name_with_a_blank_stays_one_argument(tmp_path):
    assert calls_of(tmp_path, name="my net")["model_transform.py"]["--model_name"] == "my net"


def test_layers_kept_in_float_are_named_as_tpu_mlir_names_them():
    graph = Graph(tiny_classifier())
    assert quantize_table(graph, ["project", "fc"], "F16") == "c3_Conv F16\nlogits_Gemm F16\n"
    assert quantize_table(graph, [], "F16") == ""


def test_the_table_is_handed_over_only_where_there_is_one():
    config = board_config(Vendor.sophgo, "bm1688")
    assert "--quantize_table qtable" in run_script(config, [PICTURE], "a.png", 1, quantize_table=True)
    assert "quantize_table" not in run_script(config, [PICTURE], "a.png", 1)
