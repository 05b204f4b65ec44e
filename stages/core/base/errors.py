"""The one error that speaks to the user."""

import difflib
from collections.abc import Iterable

__all__ = ["DamagedError", "UserError", "did_you_mean", "one_line"]


SIMILARITY_MARGIN = 0.15
"""A name is suggested beside the closest one if its `SequenceMatcher.ratio` is less by less than this."""


class UserError(Exception):
    """A mistake of the user: one line that says what is wrong, where, and what to do. Exit code 2."""

    def __str__(self) -> str:
        """The message in one line, whatever the names in it hold."""
        return " ".join(super().__str__().splitlines())


class DamagedError(UserError):
    """An artifact is not what its stage wrote: never to be taken for one that is missing or of other settings."""


def one_line(error: BaseException) -> str:
    """Fold an exception's text into one line."""
    return " ".join(str(error).split()) or type(error).__name__


def did_you_mean(name: str, known: Iterable[str], limit: int = 8) -> str:
    """Suggest names: the closest ones if any is close, else the first few.

    Args:
        name: what the user wrote.
        known: the names that exist.
        limit: how many to list when none is close.

    Returns:
        A clause such as ``did you mean 'images'?`` or ``known: 'a', 'b'``.
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    ratios = [difflib.SequenceMatcher(None, candidate, name).ratio() for candidate in close]
    close = [candidate for candidate, ratio in zip(close, ratios, strict=True) if ratio > ratios[0] - SIMILARITY_MARGIN]
    if close:
        return f"did you mean {' or '.join(repr(candidate) for candidate in close)}?"
    listed = ", ".join(repr(candidate) for candidate in names[:limit])
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"known: {listed}{more}" if names else "there is none"
