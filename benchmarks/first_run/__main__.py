"""Networks of others in two commands: `python -m benchmarks.first_run`.

Each network goes through `python -m stages.init NETWORK SAMPLES` and the stages, in a fresh project: no file is edited
and no key is typed. The debug build of the runtime that build writes then runs on a sample, and its layers are compared
with the PC's.

format    of the network's files
tries     how often the two commands were called
init      seconds
stages    seconds of all stages together
verdict   what compare says
cosine    of all outputs, as evaluate has it
fidelity  of the worst output, as compare has it
measure   of the network's own task, the float network's answers as the truth
integers  layers that multiply by weights in integers, of how many
float     operators of the quantized network that run in float
runtime   layers of the C++ runtime that equal the PC's, of how many
died      the command that refuses the network, and why

Networks and most samples come out of pinned packages. --data DIR has coco_train128: with it photos are COCO's. The
first network of TensorFlow's formats installs TensorFlow in an environment of its own.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import results_table
from benchmarks.first_run.case import Case
from benchmarks.first_run.cases import CASES
from benchmarks.first_run.project import COLUMNS, first_run
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError, did_you_mean
from stages.core.command import guarded

LEFT = ("network", "format", "verdict", "measure", "float", "died")


def main() -> None:
    parser = benchmark_parser("benchmarks.first_run", __doc__ or "", data=False)
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of pictures")
    parser.add_argument("--nets", metavar="NAME,...", help="these networks only")
    parser.add_argument(
        "--cures", type=int, metavar="N", help="compare.cures: 0 saves most of the time (default: as is)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave each network's project here")
    arguments = parser.parse_args()
    folders = {name: resolved(getattr(arguments, name)) for name in ("data", "json", "keep")}
    names = arguments.nets.split(",") if arguments.nets else None

    def run() -> None:
        settings = [] if arguments.cures is None else [f"compare.cures={arguments.cures}"]
        measure(select(names), folders, settings)

    sys.exit(guarded(run, arguments.debug))


def select(names: Sequence[str] | None) -> list[Case]:
    """Networks by name, or all.

    Raises:
        UserError: for a name that none of them has.
    """
    known = {case.name for case in CASES}
    for name in names or []:
        if name not in known:
            raise UserError(f"--nets: no such network {name!r}; {did_you_mean(name, sorted(known))}")
    return [case for case in CASES if names is None or case.name in names]


def _kept(keep: Path | None, number: int, case: Case) -> Path | None:
    """The folder of a network's project that stays; None where none does."""
    return keep and keep / f"{number:02d}_{case.name}"


def check_new(folders: Sequence[Path]) -> None:
    """Refuse folders of an earlier run: two commands are to work in a fresh project.

    Raises:
        UserError: naming the first.
    """
    if old := next((folder for folder in folders if folder.exists()), None):
        raise UserError(
            f"--keep {old.parent}: {old.name} is there from an earlier run: remove it, or name a new folder"
        )


def measure(cases: Sequence[Case], folders: dict[str, Path | None], settings: Sequence[str]) -> None:
    """Take each network through both commands, print the table and write the rows as they come.

    Args:
        cases: the networks.
        folders: `data`, `json` and `keep` of the command line.
        settings: overrides.
    """
    check_new([folder for number, case in enumerate(cases) if (folder := _kept(folders["keep"], number, case))])
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        console.print(case.name)
        with tempfile.TemporaryDirectory() as temporary:
            folder = _kept(folders["keep"], number, case) or Path(temporary) / case.name
            rows.append(first_run(case, folder, folders["data"], settings))
        if folders["json"]:
            write_json(folders["json"], rows)
    output.print(results_table("first run", rows, COLUMNS, left=LEFT))
    through = sum(row["died"] is None for row in rows)
    output.print(f"{through} of {len(rows)} through, none of them with a file edited or a key typed")


if __name__ == "__main__":
    main()
