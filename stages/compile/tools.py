"""TPU-MLIR's tools: where they are, and running one of them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from stages.compile.failures import explained
from stages.core.base.console import console
from stages.core.base.errors import UserError, one_line
from stages.core.base.processes import run_streaming
from stages.core.base.sources import environments_folder
from stages.core.config.schema import Config
from stages.core.config.toolchain import find_tool
from stages.core.environments.interpreters import clean_variables
from stages.core.environments.recipes import SOPHGO

__all__ = ["Tools", "find_tools", "only_compiler"]

INSTALL = "`python -m stages.toolchain install sophgo`"


@dataclass(frozen=True)
class Tools:
    """TPU-MLIR's tools in one folder.

    Attributes:
        folder: has `model_deploy.py` and the others.
        variables: the environment variables that they run with.
        minutes: what one call may take.
        log: receives what they print, while they run.
    """

    folder: Path
    variables: Mapping[str, str]
    minutes: float
    log: Path

    def run(self, call: Sequence[str], work: Path, *written: str) -> list[str]:
        """Run a tool.

        Args:
            call: the tool and its arguments.
            work: it runs there.
            written: files that it has to write there: its exit code alone is not believed.

        Returns:
            What it printed.

        Raises:
            UserError: if it cannot be run, takes too long, fails or leaves a file out; the reason in one line.
        """
        command, lines = [str(self.folder / call[0]), *call[1:]], []
        for name in written:
            (work / name).unlink(missing_ok=True)
        console.print(f"{call[0]} (log: {self.log})", style="dim")
        with self.log.open("a", encoding="utf-8", newline="") as file:
            file.write(f"$ {' '.join(call)}\n")

            def take(line: str) -> None:
                file.write(line)
                file.flush()
                lines.append(line)

            try:
                code = run_streaming(command, work, take, self.variables, self.minutes * 60)
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise UserError(
                        f"{call[0]} took longer than {self.minutes:g} minutes (soc.toolchain.minutes); log: {self.log}"
                    ) from error
                raise UserError(f"{command[0]} cannot be run: {one_line(error)}; {INSTALL} makes one") from error
        missing = [name for name in written if not (work / name).is_file() or not (work / name).stat().st_size]
        if code or missing:
            raise UserError(f"{explained(call, code, lines, missing)}; log: {self.log}")
        return lines


def find_tools(config: Config, log: Path) -> Tools:
    """The tools that `soc.toolchain.path` names, else those that the toolchain command has installed.

    Raises:
        UserError: if there are none.
    """
    toolchain = config.soc.toolchain
    if tool := find_tool(toolchain):
        variables: dict[str, str] = dict(os.environ)  # its own set-up may have put things there
        folder = tool.parent
    elif SOPHGO.installed:
        folder = SOPHGO.executable.parent
        variables = clean_variables() | dict(SOPHGO.variables or {})
    else:
        raise UserError(f"TPU-MLIR is not installed on this machine: {INSTALL}, or `python -m stages.compose --keep`")
    search = os.pathsep.join([str(folder), variables.get("PATH", os.defpath)])
    return Tools(folder, variables | {"PATH": search}, toolchain.minutes, log)


@contextmanager
def only_compiler() -> Iterator[None]:
    """Wait until no other process compiles: the simulators of two chips share files in the environment."""
    folder = environments_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "tpu-mlir.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print("waiting for another process that compiles with TPU-MLIR")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
