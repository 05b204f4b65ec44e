"""Which channels of the last convolutions can hold which values: by their numbers alone."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, permutations

from stages.core.heads.head import Kind, Level, View
from stages.core.heads.tail import Grid, Tail

__all__ = ["Counts", "apart", "joined", "prototype_counts"]

Counts = Mapping[Kind, int | None]
"""Values an anchor of each kind; None: any number, the same on every level."""
MOST_TENSORS = 4
"""Convolutions that a level's kinds may be apart in: boxes, objectness, classes, key points."""


def apart(grids: Sequence[Grid], counts: Counts, anchors: int | None) -> Iterator[tuple[Level, ...]]:
    """Give every way in which each kind has a tensor of its own on each level.

    Args:
        grids: the last convolutions; grids that cannot be a level, such as mask prototypes', are left out.
        counts: values an anchor.
        anchors: of a cell; None: as many as the boxes' channels say, which may differ between levels.
    """
    choices = [choice for grid in grids if (choice := _choices(grid, counts, anchors))]
    common = [numbers for numbers in choices[0] if all(numbers in choice for choice in choices)] if choices else []
    for numbers in common:
        for i in range(max(len(choice[numbers]) for choice in choices)):
            levels = tuple(choice[numbers][min(i, len(choice[numbers]) - 1)] for choice in choices)
            if _doubling(levels):
                yield levels


def joined(grids: Sequence[Grid], counts: Counts, anchors: int) -> Iterator[tuple[Level, ...]]:
    """Give the way in which one tensor a level holds all kinds, in the order of `counts`, if the numbers allow it.

    Args:
        grids: the last convolutions.
        counts: values an anchor; one of them may be None.
        anchors: of a cell, whose values follow each other.
    """
    levels, widths = [], set()
    for grid in grids:
        if len(grid.channels) > 1:
            continue
        ((tensor, channels),) = grid.channels.items()
        width, rest = divmod(channels, anchors)
        free = width - sum(count for count in counts.values() if count)
        if rest or (None in counts.values() and free < 1) or (None not in counts.values() and free):
            continue
        views, first = {}, 0
        for kind, count in counts.items():
            views[kind] = View(tensor, first, count or free, width)
            first += count or free
        widths.add(width)
        levels.append(_level(grid, views, anchors))
    if len(widths) == 1 and _doubling(levels):
        yield tuple(levels)


def prototype_counts(tail: Tail) -> set[int]:
    """How many mask prototypes the network may return: channels of an output that is finer than some level."""
    shapes = [tail.values[output].shape for output in tail.outputs if output in tail.values]
    return {shape[1] for shape in shapes if len(shape) == 4 and shape[2] > tail.grids[-1].rows and shape[1] > 1}


def _choices(grid: Grid, counts: Counts, anchors: int | None) -> dict[tuple[int, ...], list[Level]]:
    """Values an anchor of each kind -> the levels that have them, in the order of the graph."""
    choices: dict[tuple[int, ...], list[Level]] = {}
    if len(grid.channels) != len(counts) or len(counts) > MOST_TENSORS:
        return choices
    for tensors in permutations(grid.channels):
        channels = dict(zip(counts, (grid.channels[tensor] for tensor in tensors), strict=True))
        of_cell = anchors or channels[Kind.boxes] // (counts[Kind.boxes] or 1)
        if not of_cell or any(number % of_cell for number in channels.values()):
            continue
        numbers = tuple(number // of_cell for number in channels.values())
        if all(count in (None, number) for count, number in zip(counts.values(), numbers, strict=True)):
            views = {
                kind: View(tensor, 0, number, number)
                for kind, tensor, number in zip(counts, tensors, numbers, strict=True)
            }
            choices.setdefault(numbers, []).append(_level(grid, views, of_cell))
    return choices


def _level(grid: Grid, views: dict[Kind, View], anchors: int) -> Level:
    return Level(grid.stride, grid.rows, grid.columns, views, ((grid.stride, grid.stride),) * anchors)


def _doubling(levels: Sequence[Level]) -> bool:
    """Whether each level's stride is twice that of the one before."""
    return bool(levels) and all(b.stride == 2 * a.stride for a, b in pairwise(levels))
