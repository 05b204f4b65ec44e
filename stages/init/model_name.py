"""The name of a model: as the user gives it, or of its file."""

import re
from pathlib import Path

from stages.core.base.errors import UserError

__all__ = ["check_free", "model_name"]

NAME_PATTERN = r"\w[\w.+-]*"


def model_name(given: str | None, stem: str) -> str:
    """Give the model's name.

    Args:
        given: by the user, or None.
        stem: of the network's file.

    Raises:
        UserError: for characters that no name can have.
    """
    if given is None:
        return re.sub(r"[^A-Za-z0-9_.+-]", "_", stem).lstrip(".+-") or "model"
    if not re.fullmatch(NAME_PATTERN, given, re.ASCII):
        raise UserError(f"--name {given}: give letters, digits and . _ + -")
    return given


def check_free(path: Path, force: bool) -> None:
    """Refuse to replace a file of conf/.

    Raises:
        UserError: if it is there and may not be replaced.
    """
    if path.exists() and not force:
        raise UserError(f"{path} is there: --force replaces it, --name gives another name")
