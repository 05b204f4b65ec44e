"""With stand-ins for the tools."""

import os
from pathlib import Path

import pytest

from stages.compile.tools import Tools
from stages.core.base.errors import UserError
from stages.core.tpu_mlir.toolchain import Toolchain


@pytest.fixture
def tools(tmp_path):
    """Makes a tool of a shell script, and a folder to run it in."""

    def make(script, minutes=1.0):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "tool.py").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "tool.py").chmod(0o755)
        toolchain = Toolchain(folder, {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
        return Tools(toolchain, minutes, tmp_path / "compile.log")

    return make


def test_it_runs_in_the_work_folder_and_its_text_is_kept(tools, tmp_path):
    made = tools('echo "one $1"; echo two >&2; touch empty; echo x > out')
    work = tmp_path / "work"
    work.mkdir()
    (work / "out").write_text("old")
    assert made.run(["tool.py", "argument"], work, "out")[1:] == ["one argument\n", "two\n"]
    assert (work / "out").read_text() == "x\n"
    assert (tmp_path / "compile.log").read_text() == "$ tool.py argument\none argument\ntwo\n"
    with pytest.raises(UserError, match=r"^tool\.py: it ended without an error, and wrote no empty; log: "):
        made.run(["tool.py", "argument"], work, "out", "empty")
    assert (tmp_path / "compile.log").read_text().count("$ tool.py argument\n") == 2


def test_a_file_of_an_earlier_run_does_not_count(tools, tmp_path):
    (tmp_path / "out").write_text("old")
    with pytest.raises(UserError, match="wrote no out"):
        tools("exit 0").run(["tool.py"], tmp_path, "out")


def test_what_takes_too_long_is_ended(tools, tmp_path):
    made = tools("echo $$ > pid; exec sleep 60", minutes=0.2 / 60)
    with pytest.raises(
        UserError, match=r"^tool\.py took longer than 0\.00333333 minutes \(soc\.toolchain\.minutes\); l"
    ):
        made.run(["tool.py"], tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_tool_that_is_not_there(tools, tmp_path):
    with pytest.raises(
        UserError, match=r"other\.py cannot be run: .*; `python -m stages\.toolchain install sophgo` mak"
    ):
        tools("exit 0").run(["other.py"], tmp_path)
    assert Path(tmp_path / "compile.log").exists()
