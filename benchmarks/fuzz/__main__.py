"""Fuzzes whatever reads files of others: `python -m benchmarks.fuzz --minutes 10`.

Readers in Python run under atheris, the C++ runtime under libFuzzer and sanitizers, with files whose length and
checksum are mended: both go by what a file reaches in the code (`pip install -e ".[fuzz]"`). Time is shared out to the
targets. What is found lies in the folder of --corpus, with the way to see it again; exit code 1 then. Files that led
somewhere new stay there for the next call.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.fuzz.options import options
from benchmarks.fuzz.runtime import compiled_fuzzer, seed_files
from benchmarks.fuzz.targets import TARGETS
from stages.core.base.artifacts import write_json
from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.command import guarded

RUNTIME = "runtime"
RUNTIME_BYTES = 1 << 16
LEAST_SECONDS = 3


def fuzz(names: list[str], seconds: int, corpus: Path, report: Path | None) -> int:
    """Fuzz some targets.

    Args:
        names: of the targets.
        seconds: for each.
        corpus: the folder of files.
        report: JSON file for the rows.

    Returns:
        The exit code: 1 if anything was found.
    """
    if importlib.util.find_spec("atheris") is None:
        raise UserError('atheris is missing: pip install -e ".[fuzz]"')
    rows = []
    table = Table("target", "files tried", "CPU s", "found")
    for name in names:
        before = set(corpus.glob(f"{name}-*"))
        tried, used = _fuzz(name, seconds, corpus)
        found = sorted(path.name for path in set(corpus.glob(f"{name}-*")) - before)
        rows.append({"target": name, "tried": tried, "seconds": used, "found": found})
        table.add_row(name, str(tried), f"{used:.0f}", ", ".join(found) or "-")
    output.print(table)
    if report is not None:
        write_json(report, rows)
    return int(any(row["found"] for row in rows))


def _fuzz(name: str, seconds: int, corpus: Path) -> tuple[int, float]:
    """Run a target's fuzzer; gives how many files it has tried, and its processor seconds."""
    log, folder = corpus / f"{name}.log", corpus / name
    with tempfile.TemporaryDirectory() as made, log.open("w", encoding="utf-8") as file:
        line = _runtime_line(seconds, folder, Path(made)) if name == RUNTIME else _python_line(name, seconds, folder)
        environment = os.environ | {"TMPDIR": made}
        with subprocess.Popen(line, stdout=file, stderr=subprocess.STDOUT, env=environment) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = code = os.waitstatus_to_exitcode(status)
    text = log.read_text(encoding="utf-8", errors="replace")
    counted = [line.split()[-1] for line in text.splitlines() if line.startswith("stat::number_of_executed_units")]
    if code and not any(corpus.glob(f"{name}-*")):
        raise UserError(f"{name}: the fuzzer ended with code {code}: see {log}")
    return int(counted[-1]) if counted else 0, usage.ru_utime + usage.ru_stime


def _python_line(name: str, seconds: int, folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.fuzz.worker", name, str(seconds), str(folder)]


def _runtime_line(seconds: int, folder: Path, made: Path) -> list[str]:
    folder.mkdir(exist_ok=True)
    for index, seed in enumerate(seed_files()):
        (folder / f"seed{index}").write_bytes(seed)
    return [str(compiled_fuzzer(made)), *options(seconds, f"{folder}-", RUNTIME_BYTES), str(folder)]


def main() -> None:
    """Run the command; exits."""
    parser = benchmark_parser("benchmarks.fuzz", __doc__, data=False)
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="of all targets together (%(default)s)")
    parser.add_argument("--target", choices=[*TARGETS, RUNTIME], help="fuzz this one only")
    parser.add_argument(
        "--corpus", type=Path, default=Path("fuzz"), metavar="DIR", help="where files stay (%(default)s)"
    )
    arguments = parser.parse_args()
    names = [arguments.target] if arguments.target else [*TARGETS, RUNTIME]
    seconds = max(LEAST_SECONDS, round(60 * arguments.minutes / len(names)))
    corpus = arguments.corpus.resolve()
    corpus.mkdir(parents=True, exist_ok=True)
    sys.exit(guarded(lambda: fuzz(names, seconds, corpus, resolved(arguments.json)), arguments.debug))


if __name__ == "__main__":
    main()
