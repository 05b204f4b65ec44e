"""One guess: what, why, and how sure."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Guess", "Sure"]


class Sure(StrEnum):
    """How sure a guess is."""

    high = "high"  # the file says it, labels say it, or two kinds of evidence agree
    medium = "medium"  # one kind of evidence
    low = "low"  # the usual value; nothing speaks for it, or little


@dataclass(frozen=True)
class Guess:
    """A guess.

    Attributes:
        key: what is guessed, in the words of the config.
        value: as people read it.
        evidence: why, in a clause.
        sure: how much it can be relied on.
    """

    key: str
    value: str
    evidence: str
    sure: Sure
