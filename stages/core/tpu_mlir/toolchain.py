"""TPU-MLIR on this machine."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from stages.core.base.console import console
from stages.core.base.errors import UserError
from stages.core.base.sources import environments_folder
from stages.core.config.schema import Config
from stages.core.config.toolchain import find_tool
from stages.core.environments.interpreters import clean_variables
from stages.core.environments.recipes import SOPHGO

__all__ = ["INSTALL", "Toolchain", "find_toolchain", "only_compiler"]

PLACE_DIGITS = 12
INSTALL = "`python -m stages.toolchain install sophgo`"


@dataclass(frozen=True)
class Toolchain:
    """TPU-MLIR's tools.

    Attributes:
        folder: has `model_deploy.py` and the others.
        variables: the environment variables that they run with.
    """

    folder: Path
    variables: Mapping[str, str]

    @property
    def python(self) -> str:
        """The Python that has the packages of the tools."""
        own = self.folder / "python"
        return str(own) if own.exists() else "python3"


def find_toolchain(config: Config) -> Toolchain:
    """The tools that `soc.toolchain.path` names, else those that the toolchain command has installed.

    Raises:
        UserError: if there are none.
    """
    if tool := find_tool(config.soc.toolchain):
        folder, variables = tool.parent, dict(os.environ)  # its own set-up may have put things there
    elif SOPHGO.installed:
        folder, variables = SOPHGO.executable.parent, clean_variables() | dict(SOPHGO.variables or {})
    else:
        raise UserError(f"TPU-MLIR is not installed on this machine: {INSTALL}, or `python -m stages.compose --keep`")
    search = os.pathsep.join([str(folder), variables.get("PATH", os.defpath)])
    return Toolchain(folder, variables | {"PATH": search})


@contextmanager
def only_compiler(toolchain: Toolchain) -> Iterator[None]:
    """Wait until no other process compiles with these tools: the simulators of two chips share files beside them."""
    folder = environments_folder()
    folder.mkdir(parents=True, exist_ok=True)
    place = hashlib.sha256(str(toolchain.folder.resolve()).encode()).hexdigest()[:PLACE_DIGITS]
    lock = FileLock(folder / f"tpu-mlir-{place}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"waiting for another process that compiles with {toolchain.folder}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
