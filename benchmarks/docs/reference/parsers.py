"""The parser of each command, as the command itself makes it."""

import argparse
import runpy
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn
from unittest import mock

__all__ = ["COMMANDS", "EXTRAS", "STAGES", "examples", "options", "parser_of"]

STAGES = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build", "compile", "track")
"""In the order in which `dvc repro` runs them."""
COMMANDS = (
    "init", "scan", "compose", "sweep", "bisect", "autotune", "infer", "check", "profile", "toolchain",
)  # fmt: skip
EXTRAS = ("build.pluto",)
"""Commands inside stages."""
EXAMPLES = "examples:\n"


class _CapturedParser(BaseException):
    """Ends a command where it would parse its arguments; no handler of errors takes it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of `python -m stages.COMMAND`: the command starts, and ends where it would parse.

    Raises:
        LookupError: if the command parses nothing.
    """

    def capture(self: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise _CapturedParser(self)

    module = f"stages.{command}"
    name = module if command == "compose" else f"{module}.__main__"
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", capture),
        mock.patch.object(sys, "argv", [f"{module.replace('.', '/')}/__main__.py"]),
        warnings.catch_warnings(action="ignore", category=RuntimeWarning),  # the module may be imported already
    ):
        try:
            runpy.run_module(name, run_name="__main__")
        except _CapturedParser as captured:
            return captured.parser
    raise LookupError(f"{module} parses no arguments")


def options(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """A parser's arguments and options but --help, in their order."""
    return [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]


def examples(epilog: str | None) -> list[str]:
    """The lines of a help text's examples: a command each, with what it is for behind two spaces."""
    if not epilog or EXAMPLES not in epilog:
        return []
    text = epilog.split(EXAMPLES, 1)[1].split("\n\n", 1)[0]
    return [line.strip() for line in text.splitlines() if line.strip()]
