"""A hostile input, and what a command may do with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Case", "Outcome", "complaints"]

MOST_SECONDS = 60
"""A command that takes more CPU time hangs; with networks of some kB nothing takes long."""
MOST_MB = 1500
ANSWERS = {"check": (0, 1), "bisect": (0, 1), "build.pluto": (0, 1), "sweep": (0, 1)}
"""Exit codes besides 2 of the commands whose answer may be no; of the others 0."""
CONTROL = {chr(code) for code in (*range(9), *range(11, 32), 0x202A, 0x202B, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068)}
"""Characters that change what a terminal shows of other ones."""
SHOWN = 110
BESIDE = ("warning: ", "fetching ", "converting ")
"""How lines begin that may come before an error."""


FULL = "/dev/full"
"""Known to be full when the work is done: what it wrote elsewhere stays."""


@dataclass(frozen=True)
class Case:
    """A command with something hostile in its way.

    Attributes:
        family: what kind of thing is hostile.
        name: what it is.
        line: the command and its arguments.
        prepare: makes it so, in the project's folder, which is the current one.
        environment: variables to set.
    """

    family: str
    name: str
    line: tuple[str, ...]
    prepare: Callable[[], object] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: exit code; None: it was ended for its time.
        out, err: what it printed.
        seconds: of CPU time.
        peak_mb: peak memory in MB.
        left: files that were not there before.
    """

    code: int | None
    out: str
    err: str
    seconds: float
    peak_mb: float
    left: tuple[str, ...]

    @property
    def last(self) -> str:
        """The last line that it printed, shortened."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1][:SHOWN] if lines else ""


def complaints(case: Case, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome; nothing of a result, or of a refusal in one line that leaves nothing behind."""
    lines = [line for line in outcome.err.splitlines() if line.strip() and not line.startswith(BESIDE)]
    refused = outcome.code == 2
    answers = (*ANSWERS.get(case.line[0], (0,)), 2)
    checks = {
        "runs on": outcome.code is None or outcome.seconds > MOST_SECONDS,
        "traceback": "Traceback (most recent" in outcome.err,
        "internal error": "internal error" in outcome.err,
        f"exit code {outcome.code}": outcome.code is not None and outcome.code not in answers,
        f"{len(lines)} lines of error": refused and len(lines) != 1,
        "control characters": bool(CONTROL & {*outcome.err, *outcome.out}),
        f"{outcome.peak_mb:.0f} MB": outcome.peak_mb > MOST_MB,
        f"left {', '.join(outcome.left[:3])}": refused and bool(outcome.left) and FULL not in case.line,
    }
    return [what for what, wrong in checks.items() if wrong]
