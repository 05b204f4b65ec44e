"""Measures of networks that read."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.strangers.stranger import Measured

__all__ = ["character_errors", "edits"]


def character_errors(axis: int, blank: int = 0) -> Callable[[Measured], float]:
    """Edits from the float network's text to the quantized one's, a character of the float network's.

    The text is the best class of each step, repeated ones once, blanks left out (connectionist temporal
    classification).

    Args:
        axis: of the classes in the output; steps are along the one other axis that is longer than 1.
        blank: the class that stands for none.
    """

    def measure(measured: Measured) -> float:
        texts = [[_text(value.argmax(axis).reshape(-1), blank) for value in pair] for pair in measured.pairs()]
        length = sum(len(expected) for expected, _ in texts)
        return sum(edits(*pair) for pair in texts) / max(length, 1)

    return measure


def _text(steps: Sequence[int], blank: int) -> list[int]:
    steps = list(steps)
    return [step for before, step in zip([blank, *steps], steps, strict=False) if step not in (before, blank)]


def edits(expected: Sequence[int], actual: Sequence[int]) -> int:
    """The least number of characters to insert, to remove or to exchange."""
    row = list(range(len(actual) + 1))
    for number, character in enumerate(expected, 1):
        before, row = row, [number]
        for column, other in enumerate(actual, 1):
            row.append(min(row[-1] + 1, before[column] + 1, before[column - 1] + int(character != other)))
    return int(np.asarray(row)[-1])
