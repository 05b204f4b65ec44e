"""Gives commands hostile inputs and shows how each ends: `python -m benchmarks.hostile`.

Damaged artifacts, bad texts, broken networks, pictures, arrays and dumps, mistaken words, bad moments: all are made
here, in a temporary folder. A case passes with a result, or with one line of error, exit code 2 and nothing left
behind; a traceback, an internal error, a minute of CPU time, 1.5 GB or a control character fails it. Exit code 1 if one
fails. --family takes some of them, --only those whose name has a text.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.processes import call_in_fresh_process
from benchmarks.hostile.artifacts import artifact_cases, form_cases
from benchmarks.hostile.calls import call_cases
from benchmarks.hostile.case import Case, Outcome, complaints
from benchmarks.hostile.moments import moment_cases
from benchmarks.hostile.networks import network_cases
from benchmarks.hostile.project import make_project
from benchmarks.hostile.runner import preload, run_case
from benchmarks.hostile.samples import sample_cases
from benchmarks.hostile.texts import text_cases
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.command import guarded

FAMILIES = ("artifacts", "forms", "texts", "networks", "samples", "dumps", "calls", "moments", "formats")


def cases(template: Path) -> Iterator[Case]:
    """All cases, for the project in a folder."""
    return chain(
        artifact_cases(),
        form_cases(template),
        text_cases(),
        network_cases(),
        sample_cases(),
        call_cases(),
        moment_cases(),
    )


def run(families: Sequence[str], only: str, report: Path | None) -> int:
    """Run cases; shows what fails and a table of counts.

    Args:
        families: which.
        only: a text that the names have.
        report: JSON file for the rows.

    Returns:
        1 if a case fails.
    """
    rows, counts, wrong = [], Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        template = Path(name)
        call_in_fresh_process(make_project, template)
        preload()
        for case in cases(template):
            if case.family not in families or only not in f"{' '.join(case.line)} {case.name}":
                continue
            outcome = run_case(case, template)
            found = complaints(case, outcome)
            counts[case.family] += 1
            wrong[case.family] += bool(found)
            rows.append(_row(case, outcome, found))
            if found:
                console.print(f"{' '.join(case.line)[:80]!r} with {case.name!r}: {', '.join(found)}: {outcome.last!r}")
            if report is not None:
                write_json(report, rows)
    _show(rows, counts, wrong)
    return int(bool(wrong.total()))


def _row(case: Case, outcome: Outcome, found: Sequence[str]) -> dict[str, object]:
    return {
        "family": case.family,
        "hostile": case.name,
        "command": " ".join(case.line),
        "code": outcome.code,
        "last": outcome.last,
        "seconds": round(outcome.seconds, 2),
        "peak_mb": round(outcome.peak_mb),
        "wrong": list(found),
    }


def _show(rows: Sequence[dict[str, object]], counts: Counter[str], wrong: Counter[str]) -> None:
    """A row a family."""
    table = Table("hostile", "tried", "taken", "refused", "wrong", "slowest, CPU s", "most MB")
    for family in counts:
        own = [row for row in rows if row["family"] == family]
        codes = Counter(row["code"] for row in own)
        slowest = max(float(str(row["seconds"])) for row in own)
        most = max(int(str(row["peak_mb"])) for row in own)
        cells = counts[family], counts[family] - codes[2], codes[2], wrong[family], f"{slowest:.1f}", most
        table.add_row(escape(family), *map(str, cells))
    output.print(table)


def main() -> None:
    """Run the command; exits."""
    parser = benchmark_parser("benchmarks.hostile", __doc__, data=False)
    parser.add_argument("--family", choices=FAMILIES, action="append", help="try these only; may be repeated")
    parser.add_argument("--only", default="", metavar="TEXT", help="try those only whose command or name has it")
    arguments = parser.parse_args()
    families, report = arguments.family or FAMILIES, resolved(arguments.json)
    sys.exit(guarded(lambda: run(families, arguments.only, report), arguments.debug))


if __name__ == "__main__":
    main()
