"""The bytes of all artifacts before and after a change: `python -m benchmarks.artifacts --data DIR --json FILE`.

Runs the whole pipeline on several experiments, each in a temporary copy of a checkout's tracked files, and writes the
sha256 of every file under `out/`. `--checkout DIR` runs another checkout, an older commit's worktree for instance;
`--against FILE` compares with such a file and ends with exit code 1 if a file that holds numbers (a network, an array,
a program for the board) differs. Files of text may differ in their words: they are listed, not refused.

DIR holds imagenet_sample/ (photos), coco_train128/images/ (photos) and models/yolox_nano_416.onnx.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.common import PROJECT, link_pictures, pictures_in
from benchmarks.networks import NETWORKS
from stages.core.base.artifacts import write_json
from stages.core.base.console import output, say
from stages.core.base.errors import UserError
from stages.core.command import guarded

YOLOX = NETWORKS["yolox_nano"]
YOLOX_FOLDERS = (
    "data=folder",
    "data.calibration.source=file:calibration",
    "data.debug.source=file:debug",
    "data.evaluation.source=file:debug",
    "data.evaluation.labels=null",
    "data.evaluation.task=none",
)
EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "best": ("quant=best",),
    "t41": ("soc=t41",),
    "bm1684x": ("soc=bm1684x",),
    "yolox_nano": (*YOLOX.overrides, *YOLOX_FOLDERS),
}
TEXT = {".json", ".csv", ".html", ".md", ".svg", ".py", ".sh", ".h", ".cpp", ".cfg", ".yaml", ".txt", ".log", ""}
"""Suffixes of files that hold words."""
CALIBRATION, DEBUG = 16, 4


def main() -> None:
    """Read the command line; exits."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.artifacts",
        description=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of pictures and networks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the hashes here")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with these hashes")
    parser.add_argument("--checkout", type=Path, default=PROJECT, metavar="DIR", help="whose stages run (this one's)")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), help="these experiments")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: artifacts(arguments), arguments.debug))


def artifacts(arguments: argparse.Namespace) -> int:
    """Hash, write and compare; gives the exit code."""
    before = json.loads(arguments.against.read_text()) if arguments.against else None
    data, checkout = arguments.data.resolve(), arguments.checkout.resolve()
    report = arguments.json.resolve() if arguments.json else None
    found: dict[str, dict[str, str]] = {}
    for name in arguments.only:
        say("run", name, "bold")
        found[name] = experiment(EXPERIMENTS[name], data, checkout)
        if report:
            write_json(report, found)
    return compare(before, found) if before is not None else 0


def experiment(overrides: Sequence[str], data: Path, checkout: Path) -> dict[str, str]:
    """Run an experiment from the start in a copy of a checkout; gives file under `out/` -> sha256."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed = _run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], checkout)
        for file in filter(None, listed.split("\0")):
            target = folder / file
            if not (checkout / file).is_file():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((checkout / file).read_bytes())
        if YOLOX.file and "model.source=file:network.onnx" in overrides:
            pictures = pictures_in(data / YOLOX.pictures)
            link_pictures(folder / "calibration", pictures[DEBUG:], CALIBRATION)
            link_pictures(folder / "debug", pictures[:DEBUG], DEBUG)
            (folder / "network.onnx").write_bytes((data / YOLOX.file).read_bytes())
        _run([sys.executable, "-m", "stages.compose", *overrides], folder)
        _run(["git", "init", "--quiet"], folder)
        _run([sys.executable, "-m", "dvc", "repro", "--no-commit", "--force", "compare", "evaluate", "build"], folder)
        out = folder / "out"
        files = sorted(path for path in out.rglob("*") if path.is_file())
        return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _run(line: list[str], folder: Path) -> str:
    """Run a program in a folder whose own `stages` it imports; gives what it prints.

    Raises:
        UserError: with the last lines of what it says, if it fails.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()
        raise UserError(f"`{' '.join(line)}` ended with exit code {done.returncode}: {' / '.join(said[-4:])}")
    return done.stdout


def compare(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> int:
    """Print what differs; gives 1 if a file of numbers does, or is missing."""
    table = Table(title="artifacts")
    for heading in ("experiment", "files", "equal", "text differs", "numbers differ"):
        table.add_column(heading, justify="left" if heading == "experiment" else "right")
    differing: list[str] = []
    for name, files in after.items():
        old = before.get(name, {})
        changed = sorted(file for file in {*files, *old} if files.get(file) != old.get(file))
        text = [file for file in changed if Path(file).suffix in TEXT]
        numbers = [file for file in changed if file not in text]
        differing += [f"{name}: {file}" for file in numbers]
        table.add_row(name, *(str(len(part)) for part in (files, files.keys() - {*changed}, text, numbers)))
        for file in text:
            say("text", f"{name}: {file}", "yellow")
    output.print(table)
    for line in differing:
        say("differs", line, "red")
    return int(bool(differing))


if __name__ == "__main__":
    main()
