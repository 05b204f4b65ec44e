"""A folder as a fresh clone of the project has it, and shells in it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import PROJECT

__all__ = ["Outcome", "fresh_clone", "run"]

FOLDERS = ("conf", "stages", "benchmarks", "docs")
FILES = ("dvc.yaml", "params.yaml", "pyproject.toml", "README.md", ".gitignore", ".dvcignore", ".dvc/config")
AUTHOR = ("-c", "user.name=reader", "-c", "user.email=reader@example.com")
COLUMNS = 110
"""Of the terminal: tables must fit into a page."""
LEFT_OUT = ("MLFLOW_TRACKING_URI", "DVC_STAGE", "SOCQUANT_DEBUG")


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        printed: on both channels.
        code: its exit code.
        seconds: that it took.
    """

    printed: str
    code: int
    seconds: float


@contextmanager
def fresh_clone(folder: Path | None = None) -> Iterator[Path]:
    """A folder with the project's files as a repository of its own; nothing is computed in it.

    What Python and numba have compiled comes along: it follows from the code.

    Args:
        folder: where it is made and stays; None: a temporary one.
    """
    with TemporaryDirectory() as temporary:
        place = folder or Path(temporary) / "socquant"
        for name in FOLDERS:
            shutil.copytree(PROJECT / name, place / name, ignore=shutil.ignore_patterns("*.pyc.*", "*.tmp.*"))
        for name in FILES:
            (place / name).parent.mkdir(exist_ok=True)
            shutil.copy2(PROJECT / name, place / name)
        for line in (["init", "-q"], ["add", "-A"], [*AUTHOR, "commit", "-qm", "start"]):
            subprocess.run(["git", *line], cwd=place, check=True)
        yield place


def run(command: str, folder: Path) -> Outcome:
    """Run lines of a shell in a folder, without a terminal, up to the first that fails."""
    environment = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        "PYTHONPATH": str(folder),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": str(COLUMNS),
    }
    begun = time.perf_counter()
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    printed = done.stdout.replace(str(folder), "/home/you/socquant")
    return Outcome(printed, done.returncode, time.perf_counter() - begun)
