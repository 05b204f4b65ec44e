"""Ctrl-C while a command is still importing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

STOPS = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


@pytest.mark.parametrize("command", ["export", "bisect"])
def test_no_traceback(tmp_path: Path, command: str) -> None:
    """NumPy is replaced by a module that interrupts whoever imports it."""
    (tmp_path / "numpy.py").write_text(STOPS)
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{command}"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr == "interrupted\n"


def test_who_imports_the_package_keeps_python_s_own_hook() -> None:
    line = "import sys, stages; assert sys.excepthook is sys.__excepthook__"
    assert subprocess.run([sys.executable, "-c", line], cwd=REPOSITORY, check=False).returncode == 0
