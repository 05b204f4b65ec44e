"""Reading the memory report that a board program built with `build_type=nmem` leaves in /tmp/nmem_memory.txt.

Form, from the vendor's samples: `nmem total = 15480K`, `nmem used peak  = 15157K`, `nmem current used  = 10652K`,
`nmem free  = 4828K`, `#### peak %97.91 ####`. The file is rewritten in place and not cut: what a longer report left
behind the last line is passed over.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from stages.core.base.errors import UserError, one_line
from stages.core.base.texts import read_text

__all__ = ["NmemReport", "parse_nmem", "read_nmem"]

LINE_LABELS = {"total": "nmem total", "peak": "nmem used peak", "used": "nmem current used", "free": "nmem free"}


@dataclass(frozen=True)
class NmemReport:
    """A report; all in KB of 1024 bytes.

    Attributes:
        total: set aside for the NPU.
        peak: used at most.
        used: used when it was written.
        free: the rest.
    """

    total: int
    peak: int
    used: int
    free: int


def read_nmem(path: Path) -> NmemReport:
    """Read a report.

    Raises:
        UserError: if the file cannot be read or is no report.
    """
    try:
        return parse_nmem(read_text(path, errors="replace"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error


def parse_nmem(text: str, name: str) -> NmemReport:
    """Find the four sizes; of each the first that the file has: further ones are older.

    Args:
        text: the report.
        name: the file's, for errors.

    Raises:
        UserError: if one is missing, or they contradict each other.
    """
    sizes = {}
    for key, label in LINE_LABELS.items():
        words = r"[ \t]+".join(label.split())
        match = re.search(rf"^[ \t]*{words}\s*=\s*(\d{{1,15}})\s*K\b", text, re.MULTILINE)
        if match is None:
            raise UserError(
                f"{name} is no nmem report: expected a line `{label} = ...K`. A board program built with "
                "build_type=nmem writes it to /tmp/nmem_memory.txt"
            )
        sizes[key] = int(match[1])
    report = NmemReport(**sizes)
    if report.peak > report.total or report.used > report.peak:
        raise UserError(
            f"{name}: {report.used}K used of a peak of {report.peak}K of {report.total}K contradict each other: copy "
            "the file after the program has ended"
        )
    return report
