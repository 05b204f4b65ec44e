"""The frame around every command: arguments, one-line errors, exit codes."""

import argparse
import errno
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from stages.core.base.console import console, next_step, say
from stages.core.base.errors import UserError, one_line
from stages.core.base.threads import thread_count
from stages.core.config.load import load_params
from stages.core.config.schema import Config

__all__ = ["EXIT_TERMINATED", "Parser", "collect_seldom", "guarded", "run_command", "run_stage"]

EXIT_USER = 2
EXIT_INTERNAL = 1
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
SELDOM = (100_000, 20, 100)
"""Allocations and rounds between collections of garbage."""
WRITE_ERRNOS = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ACCESS_ERRNOS = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
SHOWN_NAME = 100
FLOW = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build", "track")
"""The stages in the order of dvc.yaml."""
COMPILED_FLOW = (
    "export", "calibset", "calibrate", "quantize", "build", "compile", "evaluate", "compare", "track",
)  # fmt: skip
"""Where a vendor's compiler is installed: it comes before what may read its result."""
DVC_STAGE = "DVC_STAGE"
"""What DVC sets in the environment of a stage that it runs."""
STAGE_EPILOG = """\
examples:
  python -m stages.{name}                          this stage alone, on what the stages before it wrote
  python -m stages.{name} --params other.yaml      of another experiment
  dvc repro {name}                                 with the stages before it, as far as something has changed
"""


class Parser(argparse.ArgumentParser):
    """A command's parser: a mistake is one line, without the usage before it; help keeps its line breaks.

    Args:
        module: the command, as `python -m` takes it.
        description: the help text.
        epilog: what the help ends with, for instance examples.
    """

    def __init__(self, module: str, description: str | None, epilog: str = "") -> None:
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(f"python -m {module}", description=description, epilog=epilog, formatter_class=form)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments; exits with code 2."""
        say("error", f"{message}; see --help", "red")
        sys.exit(EXIT_USER)


def collect_seldom() -> None:
    """Look for garbage seldom: in a command whose objects live until it ends that takes a fifth of the time."""
    gc.set_threshold(*SELDOM)


def guarded(work: Callable[[], int | None], debug: bool) -> int:
    """Run `work`; turn an exception into one line on standard error and an exit code.

    Returns:
        What `work` returns, 0 for None; 2 for a user's mistake or a place that cannot be
        written, 130 for Ctrl-C, 1 for anything unforeseen.
    """
    debug = debug or os.environ.get("SOCQUANT_DEBUG", "") not in ("", "0")
    try:
        return work() or 0
    except UserError as error:
        if debug:
            traceback.print_exc()
        say("error", str(error), "red")
        return EXIT_USER
    except KeyboardInterrupt:
        console.print("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        if _interrupted(error):
            console.print("interrupted")
            return EXIT_INTERRUPTED
        if isinstance(error, OSError) and (reason := _refused(error)):
            say("error", reason, "red")
            return EXIT_USER
        where = "(SOCQUANT_DEBUG=1 or --debug shows where)"
        say("internal error", f"{type(error).__name__}: {one_line(error)} {where}", "red")
        return EXIT_INTERNAL


def run_stage(work: Callable[[Config], None], description: str) -> None:
    """Run one stage as `python -m stages.<name>`: read and check the parameters, then work; exits.

    SIGTERM, which a scheduler sends, ends it with code 143 and its temporary folders removed.

    Args:
        work: takes the experiment's config; reads and writes the stage's artifacts.
        description: the help text: what the stage reads and writes.
    """
    name = _module_name().removeprefix("stages.")

    def work_and_say(config: Config, _: argparse.Namespace) -> None:
        work(config)
        following = dict(pairwise(COMPILED_FLOW if config.watch.compilers else FLOW))
        if name in following and DVC_STAGE not in os.environ:  # DVC goes on by itself
            next_step(f"python -m stages.{following[name]}, or `dvc repro` for all that has changed")

    run_command(work_and_say, description, epilog=STAGE_EPILOG.format(name=name))


def run_command(
    work: Callable[[Config, argparse.Namespace], int | None],
    description: str,
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None,
    epilog: str = "",
) -> None:
    """Run a command that works on an experiment and takes arguments of its own; exits, see `run_stage`.

    Args:
        work: takes the experiment's config and the arguments; gives the exit code, None for 0.
        description: the help text.
        add_arguments: adds the command's arguments to those that all have.
        epilog: what the help ends with, for instance examples.
    """
    parser = Parser(_module_name(), description, epilog)
    add_arguments(parser)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the composed config (%(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_intermixed_args()  # files may come after options
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))

    def checked_work() -> int | None:
        thread_count()  # a wrong number is refused before hours of work, not by the first step that takes threads
        return work(load_params(arguments.params), arguments)

    sys.exit(guarded(checked_work, arguments.debug))


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error came of Ctrl-C: a library that is interrupted may fail as it tidies up."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _refused(error: OSError) -> str | None:
    """What the file system refused, in one line; None where it may be the program's fault."""
    what = str(error.filename or "a file")  # a disk that is full says so of no file
    what = what if len(what) <= SHOWN_NAME else f"{what[:SHOWN_NAME]}..."
    if error.errno in WRITE_ERRNOS:
        return f"{what} cannot be written: {error.strerror}"
    if error.errno in ACCESS_ERRNOS and error.filename is not None:
        return f"{what} cannot be read or written: {error.strerror}"
    return None


def _module_name() -> str:
    """The stage's module name, from the file that runs as `__main__`."""
    path = Path(sys.argv[0])
    return f"stages.{path.parent.name}" if path.stem == "__main__" else f"stages.{path.stem}"
