"""The bytes of all artifacts before and after a change: `python -m benchmarks.artifacts --data DIR --json FILE`.

Runs the whole pipeline on several experiments, each in a temporary copy of a checkout's files, and writes the sha256 of
every file under `out/`; for JSON and CSV also that of their numbers alone. `--checkout DIR` runs another checkout, for
instance an older commit's worktree. `--against FILE` compares with such a file. The exit code is 1 if a file that holds
numbers (a network, an array) differs, is missing or is new, or if the numbers in a JSON or CSV file differ. Text may
differ in its words, come or go: it is listed only.

DIR holds imagenet_sample/ (photos), coco_train128/images/ (photos) and models/yolox_nano_416.onnx.
"""

import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks.common import PROJECT
from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.networks import NETWORKS, find_data
from benchmarks.common.picture_folders import link_pictures
from benchmarks.common.project import CALIBRATION_FOLDER, DEBUG_FOLDER, folder_overrides
from stages.core.base.artifacts import write_json
from stages.core.base.console import output, say
from stages.core.base.errors import UserError, one_line
from stages.core.command import guarded

__all__ = ["Difference", "compare_hashes"]

Hashes = Mapping[str, str]
"""File under `out/` -> sha256 of its bytes; of JSON and CSV also, after a colon, of its numbers."""

YOLOX = NETWORKS["yolox_nano"]
EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "best": ("quant=best",),
    "t41": ("soc=t41",),
    "bm1684x": ("soc=bm1684x",),
    "yolox_nano": (*YOLOX.overrides, *folder_overrides()),
}
TEXT_SUFFIXES = {
    ".json", ".csv", ".html", ".md", ".svg", ".py", ".sh", ".h", ".cpp", ".cfg", ".yaml", ".txt", ".log", "",
}  # fmt: skip
JSON_SUFFIXES, CSV_SUFFIX = {".json", ".cfg"}, ".csv"
CALIBRATION_PICTURES, DEBUG_PICTURES = 16, 4


@dataclass(frozen=True)
class Difference:
    """How the files of an experiment differ from those before.

    Attributes:
        equal: number of files with the same bytes.
        text: text files that differ, but not in their numbers as far as those are known, or are in one of the two.
        numbers: other files that differ or are in one of the two.
    """

    equal: int
    text: list[str]
    numbers: list[str]


def main() -> None:
    parser = benchmark_parser("benchmarks.artifacts", __doc__)
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with these hashes")
    parser.add_argument("--checkout", type=Path, default=PROJECT, metavar="DIR", help="whose stages run (this one's)")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), help="these experiments")
    arguments = parser.parse_args()

    def work() -> int:
        before = _read_hashes(arguments.against) if arguments.against else None
        data, checkout, report = arguments.data.resolve(), arguments.checkout.resolve(), resolved(arguments.json)
        after = hash_experiments(arguments.only, data, checkout, report)
        return report_differences(before, after) if before is not None else 0

    sys.exit(guarded(work, arguments.debug))


def _read_hashes(file: Path) -> dict[str, Hashes]:
    try:
        hashes: dict[str, Hashes] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--against {file}: {one_line(error)}; give a file that --json wrote") from error
    return hashes


def hash_experiments(names: Sequence[str], data: Path, checkout: Path, report: Path | None) -> dict[str, Hashes]:
    """Run experiments and hash their artifacts; the hashes are written as they come.

    Args:
        names: of `EXPERIMENTS`.
        data: DIR.
        checkout: whose stages run.
        report: where the hashes are written; None: nowhere.

    Raises:
        UserError: if DIR lacks something, or a stage fails.
    """
    hashes: dict[str, Hashes] = {}
    for name in names:
        say("run", name, "bold")
        with tempfile.TemporaryDirectory() as folder:
            copy_checkout(checkout, Path(folder))
            if name == "yolox_nano":
                _link_yolox(data, Path(folder))
            hashes[name] = run_pipeline(EXPERIMENTS[name], Path(folder))
        if report:
            write_json(report, hashes)
    return hashes


def copy_checkout(checkout: Path, folder: Path) -> None:
    """Copy a checkout's files, tracked or new and not ignored, as they are in the working tree."""
    listed = _run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], checkout)
    for file in filter(None, listed.split("\0")):
        if (checkout / file).is_file():  # a deleted file is still listed
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((checkout / file).read_bytes())


def _link_yolox(data: Path, folder: Path) -> None:
    pictures, network = find_data(YOLOX, data, CALIBRATION_PICTURES + DEBUG_PICTURES)
    link_pictures(folder / CALIBRATION_FOLDER, pictures[DEBUG_PICTURES:], CALIBRATION_PICTURES)
    link_pictures(folder / DEBUG_FOLDER, pictures[:DEBUG_PICTURES], DEBUG_PICTURES)
    assert network is not None
    (folder / "network.onnx").write_bytes(network.read_bytes())


def run_pipeline(overrides: Sequence[str], folder: Path) -> Hashes:
    """Run an experiment from the start in a copy of a checkout; gives the hashes of its artifacts."""
    _run([sys.executable, "-m", "stages.compose", *overrides], folder)
    _run(["git", "init", "--quiet"], folder)
    _run([sys.executable, "-m", "dvc", "repro", "--no-commit", "--force", "compare", "evaluate", "build"], folder)
    return hash_files(folder / "out")


def hash_files(folder: Path) -> Hashes:
    """Relative path -> hash of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hash_file(path) for path in files}


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes; of JSON and CSV also, after a colon, of its numbers."""
    content = path.read_bytes()
    digests = [content]
    if path.suffix in JSON_SUFFIXES or path.suffix == CSV_SUFFIX:
        text = content.decode()
        numbers = _csv_numbers(text) if path.suffix == CSV_SUFFIX else _json_numbers(text)
        digests.append("\n".join(numbers).encode())
    return ":".join(hashlib.sha256(part).hexdigest() for part in digests)


def _json_numbers(text: str) -> list[str]:
    numbers: list[str] = []
    json.loads(text, parse_float=numbers.append, parse_int=numbers.append)
    return numbers


def _csv_numbers(text: str) -> list[str]:
    return [cell for row in csv.reader(text.splitlines()) for cell in row if _is_number(cell)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _run(line: list[str], folder: Path) -> str:
    """Run a program in a folder whose own `stages` it imports; gives what it prints.

    Raises:
        UserError: with the last lines that it prints, if it fails.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path}
    finished = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        printed = (finished.stderr + finished.stdout).strip().splitlines()
        command = " ".join(line)
        raise UserError(f"`{command}` ended with exit code {finished.returncode}: {' / '.join(printed[-4:])}")
    return finished.stdout


def report_differences(before: Mapping[str, Hashes], after: Mapping[str, Hashes]) -> int:
    """Print what differs; gives 1 if files of numbers do."""
    differences = {name: compare_hashes(before.get(name, {}), hashes) for name, hashes in after.items()}
    table = Table(title="artifacts")
    for heading in ("experiment", "files", "equal", "text differs", "numbers differ"):
        table.add_column(heading, justify="left" if heading == "experiment" else "right")
    for name, difference in differences.items():
        counts = len(after[name]), difference.equal, len(difference.text), len(difference.numbers)
        table.add_row(name, *map(str, counts))
    for name, difference in differences.items():
        for file in difference.text:
            say("text", f"{name}: {file}", "yellow")
    output.print(table)
    for name, difference in differences.items():
        for file in difference.numbers:
            say("differs", f"{name}: {file}", "red")
    return int(any(difference.numbers for difference in differences.values()))


def compare_hashes(before: Hashes, after: Hashes) -> Difference:
    """Compare an experiment's files with those before; hashes may lack the part of the numbers."""
    equal, text, numbers = 0, list[str](), list[str]()
    for file in sorted(before.keys() | after.keys()):
        (bytes_before, _, numbers_before), (bytes_after, _, numbers_after) = (
            hashes.get(file, "").partition(":") for hashes in (before, after)
        )
        known = numbers_before and numbers_after
        if bytes_before == bytes_after:
            equal += 1
        elif Path(file).suffix in TEXT_SUFFIXES and (not known or numbers_before == numbers_after):
            text.append(file)
        else:
            numbers.append(file)
    return Difference(equal, text, numbers)


if __name__ == "__main__":
    main()
