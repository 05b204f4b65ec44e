"""PyTorch itself, which is an extra."""

import importlib
import os
from typing import Any

from stages.core.base.errors import UserError, one_line

__all__ = ["brief", "import_torch"]

LONGEST_REASON = 200
"""Characters of a message of PyTorch's that are shown; some go on for pages."""


def import_torch() -> Any:
    """Give the package.

    Raises:
        UserError: if it is not installed.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # old files call for warnings of what will go some day
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise UserError('PyTorch is not installed: pip install -e ".[torch]"') from error


def brief(error: BaseException) -> str:
    """Say in one line what an exception says first; of a traceback in its text, the last line."""
    lines = str(error).strip().splitlines()
    text = lines[-1] if any("Traceback" in line for line in lines) else one_line(error)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON].rsplit(' ', 1)[0]} ..."
