"""Running one of TPU-MLIR's tools."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.compile.failures import explained
from stages.core.base.console import console
from stages.core.base.errors import UserError, one_line
from stages.core.base.processes import run_streaming
from stages.core.tpu_mlir.toolchain import INSTALL, Toolchain

__all__ = ["Tools"]


@dataclass(frozen=True)
class Tools:
    """TPU-MLIR's tools and how they are run.

    Attributes:
        toolchain: where they are.
        minutes: what one call may take.
        log: receives what they print, while they run.
    """

    toolchain: Toolchain
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
        for name in written:
            (work / name).unlink(missing_ok=True)
        console.print(f"{call[0]} (log: {self.log})", style="dim")
        code, lines = self._run(call, work)
        missing = [name for name in written if not (work / name).is_file() or not (work / name).stat().st_size]
        if code or missing:
            raise UserError(f"{explained(call, code, lines, missing)}; log: {self.log}")
        return lines

    def _run(self, call: Sequence[str], work: Path) -> tuple[int, list[str]]:
        """The exit code, and what was printed; the log has it as well."""
        command, lines = [str(self.toolchain.folder / call[0]), *call[1:]], []
        with self.log.open("a", encoding="utf-8", newline="") as file:

            def take(line: str) -> None:
                file.write(line)
                file.flush()
                lines.append(line)

            take(f"$ {' '.join(call)}\n")
            try:
                return run_streaming(command, work, take, self.toolchain.variables, self.minutes * 60), lines
            except TimeoutError as error:
                limit = f"{self.minutes:g} minutes (soc.toolchain.minutes)"
                raise UserError(f"{call[0]} took longer than {limit}; log: {self.log}") from error
            except OSError as error:
                raise UserError(f"{command[0]} cannot be run: {one_line(error)}; {INSTALL} makes one") from error
