import pytest

from stages.build.magik.scripts import run_script, run_script_2022_02
from tests.build import boards
from tests.build.boards import PICTURE, board_config


def test_script_has_no_syntax_error(tmp_path):
    assert boards.syntax_errors(run_script(board_config()), tmp_path / "run.sh") == ""


@pytest.mark.parametrize(("folder", "name"), [("kit", "net"), ("a kit", "net"), ("kit", "my net")])
def test_script_calls_the_converter(tmp_path, folder, name):
    boards.stand_in(tmp_path / folder, "magik-transform-tools")
    script = tmp_path / "run.sh"
    script.write_text(run_script(board_config(soc="T41", name=name)))
    finished, calls = boards.run_script(script, tmp_path / "record", MAGIK_TRANSFORMKIT=str(tmp_path / folder))
    assert finished.returncode == 0, finished.stderr
    assert calls == [
        [
            "magik-transform-tools", "-i", "model.onnx", "-o", f"{name}_t41_magik.mk.h", "-cfg", "magik_t41.cfg",
            "--save_quantize_model", "true",
        ]
    ]  # fmt: skip


@pytest.mark.parametrize("variables", [{}, {"MAGIK_TRANSFORMKIT": ""}])
def test_script_without_the_toolkit_says_what_to_set(tmp_path, variables):
    script = tmp_path / "run.sh"
    script.write_text(run_script(board_config()))
    finished, calls = boards.run_script(script, tmp_path / "record", **variables)
    assert finished.returncode != 0
    assert "MAGIK_TRANSFORMKIT: set it to the folder of magik-transform-tools" in finished.stderr
    assert calls == []


def test_script_fails_when_the_converter_fails(tmp_path):
    boards.stand_in(tmp_path / "kit", "magik-transform-tools")
    (tmp_path / "kit" / "magik-transform-tools").write_text("#!/bin/sh\nexit 3\n")
    script = tmp_path / "run.sh"
    script.write_text(run_script(board_config()))
    finished, _ = boards.run_script(script, tmp_path / "record", MAGIK_TRANSFORMKIT=str(tmp_path / "kit"))
    assert finished.returncode == 3


def test_the_older_command_line_has_the_guides_options_in_its_order(tmp_path):
    boards.stand_in(tmp_path / "kit", "magik-transform-tools")
    script = tmp_path / "run_2022_02.sh"
    script.write_text(run_script_2022_02(board_config(name="my net"), PICTURE, ["640", "660", "680"]))
    assert boards.syntax_errors(script.read_text(), tmp_path / "copy.sh") == ""
    finished, calls = boards.run_script(script, tmp_path / "record", MAGIK_TRANSFORMKIT=str(tmp_path / "kit"))
    assert finished.returncode == 0, finished.stderr
    assert calls == [
        [
            "magik-transform-tools", "--framework", "onnx", "--target_device", "T40",
            "--outputpath", "my net_t40_magik.mk.h", "--inputpath", "model.onnx",
            "--mean", "127.0,116.28,103.53", "--var", "128.0,57.12,64.0",
            "--img_width", "24", "--img_height", "16", "--img_channel", "3",
            "--input_nodes", "images", "--output_nodes", "640,660,680",
            "--post_training_quantization", "true", "--ptq_config_path", "ptq_config.json",
        ]
    ]  # fmt: skip
