"""The first line of params.yaml: a comment with the overrides that it was composed with."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.texts import read_text

__all__ = ["COMPOSED_WITH", "first_line", "joined", "recorded"]

COMPOSED_WITH = "# python -m stages.compose"
"""How the line begins: the overrides follow."""


def first_line(overrides: Sequence[str]) -> str:
    """The first line of params.yaml: a comment, the command that composes it.

    Raises:
        UserError: for an override of several lines.
    """
    for override in overrides:
        if len(override.splitlines()) > 1:
            raise UserError(f"override {override!r}: give it in one line")
    return " ".join([COMPOSED_WITH, *map(shlex.quote, overrides)])


def recorded(params: Path) -> list[str]:
    """The overrides in the first line of params.yaml.

    Raises:
        UserError: if the file is missing or has no such line.
    """
    try:
        first = read_text(params, errors="replace").partition("\n")[0]
    except FileNotFoundError:
        raise UserError(f"{params} is missing: compose it first, without --keep") from None
    command, overrides = first[: len(COMPOSED_WITH)], first[len(COMPOSED_WITH) :]
    try:
        if command == COMPOSED_WITH and overrides[:1] in ("", " "):
            return shlex.split(overrides)
    except ValueError:  # a quote that does not end
        pass
    raise UserError(
        f"{params}: its first line is not `{COMPOSED_WITH} ...`, so --keep cannot tell what it was composed with "
        "(`dvc exp run` writes no such line): compose once with all overrides"
    )


def joined(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """Overrides of two calls in order, those of the earlier one left out that the later one gives anew."""
    again = {override.partition("=")[0] for override in later}
    return [override for override in earlier if override.partition("=")[0] not in again] + list(later)
