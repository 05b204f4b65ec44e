"""Trying allotments: quantized as quantize would, run in the exact simulator, and mended where the sum misjudged."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from stages.autotune.options import Target
from stages.autotune.problem import Problem
from stages.autotune.sensitivity import Ranges, Sensitivities, error_tables, ranges_of
from stages.autotune.solve import Allotment, Limit, Table, solve, value
from stages.core.config.schema import FLOAT_BITS
from stages.quantize.candidate import Candidate
from stages.quantize.pipeline import Pipeline
from stages.quantize.quantizers.setup import place_quantizers
from stages.quantize.simulation import Simulation

__all__ = ["Search", "Verified", "Verifier", "affordable", "allot", "cheapest"]

Classes = Mapping[tuple[str, int], float]

MISJUDGED = 1.3
"""Measured over predicted error from where on the prediction is mended. Other pictures alone make a tenth or two."""
ROUNDS = 3
"""Mendings at most."""
SLACKS = (0.05, 0.02, 0.01)
"""Shares of the least error that may go for a lower cost, so that bounds which leave a width free do not make it wide.
The first is the most that may really go; the prediction is no more precise than that, so smaller ones are tried too."""
CLOSE = 1.05
"""Ratio of error bounds at which the search for a target ends."""


@dataclass(frozen=True)
class Verified:
    """An allotment with the error that was predicted (by the sum of its parts) and the one that was measured."""

    allotment: Allotment
    predicted: float
    error: float


class Verifier:
    """Quantizes the network as allotted and measures its error; what was measured is remembered.

    Args:
        problem: the variables.
        pipeline: of the experiment; its node bits are replaced.
        ranges: gives ranges by width.
        simulation: the pictures.
    """

    def __init__(
        self, problem: Problem, pipeline: Pipeline, ranges: Callable[[], Ranges], simulation: Simulation
    ) -> None:
        self._problem, self._drafter, self._ranges, self._simulation = problem, pipeline, ranges, simulation
        self._known: dict[tuple[tuple[str, int], ...], float] = {}

    def candidate(self, allotment: Allotment) -> Candidate:
        """Choose all parameters at the allotted widths; weights are rounded to the nearest."""
        pipeline = replace(self._drafter, by_node=self._problem.node_bits(allotment))
        quant, network = pipeline.config.quant, pipeline.network
        setup = place_quantizers(network.graph, pipeline.config.soc, quant, pipeline.by_node)
        return pipeline.candidate(replace(network, ranges=ranges_of(self._ranges(), setup)), quant)

    def error(self, allotment: Allotment) -> float:
        """Measure the error of the outputs in the exact simulator."""
        key = tuple(allotment.items())
        if key not in self._known:
            self._known[key] = self._simulation.error(self.candidate(allotment))
        return self._known[key]

    def classes(self, allotment: Allotment) -> Classes:
        """Measure the error of each class of variables alone: the features, and the weights, of each width."""
        candidate, found = self.candidate(allotment), {}
        for kind, width in sorted({(entry.kind, allotment[entry.name]) for entry in self._problem.variables}):
            if width == FLOAT_BITS:
                continue
            chosen = [e for e in self._problem.variables if (e.kind, allotment[e.name]) == (kind, width)]
            features = {name for entry in chosen for name in entry.members}
            nodes = {entry.node for entry in chosen if entry.kind == "weight"}
            found[kind, width] = self._simulation.part_error(candidate, features, nodes)
        return found


def allot(
    problem: Problem,
    found: Sensitivities,
    limits: Sequence[Limit],
    cost: Sequence[Table],
    measure: Callable[[Allotment], float],
    classes: Callable[[Allotment], Classes],
    rivals: Sequence[Verified] = (),
) -> list[Verified]:
    """Find the allotment of least error within limits, and mend the prediction where it is wrong.

    Errors of few bits may be so large that they do not add up. Then the error of each class of variables (features or
    weights of a width) is measured alone, the sensitivities of the class are scaled to it, and bits are allotted anew.
    At the end cheaper ones are tried that are predicted to err little more, until one measures so: see `affordable`.

    Args:
        problem: the variables.
        found: their errors, each alone.
        limits: what may be spent.
        cost: what is spared where it brings little.
        measure: the true error of an allotment.
        classes: the true errors of its classes, each alone.
        rivals: what was measured before, and must not be better.

    Returns:
        All that was tried, in order. Empty if nothing is within the limits.
    """
    plain, bit_widths = error_tables(found, problem, {}), problem.bit_widths
    factors: dict[tuple[str, int], float] = {}
    tried: list[Verified] = []
    used: list[list[Table]] = []

    def attempt(allotment: Allotment, tables: list[Table]) -> None:
        tried.append(Verified(allotment, value(plain, bit_widths, allotment), measure(allotment)))
        used.append(tables)

    for _ in range(ROUNDS + 1):
        tables = error_tables(found, problem, factors)
        allotment = _precise(problem, tables, limits, cost, 0.0)
        if allotment is None or allotment in [entry.allotment for entry in tried]:
            break
        attempt(allotment, tables)
        if tried[-1].error <= MISJUDGED * value(tables, bit_widths, allotment):
            break
        for key, actual in classes(allotment).items():
            alone = sum(found[e.name][key[1]] for e in problem.variables if (e.kind, allotment[e.name]) == key)
            if alone > 0.0 and actual > 0.0:
                factors[key] = actual / alone
    if not tried:
        return []
    best = used[min(range(len(tried)), key=lambda place: tried[place].error)]
    for slack in SLACKS:
        allotment = _precise(problem, best, limits, cost, slack)
        if allotment is None or allotment in [entry.allotment for entry in tried]:
            continue
        attempt(allotment, best)
        if tried[-1] in affordable([*tried, *rivals], rivals):
            break
    return tried


def affordable(entries: Sequence[Verified], rivals: Sequence[Verified]) -> list[Verified]:
    """Those whose measured error is within the slack of the least, and no more than any rival's."""
    least = min(entry.error for entry in entries)
    most = min([least * (1.0 + SLACKS[0]), *(entry.error for entry in rivals)])
    return [entry for entry in entries if entry.error <= most]


@dataclass(frozen=True)
class Search:
    """A step of the search for a target.

    Attributes:
        allotment: what was tried.
        predicted: its error by the sum of its parts.
        cost: what is to be least.
        found: the metric's value.
        met: whether that keeps the target.
    """

    allotment: Allotment
    predicted: float
    cost: float
    found: float
    met: bool


def cheapest(
    problem: Problem,
    found: Sensitivities,
    cost: Sequence[Table],
    limits: Sequence[Limit],
    spared: Sequence[Table],
    target: Target,
    measure: Callable[[Allotment], float],
) -> list[Search]:
    """Find the allotment of least cost that keeps a target, by bisection on the bound of the predicted error.

    The prediction only orders the allotments; what counts is what each measures.

    Args:
        problem: the variables.
        found: their errors, each alone.
        cost: what is to be least.
        limits: what else is bounded.
        spared: what is spared beside where it brings little.
        target: what is to be kept.
        measure: the metric's true value of an allotment.

    Returns:
        All that was tried. First come the most precise within the limits, and what is predicted to be nearly so: if all
        these miss the target, nothing else is tried. Empty if nothing is within the limits.
    """
    errors, bit_widths = error_tables(found, problem, {}), problem.bit_widths
    steps: list[Search] = []

    def attempt(allotment: Allotment) -> bool:
        known = next((step for step in steps if step.allotment == allotment), None)
        if known is None:
            measured = measure(allotment)
            costs = value(errors, bit_widths, allotment), value(cost, bit_widths, allotment)
            known = Search(allotment, *costs, measured, target.met(measured))
            steps.append(known)
        return known.met

    def least(more: Sequence[Limit]) -> dict[str, int] | None:
        """The least cost, and of those allotments that have it the most precise."""
        bounds = [*limits, *more]
        allotment = solve(bit_widths, cost, bounds)
        if allotment is None:
            return None
        bounds.append(Limit(cost, value(cost, bit_widths, allotment)))
        return _precise(problem, errors, bounds, spared, SLACKS[0]) or allotment

    fine = (_precise(problem, errors, limits, spared, slack) for slack in (0.0, *reversed(SLACKS)))
    if not any(attempt(allotment) for allotment in fine if allotment is not None):
        return steps
    reached, coarsest = steps[-1].predicted, least([])
    if coarsest is None or attempt(coarsest):
        return steps
    low = max(reached, steps[-1].predicted * 1e-9)
    high, guess = steps[-1].predicted, _guess(target)
    while high / low > CLOSE:
        middle = guess if low < guess < high else math.sqrt(low * high)
        allotment = least([Limit(errors, middle)])
        if allotment is not None and attempt(allotment):
            low = middle
        elif allotment is not None:
            high = middle
        else:  # the solver's tolerance at the very end
            break
        guess = 0.0
    return steps


def _precise(
    problem: Problem, errors: Sequence[Table], limits: Sequence[Limit], cost: Sequence[Table], slack: float
) -> dict[str, int] | None:
    """The allotment of least cost among those within the limits whose errors are within `slack` of the least."""
    allotment = solve(problem.bit_widths, errors, limits)
    if allotment is None:
        return None
    most = value(errors, problem.bit_widths, allotment) * (1.0 + slack)
    return solve(problem.bit_widths, cost, [*limits, Limit(errors, most)]) or allotment


def _guess(target: Target) -> float:
    """An error that may go with a target: of unit vectors the squared distance is 2 (1 - cosine)."""
    return {"error": target.bound, "cosine": 2.0 * (1.0 - target.bound)}.get(target.metric, 0.0)
