"""Fuzzes whatever reads files of others: `python -m benchmarks.fuzz --minutes 10`.

Readers in Python run under atheris, which goes by what a file reaches in the code (`pip install -e ".[fuzz]"`); the
C++ runtime's loader under sanitizers, with files whose length and checksum are mended. Time is shared out to the
targets. What is found lies in the folder of --corpus, with the way to see it again; exit code 1 then. Files that led
somewhere new stay there for the next call.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.fuzz.runtime import fuzz_runtime
from benchmarks.fuzz.targets import TARGETS
from stages.core.base.artifacts import write_json
from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.command import guarded

RUNTIME = "runtime"
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
    if importlib.util.find_spec("atheris") is None and names != [RUNTIME]:
        raise UserError('atheris is missing: pip install -e ".[fuzz]"')
    rows = []
    table = Table("target", "files tried", "found")
    for name in names:
        before = set(corpus.glob(f"{name}-*"))
        tried = fuzz_runtime(seconds, corpus) if name == RUNTIME else _python_target(name, seconds, corpus)
        found = sorted(path.name for path in set(corpus.glob(f"{name}-*")) - before)
        rows.append({"target": name, "tried": tried, "found": found})
        table.add_row(name, str(tried), ", ".join(found) or "-")
    output.print(table)
    if report is not None:
        write_json(report, rows)
    return int(any(row["found"] for row in rows))


def _python_target(name: str, seconds: int, corpus: Path) -> int:
    """Run a worker; gives how many files it has tried."""
    line = [sys.executable, "-m", "benchmarks.fuzz.worker", name, str(seconds), str(corpus / name)]
    log = corpus / f"{name}.log"
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(line, stdout=file, stderr=subprocess.STDOUT, check=False, env=os.environ).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    counted = [line.split()[-1] for line in text.splitlines() if line.startswith("stat::number_of_executed_units")]
    if code and not any(corpus.glob(f"{name}-*")):
        raise UserError(f"{name}: the fuzzer ended with code {code}: see {log}")
    return int(counted[-1]) if counted else 0


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
