"""How much memory there is, so that a stage says what it needs before it allocates it."""

import os
from pathlib import Path

from stages.core.base.errors import UserError

__all__ = ["MOST_BESIDE", "check_available", "machine_bytes"]

MOST_BESIDE = 2**30
"""Bytes of a sample's tensors above which nothing runs beside them: the next sample waits until they are let go."""
MEMINFO, CONTROL_GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def machine_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_available(needed: int, what: str) -> None:
    """Refuse work that this machine has no memory left for.

    Args:
        needed: bytes, told from shapes.
        what: needs them, as the message begins.

    Raises:
        UserError: with both figures.
    """
    free = _free_bytes()
    if needed > free:
        raise UserError(
            f"{what} needs {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB of memory are free here: end other "
            "programs, or give a smaller shape in model.inputs"
        )


def _free_bytes() -> int:
    """What can be allocated without swapping, by the system and by the container; all there is where neither says."""
    free = machine_bytes()
    try:
        lines = MEMINFO.read_text(encoding="utf-8").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        limit, used = ((CONTROL_GROUP / f"memory.{name}").read_text(encoding="utf-8") for name in ("max", "current"))
        free = min(free, int(limit) - int(used))
    except (OSError, StopIteration, ValueError):  # no Linux, no container, or "max": no limit
        pass
    return free
