"""The versions that a board program prints: the runtime's must not be older than the model's.

Form, from the vendor's samples: `INFO(magik): venus version:0.9.6.2.ALPHA(00000906_aa6e9e7) built:...(7.2.0 r5.1.3
glibc2.29 mips@NNA1)` and `INFO(magik): model version:0.9.6.NNA1_aa6e9e7`. A newer runtime runs an older model.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from stages.core.base import texts
from stages.core.base.errors import UserError, one_line

__all__ = ["Versions", "check_versions", "find_logs", "parse_versions", "read_text"]

RUNTIME_VERSION = re.compile(r"venus\s+version:\s*(\d{1,9}(?:\.\d{1,9})*)([^\s(]*)", re.IGNORECASE)
MODEL_VERSION = re.compile(r"model\s+version:\s*(\d{1,9}(?:\.\d{1,9})*)(\.?NNA(\d))?([^\s(]*)", re.IGNORECASE)
UNIT_NUMBER = re.compile(r"mips@NNA(\d)", re.IGNORECASE)
MAX_LOG_BYTES = 16 << 20


@dataclass(frozen=True)
class Versions:
    """What a log says.

    Attributes:
        runtime, model: the versions as printed; empty: not said.
        runtime_unit, model_unit: number of the NNA each is for; None: not said.
    """

    runtime: str = ""
    model: str = ""
    runtime_unit: int | None = None
    model_unit: int | None = None


def parse_versions(text: str) -> Versions:
    """Find the last run's version lines in a log."""
    runtime, model, unit = ([*pattern.finditer(text)] for pattern in (RUNTIME_VERSION, MODEL_VERSION, UNIT_NUMBER))
    return Versions(
        runtime[-1][1] + runtime[-1][2] if runtime else "",
        model[-1][0].partition(":")[2].strip() if model else "",
        int(unit[-1][1]) if unit else None,
        int(model[-1][3]) if model and model[-1][3] else None,
    )


def check_versions(versions: Versions, log: Path) -> None:
    """Refuse a runtime that cannot run the model.

    Raises:
        UserError: if the runtime is older than the model, or for another unit.
    """
    if not versions.runtime or not versions.model:
        return
    runtime, model = (_numbers(text) for text in (versions.runtime, versions.model))
    shared = min(len(runtime), len(model))
    if runtime[:shared] < model[:shared]:
        raise UserError(
            f"{log}: the board's runtime {versions.runtime} is older than the model, {versions.model}, and cannot run "
            "it: copy a newer libvenus (all its .so files) to the board, or convert with the toolkit of that runtime"
        )
    if None not in (versions.runtime_unit, versions.model_unit) and versions.runtime_unit != versions.model_unit:
        raise UserError(
            f"{log}: the runtime is for NNA{versions.runtime_unit}, the model for NNA{versions.model_unit}: convert "
            "for the board's SOC (NNA1: T40, X2500; NNA2: T41, A1)"
        )


def find_logs(folder: Path) -> list[Path]:
    """Text files of a folder that hold a runtime's version line."""
    candidates = (path for path in sorted(folder.iterdir()) if path.suffix in (".log", ".txt") and path.is_file())
    return [
        path for path in candidates if path.stat().st_size <= MAX_LOG_BYTES and RUNTIME_VERSION.search(read_text(path))
    ]


def read_text(path: Path) -> str:
    """A log's text, whatever bytes are in it.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return texts.read_text(path, errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error


def _numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"\d{1,9}(?:\.\d{1,9})*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
