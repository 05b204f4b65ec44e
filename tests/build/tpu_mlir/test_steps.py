import os
import subprocess

import pytest

from stages.build.tpu_mlir.steps import run_script, steps
from stages.core.config.schema import Calibration, Color, Vendor, VendorMethod
from stages.core.data.inputs import NetworkInput
from tests.build import boards
from tests.build.boards import PICTURE, STATE, board_config

TOOLS = ("model_transform.py", "python3", "model_deploy.py")
SAMPLE = "calibration/0000_a.png"


def called(chip="bm1684x", inputs=(PICTURE,), sample=SAMPLE, quantize="INT8", name="net", **quant):
    config = board_config(Vendor.sophgo, chip, name=name)
    for key, value in quant.items():
        setattr(config.quant, key, value)
    return steps(config, inputs, [sample, "calibration/0001_b.png"], quantize)


def options(call):
    return dict(zip(call[1::2], call[2::2], strict=True))


@pytest.fixture
def run(tmp_path):
    """Run a script with stand-ins for the tools; gives the finished process and the calls."""
    for tool in TOOLS:
        boards.stand_in(tmp_path / "bin", tool)
    script = tmp_path / "out" / "build" / "bm1684x" / "run.sh"
    script.parent.mkdir(parents=True)

    def run(calls, folder):
        script.write_text(run_script(calls))
        finished = subprocess.run(
            ["sh", str(script), *([str(folder)] if folder else [])],
            env=os.environ | {"RECORD": str(tmp_path / "record"), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        record = tmp_path / "record"
        texts = record.read_text().split("--\n")[:-1] if record.exists() else []
        return finished, [text.splitlines() for text in texts]

    return run


def test_the_two_calls():
    calls = called()
    assert calls["transform"][0] == "model_transform.py"
    assert options(calls["transform"]) == {
        "--model_name": "net", "--model_def": "{here}/model.onnx", "--input_shapes": "[[1,3,16,24]]",
        "--mean": "127,116.28,103.53", "--scale": "0.0078125,0.0175070028,0.015625", "--pixel_format": "rgb",
        "--test_input": "{here}/calibration/0000_a.png", "--test_result": "net_top_outputs.npz", "--mlir": "net.mlir",
    }  # fmt: skip
    assert calls["deploy"][0] == "model_deploy.py"
    assert options(calls["deploy"]) == {
        "--mlir": "net.mlir", "--quantize": "INT8", "--chip": "bm1684x", "--calibration_table": "net_table",
        "--quantize_table": "net_qtable", "--test_input": "net_in_f32.npz", "--test_reference": "net_top_outputs.npz",
        "--tolerance": "0.8,0.5", "--model": "net_bm1684x_int8.bmodel",
    }  # fmt: skip


def test_the_vendors_calibration_writes_the_table():
    assert called()["calibrate"] is None
    chosen = {"calibration": Calibration.vendor, "vendor_method": VendorMethod.use_mse}
    calls = called(**chosen)
    assert calls["calibrate"] == [
        "run_calibration.py", "net.mlir", "--dataset", "{here}/calibration", "--input_num", "2", "--cali_method",
        "use_mse", "--chip", "bm1684x", "-o", "net_table",
    ]  # fmt: skip
    text = run_script(calls)
    assert text.index("tables.py") < text.index("run_calibration.py") < text.index("model_deploy.py")
    searched = called(**chosen, vendor_cosine=0.99)["calibrate"]
    assert searched[12:] == [
        "--search", "search_qtable", "--expected_cos", "0.99", "--quantize_method_list", "mse", "--pre_qtable",
        "net_qtable", "--quantize_table", "net_qtable",
    ]  # fmt: skip
    assert called(**chosen, quantize="F16")["calibrate"] is None


def test_small_chips_take_a_cvimodel():
    assert called("cv181x")["model"] == "net_cv181x_int8.cvimodel"
    assert called("cv186x")["model"] == "net_cv186x_int8.bmodel"


def test_without_integers_there_are_no_tables():
    calls = called(quantize="F16")
    assert not {"--calibration_table", "--quantize_table"} & {*calls["deploy"]}
    assert "tables.py" not in run_script(calls)
    assert calls["model"] == "net_bm1684x_f16.bmodel"


def test_several_inputs_come_as_npz_and_are_not_scaled_again():
    transform = options(called(inputs=(PICTURE, STATE), sample="calibration/0000_a.npz")["transform"])
    assert transform["--input_shapes"] == "[[1,3,16,24],[1,4]]"
    assert not {"--mean", "--scale", "--pixel_format"} & transform.keys()


@pytest.mark.parametrize(("color", "channels"), [(Color.BGR, 3), (Color.GRAY, 1)])
def test_pixel_format(color, channels):
    network_input = NetworkInput("x", (1, channels, 8, 8), (0.0,) * channels, (255.0,) * channels, color)
    transform = options(called(inputs=(network_input,))["transform"])
    assert transform["--pixel_format"] == color.value.lower()
    assert len(transform["--scale"].split(",")) == channels


def test_the_script_makes_the_same_calls_in_a_folder_of_the_user(run, tmp_path):
    calls, work, board = (
        called(sample="calibration/0000_it's.png"),
        tmp_path / "my work",
        tmp_path / "out" / "build" / "bm1684x",
    )
    work.mkdir()
    (work / calls["model"]).write_text("compiled")
    finished, (transform, tables, deploy) = run(calls, work)
    assert finished.returncode == 0, finished.stderr
    assert transform == [word.replace("{here}", str(board)) for word in calls["transform"]]
    assert tables == ["python3", f"{board}/tables.py", "net.mlir", f"{board}/ranges.json", "net_table", "net_qtable"]
    assert deploy == calls["deploy"]
    assert finished.stdout == f"{work}/net_bm1684x_int8.bmodel\n"
    assert [path.name for path in board.iterdir()] == ["run.sh"]  # what it writes is not lost when build empties this


def test_the_script_does_not_believe_an_exit_code(run, tmp_path):
    assert run(called(), tmp_path / "work")[0].returncode == 1
    assert (tmp_path / "work").is_dir()


def test_what_the_script_makes_is_not_lost_when_build_empties_its_folder(run, tmp_path):
    run(called(), None)
    assert (tmp_path / "board" / "bm1684x").is_dir()
