"""With a stand-in for the vendor's converter (stand_in.py): it checks arguments and folder, and converts nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from stages.build.__main__ import build
from stages.build.magik.converter import last_error
from stages.compose import run as compose_into
from stages.core.base.errors import UserError
from stages.core.base.paths import CONVERTER_LOG
from stages.core.config.schema import ToolchainConfig
from tests.build.magik import stand_in
from tests.conftest import project_overrides

FOLDER = Path("out/build/t40/magik")
WRITTEN = ["magik_model_onnx_t40_magik.mk.h", "model_quant.mgk", "onnx_t40_magik.bin"]


@pytest.fixture
def with_tool(quantized, tmp_path):
    """The quantized project, its config pointing at a stand-in."""
    stand_in.install(tmp_path / "kit")
    quantized.soc.toolchain = ToolchainConfig(stand_in.TOOL, str(tmp_path / "kit"))
    return quantized


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_its_output_files_are_collected(with_tool, capsys):
    build(with_tool)
    converted = FOLDER / "converted"
    assert files_in(converted) == sorted(
        [*WRITTEN, "conversion.json", "converter.log", "similarity.csv", "similarity.json"]
    )
    assert (converted / "onnx_t40_magik.bin").read_bytes() == b"board"
    assert (converted / "model_quant.mgk").read_bytes() == b"pc"
    rows = json.loads((converted / "similarity.json").read_text())
    assert [row["cosine_avg"] for row in rows] == [0.99813, 0.99078, 0.99310]
    ours = json.loads((FOLDER / "magik_node_quant_bit_info.json").read_text())
    assert [row["node"] for row in rows] == [*list(ours)[:2], "extra"]
    assert rows[2]["op_type"] == "Conv2D"  # out of the converter's model_node_info.json: not in our network
    conversion = json.loads((converted / "conversion.json").read_text())
    assert (conversion["version"], conversion["exit_code"], conversion["files"]) == (
        "1.0.0(00010000_2923907)",
        0,
        WRITTEN,
    )
    log = (converted / "converter.log").read_bytes().decode()
    assert log.splitlines()[0].startswith("INFO(magik): magik-transform-tools version:1.0.0")
    shown = capsys.readouterr()
    assert log in shown.err
    assert "Convert successfully" in log
    assert "the 3 least similar of 3 nodes" in shown.out
    assert "converted: out/build/t40/magik/converted: " + ", ".join(WRITTEN) in shown.out
    assert not CONVERTER_LOG.exists()
    assert sorted(path.name for path in Path("out/build").iterdir()) == ["checksums.json", "t40"]


def test_the_folder_itself_stays_as_without_the_converter(with_tool):
    build(with_tool)
    rest = [name for name in files_in(FOLDER) if not name.startswith("converted/")]
    with_tool.soc.toolchain.path = None
    build(with_tool)
    assert files_in(FOLDER) == rest


def test_the_executable_may_be_named_itself(with_tool):
    with_tool.soc.toolchain.path += f"/{stand_in.TOOL}"
    build(with_tool)
    assert (FOLDER / "converted/onnx_t40_magik.bin").exists()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("fails", r"ended with exit code 3: .*: E interface\.cc:69-parase input paramter\] Invalid json; its log: "),
        ("crashes", r"was killed by SIGSEGV: loading; its log: out/converter\.log$"),
        ("makes nothing", r"wrote no network: .*Convert successfully.*; its log: out/converter\.log$"),
    ],
)
def test_a_failure_is_one_line_and_leaves_the_log_and_what_was_there(with_tool, monkeypatch, mode, expected):
    build(with_tool)
    before = {name: (FOLDER / name).read_bytes() for name in files_in(FOLDER)}
    monkeypatch.setenv("STAND_IN", mode)
    with pytest.raises(UserError, match=expected) as caught:
        build(with_tool)
    assert "\n" not in str(caught.value)
    assert "version:1.0.0" in CONVERTER_LOG.read_text()
    assert {name: (FOLDER / name).read_bytes() for name in files_in(FOLDER)} == before
    assert sorted(path.name for path in Path("out").iterdir() if path.name.startswith(".")) == []
    monkeypatch.setenv("STAND_IN", "")
    build(with_tool)
    assert not CONVERTER_LOG.exists()


def test_a_success_that_ends_with_1_is_one(with_tool, monkeypatch, capsys):
    monkeypatch.setenv("STAND_IN", "ends with 1")
    build(with_tool)
    assert json.loads((FOLDER / "converted/conversion.json").read_text())["exit_code"] == 1
    assert "ended with exit code 1, yet its log says that it converted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        (None, 0o755, r"soc\.toolchain\.path=.*: there is no .*magik-transform-tools; give magik-transform-tools"),
        ("#!/bin/sh\n", 0o644, "is not executable: `chmod"),
        ("\x7fELF, not really", 0o755, r"soc\.toolchain\.path: .* cannot be run here: .*Exec format error"),
    ],
)
def test_a_converter_that_cannot_run(with_tool, tmp_path, content, mode, expected):
    tool = tmp_path / "kit" / stand_in.TOOL
    tool.unlink()
    if content is not None:
        tool.write_text(content)
        tool.chmod(mode)
    with pytest.raises(UserError, match=expected):
        build(with_tool)
    assert not Path("out/build").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopping_the_stage_ends_the_converter_and_what_it_started(with_tool, tmp_path, number, code):
    overrides = project_overrides(f"soc.toolchain.path={tmp_path / 'kit'}")
    compose_into(overrides, Path("conf"), Path("params.yaml"), check_only=False)
    environment = os.environ | {"STAND_IN": "hangs", "PIDS": str(tmp_path / "pids")}
    command = [sys.executable, "-m", "stages.build"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as stage:
        while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
            assert stage.poll() is None, stage.stderr.read()
            time.sleep(0.05)
        stage.send_signal(number)
        stage.communicate(timeout=60)
    assert stage.returncode == code
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert not running(pid)
    assert not Path("out/build").exists()
    assert [path.name for path in Path("out").iterdir() if path.name.startswith(".build")] == []


def running(pid):
    """Whether a process still works; one that has ended and waits to be collected does not."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["2022-02-11: E interface.cc:69-parse] Invalid json", "bye"],
            "2022-02-11: E interface.cc:69-parse] Invalid json",
        ),
        (["error: first", "Error: second", "  ", "100 %"], "Error: second"),
        (["working", "  last   word ", ""], "last word"),
        ([], "it printed nothing"),
    ],
)
def test_the_line_that_says_why(lines, expected):
    assert last_error(lines) == expected
