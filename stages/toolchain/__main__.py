"""Installs, lists and removes isolated environments: Pythons with libraries that the project's own must not have.

tensorflow reads networks of TensorFlow, Keras and TFLite; export installs it when it first needs it. sophgo compiles
for Sophgo's chips and simulates them (TPU-MLIR); it takes a Python 3.10 of this machine. Environments lie in the user's
cache (SOCQUANT_CACHE overrides it) and serve all projects. An installation that fails leaves nothing.
"""

import signal
import sys
from pathlib import Path

from stages.core.base.console import next_step, output
from stages.core.base.errors import UserError, did_you_mean
from stages.core.command import EXIT_TERMINATED, Parser, guarded
from stages.core.environments.environment import Environment
from stages.core.environments.install import install, remove
from stages.core.environments.recipes import ENVIRONMENTS

EPILOG = """\
examples:
  python -m stages.toolchain install tensorflow      before export needs it, as on a machine that has a network now
  python -m stages.toolchain install sophgo          then `python -m stages.compose soc=bm1684x && dvc repro` compiles
  python -m stages.toolchain status                  what is installed, its size and folder
  python -m stages.toolchain remove tensorflow       the next export of a .tflite or .keras file installs it again

Exit code: 0, 2 for what cannot be installed.
"""
NEXT = "python -m stages.compose --keep && dvc repro, for a project that was composed before"
ACTIONS = ("install", "status", "remove")
BYTES_OF_MEGABYTE = 1_000_000


def main() -> None:
    """Run the command; exits."""
    parser = Parser("stages.toolchain", __doc__, EPILOG)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"of install and remove: {', '.join(ENVIRONMENTS)}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    if (arguments.action == "status") != (arguments.name is None):
        parser.error("status takes no name" if arguments.name else f"{arguments.action} takes a name")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    sys.exit(guarded(lambda: toolchain(arguments.action, arguments.name or ""), arguments.debug))


def toolchain(action: str, name: str) -> None:
    """Install, remove or list.

    Args:
        action: install, remove or status.
        name: of an environment; of status none.

    Raises:
        UserError: for a name that there is none of, or an installation that fails.
    """
    if action == "status":
        for line in status_lines():
            output.print(line)
        absent = [name for name, each in ENVIRONMENTS.items() if not each.installed]
        next_step(f"python -m stages.toolchain install {absent[0]}" if absent else NEXT)
        return
    environment = named(name)
    if action == "remove":
        removed = remove(environment)
        for folder in removed:
            output.print(f"removed {folder}")
        if not removed:
            output.print(f"{name} is not installed")
    elif environment.installed:
        output.print(f"{name} is installed: {environment.folder}")
    else:
        install(environment)
    next_step(f"python -m stages.toolchain install {name}, to have it again" if action == "remove" else NEXT)


def named(name: str) -> Environment:
    """The environment of a name.

    Raises:
        UserError: if there is none.
    """
    if name not in ENVIRONMENTS:
        raise UserError(f"there is no environment {name!r}; {did_you_mean(name, ENVIRONMENTS)}")
    return ENVIRONMENTS[name]


def status_lines() -> list[str]:
    """A line an environment: whether it is installed, its size and folder; a line for those of other versions."""
    lines = []
    for each in ENVIRONMENTS.values():
        state = f"installed, {_megabytes(each.folder)}, {each.folder}" if each.installed else "not installed"
        lines.append(f"{each.name} (Python {each.python}; {each.purpose}): {state}")
        lines += [f"{each.name} of another version: {_megabytes(folder)}, {folder}" for folder in each.leftovers]
    return lines


def _megabytes(folder: Path) -> str:
    size = sum(path.lstat().st_size for path in folder.rglob("*"))
    return f"{size / BYTES_OF_MEGABYTE:.0f} MB"


if __name__ == "__main__":
    main()
