"""The command line of a benchmark."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common.networks import NETWORKS
from stages.core.command import Parser, guarded

__all__ = ["benchmark_parser", "networks_command", "resolved"]


def benchmark_parser(module: str, doc: str | None, data: bool = True) -> argparse.ArgumentParser:
    """A parser with the arguments that all benchmarks have: --json, --debug, and --data where it needs data.

    Args:
        module: as `python -m` takes it.
        doc: the module's documentation: what follows the first line is the command's description.
        data: whether the benchmark reads pictures and networks from a folder.
    """
    parser = Parser(module, (doc or "").partition("\n\n")[2])
    if data:
        parser.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="the folder of pictures and networks"
        )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def resolved(path: Path | None) -> Path | None:
    """An absolute path, since benchmarks work in a temporary folder."""
    return path.resolve() if path else None


def networks_command(module: str, doc: str | None, measure: Callable[[Sequence[str], Path, Path | None], bool]) -> None:
    """Run a benchmark of `NETWORKS` from the command line; exits, with 1 where a bar is missed.

    Args:
        module: as `python -m` takes it.
        doc: the module's documentation.
        measure: takes names of networks, DIR and the file for the rows; returns whether every bar is reached.
    """
    parser = benchmark_parser(module, doc)
    parser.add_argument("--network", choices=NETWORKS, help="measure this one only")
    arguments = parser.parse_args()
    names = [arguments.network] if arguments.network else list(NETWORKS)
    report = resolved(arguments.json)
    sys.exit(guarded(lambda: int(not measure(names, arguments.data.resolve(), report)), arguments.debug))
