"""The name of a model: as the user gives it, or of its file."""

import re
from pathlib import Path

import yaml

from stages.core.base.errors import UserError

__all__ = ["check_free", "free_name", "model_name"]

INIT = "python -m stages.init"
NAME_PATTERN = r"\w[\w.+-]*"
OTHER_VALUES = r"[\d_]*\d[\d_]*\.?\d*(e[+-]?\d+)?|nan|inf"
"""What Hydra reads as numbers beside what YAML does."""


def model_name(given: str | None, stem: str) -> str:
    """Give the model's name.

    Args:
        given: by the user, or None.
        stem: of the network's file.

    Raises:
        UserError: for characters that no name can have.
    """
    if given is None:
        name = re.sub(r"[^A-Za-z0-9_.+-]", "_", stem).lstrip(".+-") or "model"
        return f"model_{name}" if _is_value(name) else name
    if _is_value(given):
        raise UserError(f"--name {given}: a config would read it as a number, yes or no, or nothing: add a letter")
    if not re.fullmatch(NAME_PATTERN, given, re.ASCII):
        raise UserError(f"--name {given}: give letters a to z, digits and . _ + -")
    return given


def free_name(name: str, conf: Path) -> str:
    """Give the name of a network's file, or another one where conf/model/ has a file of it that init did not write.

    Args:
        name: from the file.
        conf: the config folder.

    Returns:
        The name; with `my_` before it where a model of the project has it.
    """
    path = conf / "model" / f"{name}.yaml"
    return f"my_{name}" if path.exists() and not _written_by_init(path) else name


def _written_by_init(path: Path) -> bool:
    """Whether the comment that the file begins with says so; it may go over several lines."""
    comment = re.match(r"(#.*\n)*", path.read_text(encoding="utf-8", errors="replace"))
    return comment is not None and INIT in " ".join(comment[0].replace("#", " ").split())


def _is_value(name: str) -> bool:
    """Whether YAML or Hydra read a name as something else than text, as 640 or true."""
    try:
        return not isinstance(yaml.safe_load(name or "_"), str) or re.fullmatch(OTHER_VALUES, name, re.I) is not None
    except yaml.YAMLError:
        return False


def check_free(path: Path, force: bool) -> None:
    """Refuse to replace a file of conf/.

    Raises:
        UserError: if it is there and may not be replaced.
    """
    if path.exists() and not force:
        raise UserError(f"{path} is there: --force replaces it, --name gives another name")
