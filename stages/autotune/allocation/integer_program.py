"""Bit allocation as an exact integer program.

A variable takes one of several bit widths. What is minimized and what is bounded are sums of tables, each over the bit
widths of one variable, or of several where a cost couples them (a layer's multiplications cost by the bit widths of its
input and of its weight). Coupled tables are linearized by an unknown a combination; its sums along each axis are the
bit widths chosen. With the bit widths whole these follow by themselves, so that only the bit widths have to be branched
on.
"""

import ctypes
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

__all__ = ["RELATIVE_GAP", "BitAllocation", "BitWidths", "Limit", "Table", "solve", "tabulate", "total"]

BitWidths = Mapping[str, Sequence[int]]
"""Variable -> the bit widths that it may take, narrowest first."""
BitAllocation = Mapping[str, int]
"""Variable -> its bit width."""

RELATIVE_GAP = 1e-6
"""How far from the best an allocation may be, and how far beyond its bound a cost, relatively: HiGHS's tolerance."""
MAX_BRANCHES = 100_000
"""Branches of the search, far more than networks took: then the best that was found is taken."""
RELATIVE_ZERO = 1e-12
"""What counts as zero beside a table's largest value."""


@dataclass(frozen=True)
class Table:
    """One summand of a cost.

    Attributes:
        variables: those that it depends on; none for a constant.
        values: float64, one axis a variable, one value a bit width.
    """

    variables: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """A bound: the sum of the tables is at most `most`."""

    tables: Sequence[Table]
    most: float


def tabulate(variables: Iterable[str], bit_widths: BitWidths, cost: Callable[[BitAllocation], float]) -> Table:
    """Tabulate a cost over all combinations of some variables' bit widths; a variable named twice has one axis."""
    names = tuple(dict.fromkeys(variables))
    shape = [len(bit_widths[name]) for name in names]
    combinations = itertools.product(*(bit_widths[name] for name in names))
    costs = [cost(dict(zip(names, chosen, strict=True))) for chosen in combinations]
    return Table(names, np.array(costs, dtype=np.float64).reshape(shape))


def total(tables: Iterable[Table], bit_widths: BitWidths, allocation: BitAllocation) -> float:
    """Sum tables up for an allocation."""
    return sum(
        float(table.values[tuple(bit_widths[name].index(allocation[name]) for name in table.variables)])
        for table in tables
    )


def solve(bit_widths: BitWidths, objective: Sequence[Table], limits: Sequence[Limit]) -> dict[str, int] | None:
    """Find the allocation of least objective within all limits.

    Solver: HiGHS (Q. Huangfu, J. A. J. Hall, Mathematical Programming Computation 10, 2018), through SciPy. Its
    random choices are seeded and its work is bounded by branches, not by time: the same problem gives the same
    allocation.

    Args:
        bit_widths: the variables.
        objective: what is minimized.
        limits: what is bounded; a bound may be missed by `RELATIVE_GAP` of itself.

    Returns:
        Variable -> bit width; None if no allocation is within the limits.
    """
    if not bit_widths:
        return {} if all(total(limit.tables, bit_widths, {}) <= limit.most for limit in limits) else None
    program = _Program(bit_widths, [objective, *(limit.tables for limit in limits)])
    costs = program.costs[0]
    rows: list[LinearConstraint] = []
    for limit, coefficients in zip(limits, program.costs[1:], strict=True):
        bound = limit.most - program.constants[len(rows) + 1]
        scale = max(abs(bound), float(np.abs(coefficients).max()) * RELATIVE_GAP) or 1.0
        rows.append(LinearConstraint(coefficients[np.newaxis] / scale, -np.inf, bound / scale))
    constraints = [program.choices, *rows]
    # HiGHS stops at an absolute gap too: objectives are brought to about 1, which their relaxation tells
    highest = float(np.abs(costs).max()) or 1.0
    relaxed = _relaxed(costs / highest, constraints)
    if relaxed is None:
        return None
    scaled = costs / highest / max(relaxed, RELATIVE_GAP)
    whole = np.arange(program.size) < program.whole
    with _quiet_solver():
        solution = milp(
            scaled,
            constraints=constraints,
            integrality=whole,
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": RELATIVE_GAP, "node_limit": MAX_BRANCHES},
        )
    return program.allocation(solution.x) if solution.x is not None else None


def _relaxed(costs: NDArray[np.float64], constraints: Sequence[LinearConstraint]) -> float | None:
    """The least cost with bit widths that need not be whole; None if there is none."""
    with _quiet_solver():
        solution = milp(costs, constraints=constraints, bounds=Bounds(0, 1))
    return abs(float(solution.fun)) if solution.x is not None else None


@contextmanager
def _quiet_solver() -> Iterator[None]:
    """Hold back what HiGHS leaves behind on file descriptor 1 (lines for its developers, whatever it is told)."""
    flush = ctypes.CDLL(None).fflush  # its lines wait in C's own buffer
    sys.stdout.flush()
    flush(None)
    with tempfile.TemporaryFile() as sink:
        kept = os.dup(1)
        try:
            os.dup2(sink.fileno(), 1)
            yield
        finally:
            flush(None)
            os.dup2(kept, 1)
            os.close(kept)


class _Program:
    """Numbers the unknowns: a one-hot block a variable, then a block of combinations for each set that a table couples.

    Attributes:
        costs: coefficients of each sum of tables.
        constants: of each sum.
        choices: one bit width a variable, and combinations that agree with them.
        whole: number of unknowns that are whole: the first ones, a bit width of a variable each.
        size: number of all unknowns.
    """

    def __init__(self, bit_widths: BitWidths, sums: Sequence[Sequence[Table]]) -> None:
        self._bit_widths = bit_widths
        self._starts = dict(zip(bit_widths, np.cumsum([0, *map(len, bit_widths.values())])[:-1].tolist(), strict=True))
        self.whole = sum(map(len, bit_widths.values()))
        merged = [_merged(tables) for tables in sums]
        coupled = dict.fromkeys(key for each in merged for key in each if len(key) > 1)
        self._blocks: dict[tuple[str, ...], int] = {}
        self.size = self.whole
        for key in coupled:
            self._blocks[key] = self.size
            self.size += int(np.prod([len(bit_widths[name]) for name in key]))
        self.constants = [float(each[()]) if () in each else 0.0 for each in merged]
        self.costs = [self._coefficients(each) for each in merged]
        self.choices = self._choices()

    def _coefficients(self, tables: Mapping[tuple[str, ...], NDArray[np.float64]]) -> NDArray[np.float64]:
        costs = np.zeros(self.size)
        for key, values in tables.items():
            if key:
                start = self._blocks[key] if len(key) > 1 else self._starts[key[0]]
                costs[start : start + values.size] += values.reshape(-1)
        return costs

    def _choices(self) -> LinearConstraint:
        rows: list[int] = []
        columns: list[int] = []
        coefficients: list[float] = []
        sides: list[float] = []

        def add(row: Mapping[int, float], side: float) -> None:
            rows.extend([len(sides)] * len(row))
            columns.extend(row)
            coefficients.extend(row.values())
            sides.append(side)

        for name, start in self._starts.items():
            add({start + index: 1.0 for index in range(len(self._bit_widths[name]))}, 1.0)
        for key, start in self._blocks.items():
            shape = [len(self._bit_widths[name]) for name in key]
            block = np.arange(int(np.prod(shape))).reshape(shape) + start
            for axis, name in enumerate(key):
                for index in range(shape[axis]):
                    combined = {int(one): 1.0 for one in block.take(index, axis).reshape(-1)}
                    add(combined | {self._starts[name] + index: -1.0}, 0.0)
        matrix = coo_array((coefficients, (rows, columns)), shape=(len(sides), self.size)).tocsr()
        return LinearConstraint(matrix, sides, sides)

    def allocation(self, unknowns: NDArray[np.float64]) -> dict[str, int]:
        return {
            name: choices[int(unknowns[start : start + len(choices)].argmax())]
            for (name, choices), start in zip(self._bit_widths.items(), self._starts.values(), strict=True)
        }


def _merged(tables: Iterable[Table]) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """Add up tables of the same variables, each split into what couples fewest variables."""
    merged: dict[tuple[str, ...], NDArray[np.float64]] = {}
    for table in tables:
        for part in _split(table):
            order = sorted(range(len(part.variables)), key=lambda axis: part.variables[axis])
            key, values = tuple(part.variables[axis] for axis in order), part.values.transpose(order)
            merged[key] = merged[key] + values if key in merged else values
    return merged


def _split(table: Table) -> list[Table]:
    """Write a table as a constant, a table for each variable, and one of those that it really couples."""
    values, rank = table.values, table.values.ndim
    corner = (0,) * rank
    constant = values[corner]
    parts, rest = [Table((), np.asarray(constant))], values - constant
    for axis, name in enumerate(table.variables):
        line = values[tuple(slice(None) if other == axis else 0 for other in range(rank))] - constant
        parts.append(Table((name,), line))
        rest = rest - line.reshape([-1 if other == axis else 1 for other in range(rank)])
    near_zero = RELATIVE_ZERO * float(np.abs(values).max(initial=0.0))
    coupled = [axis for axis in range(rank) if np.abs(rest - rest.take([0], axis)).max(initial=0.0) > near_zero]
    if coupled:
        kept = rest[tuple(slice(None) if axis in coupled else 0 for axis in range(rank))]
        parts.append(Table(tuple(table.variables[axis] for axis in coupled), kept))
    return parts
