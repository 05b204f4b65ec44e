"""A temporary project in the current folder, and command lines that run in it as a user types them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import PROJECT
from benchmarks.common.tables import Row
from stages.core.base.artifacts import write_text
from stages.core.base.errors import UserError

__all__ = ["compose_command", "create_project", "finding_bar", "finding_columns", "first_cure", "shell"]

NO_FINDING = {"kind": None, "node": None, "cure": None}


def create_project() -> None:
    """Make the current folder a project of its own, without pictures."""
    for name in ("conf", "stages"):
        Path(name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "dvc.yaml", "dvc.yaml")
    settings = (PROJECT / ".dvc" / "config").read_text(encoding="utf-8")
    write_text(Path(".dvc/config"), settings.replace("[core]", "[core]\n    no_scm = True"))


def compose_command(overrides: Sequence[str]) -> str:
    """The command line that composes an experiment."""
    return shlex.join(["python", "-m", "stages.compose", *overrides])


def first_cure(printed: str) -> str | None:
    """The command under compare's first finding; None if there is none."""
    match = re.search(r"^finding 1: .*\n  try: (.*)$", printed, re.MULTILINE)
    return match[1] if match else None


def shell(*lines: str) -> str:
    """Run command lines in the current folder; gives what they print.

    Raises:
        UserError: if one fails, with the end of what it printed.
    """
    text = ""
    for line in lines:
        finished = subprocess.run(line, shell=True, env=_environment(), capture_output=True, text=True, check=False)
        if finished.returncode:
            printed = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
            raise UserError(f"`{line}` ended with exit code {finished.returncode}: {' '.join(printed[-3:])}")
        text += finished.stdout
    return text


def _environment() -> dict[str, str]:
    """This interpreter and its tools first, this project's packages, a store of runs of its own."""
    kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return kept | {"PATH": path, "PYTHONPATH": str(PROJECT), "COLUMNS": "400"}


def finding_columns(fault: str, findings: Sequence[Mapping[str, Any]]) -> Row:
    """The fault and compare's first finding."""
    first = findings[0] if findings else NO_FINDING
    return {"fault": fault, "first_finding": first["kind"], "node": first["node"], "cure": first["cure"]}


def finding_bar(kind: str | None, node: str | None, row: Row) -> tuple[str, str, bool]:
    """Which finding is expected first, which is first, and whether they are the same."""
    expected = " ".join(filter(None, (kind or "none", node)))
    finding = " ".join(filter(None, (row["first_finding"] or "none", row["node"])))
    return f"first finding: {expected}", finding, finding == expected
