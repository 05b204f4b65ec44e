"""Kills commands at random moments and gives them again: `python -m benchmarks.kills`.

`kill -9` hits the whole command, or one of its processes, in turns; then the same command runs to its end. Its files
must have the bytes of an undisturbed run, and once more it must find all done. A small network and pictures are made in
a temporary folder. Of sweeps `python -m benchmarks.sweep --tiny --only killed` does the same.
"""

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.docs.workspace import fresh_clone
from benchmarks.hostile.project import OVERRIDES, make_files
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError
from stages.core.command import guarded

RUNS_OF_MLFLOW = "out/track"
"""Its number of a run is drawn."""


@dataclass(frozen=True)
class Work:
    """A command to kill.

    Attributes:
        kills: how often.
        overrides: of the experiment.
        before: commands that run before it, undisturbed.
        line: the command.
    """

    kills: int
    overrides: tuple[str, ...]
    before: tuple[tuple[str, ...], ...]
    line: tuple[str, ...]


CALIBRATED = (("dvc", "repro", "calibrate"),)
WORKS = {
    "repro": Work(30, (), (), ("dvc", "repro")),
    "autotune": Work(6, (), CALIBRATED, ("stages.autotune", "--mean-bits", "6", "--no-track")),
    "best": Work(6, ("quant=best",), CALIBRATED, ("dvc", "repro", "quantize")),
}
"""Name -> what is killed."""


def measure(names: Sequence[str], seed: int, kills: int | None, report: Path | None) -> int:
    """Kill commands; shows a row each.

    Args:
        names: of the works.
        seed: of the moments.
        kills: how often, in place of a work's own number.
        report: JSON file for the rows.

    Returns:
        1 if a kill left a difference.
    """
    rows = []
    table = Table("command", "kills", "equal bytes", "nothing left to do", "moments, CPU s")
    for name in names:
        row = _killed(name, WORKS[name], random.Random(seed), kills or WORKS[name].kills)
        rows.append(row)
        moments = f"{min(row['moments']):.1f} to {max(row['moments']):.1f}"
        table.add_row(name, str(len(row["moments"])), str(row["equal"]), str(row["done"]), moments)
        if report is not None:
            write_json(report, rows)
    output.print(table)
    return int(any(not row["equal"] == row["done"] == len(row["moments"]) for row in rows))


def _killed(name: str, work: Work, rng: random.Random, kills: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kills") as root, fresh_clone(Path(root) / "start") as start:
        _prepare(start, work)
        whole = Path(root) / "whole"
        shutil.copytree(start, whole, symlinks=True)
        length = _cpu_seconds_of(whole, work)
        expected = _digests(whole)
        equal = done = 0
        moments = [rng.uniform(0, length) for _ in range(kills)]
        for turn, moment in enumerate(moments):
            folder = Path(root) / "killed"
            shutil.copytree(start, folder, symlinks=True)
            _kill(folder, work, moment, rng if turn % 2 else None)
            _finish(folder, work)
            same = _digests(folder) == expected
            still = "Running stage" not in _finish(folder, work) and _digests(folder) == expected
            equal, done = equal + same, done + still
            console.print(
                f"{name}: kill {turn + 1} at {moment:.1f} of {length:.1f} s: {'equal' if same else 'DIFFERENT'}",
                style="dim",
            )
            shutil.rmtree(folder)
    return {
        "command": name,
        "moments": moments,
        "equal": equal,
        "done": done,
        "seconds": length,
        "files": len(expected),
    }


def _prepare(folder: Path, work: Work) -> None:
    """The small project in a clone, with what runs before the work."""
    make_files(folder)
    _run(folder, ("stages.compose", *OVERRIDES, "compare.isolated=false", *work.overrides))
    for line in work.before:
        _run(folder, line)


def _kill(folder: Path, work: Work, moment: float, one_of: random.Random | None) -> None:
    """Start the command and kill it, or one of its processes, after some CPU time; what is left ends by itself."""
    with _started(folder, work.line) as process:
        while process.poll() is None and _cpu_seconds(process.pid) < moment:
            time.sleep(0.02)
        family = _family(process.pid)
        for pid in family if one_of is None else family and [one_of.choice(family)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    while _family(process.pid):
        time.sleep(0.1)


def _family(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(process.name)) == session:
                found.append(int(process.name))
    return found


def _cpu_seconds(session: int) -> float:
    """What the processes of a session have used: other work on the machine changes no moment."""
    ticks = 0
    for pid in _family(session):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += sum(map(int, stat[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _cpu_seconds_of(folder: Path, work: Work) -> float:
    """Run the command undisturbed; gives its CPU time."""
    with _started(folder, work.line) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"`{' '.join(work.line)}` ended with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _finish(folder: Path, work: Work) -> str:
    """Run the command to its end; gives what it printed."""
    _run(folder, work.line)
    return (folder.parent / "log").read_text(encoding="utf-8")


def _run(folder: Path, line: Sequence[str]) -> None:
    with _started(folder, line) as process:
        if process.wait():
            said = (folder.parent / "log").read_text(encoding="utf-8").strip().splitlines()[-1]
            raise UserError(f"`{' '.join(line)}` in {folder} ended with exit code {process.returncode}: {said}")


def _started(folder: Path, line: Sequence[str]) -> "subprocess.Popen[bytes]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path}
    with (folder.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *line], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def _files(folder: Path) -> list[Path]:
    files = (path for path in sorted((folder / "out").rglob("*")) if path.is_file())
    return [path for path in files if not path.is_relative_to(folder / RUNS_OF_MLFLOW)]


def _digests(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every file below out/ but the number of the run."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(folder)
    }


def main() -> None:
    """Run the command; exits."""
    parser = benchmark_parser("benchmarks.kills", __doc__, data=False)
    parser.add_argument("--only", choices=WORKS, action="append", help="kill this one only; may be repeated")
    parser.add_argument("--kills", type=int, metavar="N", help="so often (30 of dvc repro, 6 of the others)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the moments (%(default)s)")
    arguments = parser.parse_args()
    names, report = arguments.only or list(WORKS), resolved(arguments.json)
    sys.exit(guarded(lambda: measure(names, arguments.seed, arguments.kills, report), arguments.debug))


if __name__ == "__main__":
    main()
