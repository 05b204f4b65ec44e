"""One experiment being tuned: what is read once, what was measured before, and the work on it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.autotune.memory import Memory, memory_key
from stages.autotune.options import COSTS, Budget, MeanBits, Target, plain
from stages.autotune.pareto import uniform_widths
from stages.autotune.problem import FEATURE_BITS, WEIGHT_BITS, file_content, find_problem, from_content
from stages.autotune.sensitivity import Ranges, Sensitivities, error_tables, ranges_by_width, sensitivities
from stages.autotune.solve import GAP, Allotment, Limit, solve, value
from stages.autotune.verify import MISJUDGED, Search, Verified, Verifier, affordable, allot, cheapest
from stages.core.base.artifacts import read_json
from stages.core.base.console import warn
from stages.core.base.errors import UserError
from stages.core.base.paths import AUTOTUNE, CALIBSET, STATISTICS
from stages.core.config.schema import FLOAT_BITS, Config
from stages.core.cost import cost_file, load_cost
from stages.core.data.inputs import feeds
from stages.core.data.sample_files import select
from stages.core.data.sample_store import SampleReader, correction_samples, validation_samples
from stages.quantize.pipeline import Pipeline, remove_leftovers
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.simulation import Simulation
from stages.trial import ACCURACY, Metric, as_judged, opened

__all__ = ["REPORT", "ROUNDING", "Bound", "Tuner", "Uniform"]

Feeds = dict[str, NDArray[np.float32]]
REPORT = AUTOTUNE / "autotune.json"
VERIFY = 16
"""Validation pictures at most."""
TUNED_ON, UNSEEN = slice(0, None, 2), slice(1, None, 2)
"""Which evaluation pictures an accuracy target is measured on, and which tell afterwards what it is worth."""
ROUNDING = 1e-9
"""What a difference of two shares may be off."""


@dataclass(frozen=True)
class Bound:
    """A limit and how to speak of it."""

    asked: str
    what: str
    limit: Limit


@dataclass(frozen=True)
class Uniform:
    """Uniform widths: their name ("features/weights"), what each variable gets, and the measured error."""

    name: str
    allotment: Allotment
    error: float


class Tuner:
    """Everything that is read once: network, pictures, variables, what was measured before."""

    def __init__(self, config: Config, cost: Path | None, allow_float: bool, pictures: int) -> None:
        quant, notes = as_judged(config.quant)
        self.config = config = replace(config, quant=quant)
        for line in notes:
            warn(line)
        pipeline = Pipeline.open(config, AUTOTUNE)
        self.inputs, network = pipeline.inputs, pipeline.equalized()
        given = _given_before(pipeline.by_node)
        costs = load_cost(cost or cost_file(config.soc.name))
        self.problem = find_problem(network.graph, config, given, costs, allow_float)
        if all(len(bit_widths) == 1 for bit_widths in self.problem.bit_widths.values()):
            settings = "quant.node_bits gives" if given else f"the {config.soc.name} and your settings leave"
            raise UserError(
                f"there is nothing to choose: {settings} each tensor one width"
                + ("" if given else "; --allow-float lets nodes stay in float")
            )
        AUTOTUNE.mkdir(parents=True, exist_ok=True)
        remove_leftovers(AUTOTUNE)
        self.pipeline = replace(pipeline, network=network, by_node=given)
        self.pictures = _evenly(correction_samples(CALIBSET), pictures)
        validation = _evenly(validation_samples(CALIBSET), VERIFY)
        simulation = Simulation(network.graph.model, lambda: self._feeds(validation), keep=True)
        self.verifier = Verifier(self.problem, self.pipeline, self.ranges, simulation)
        key = memory_key(self.problem, config, STATISTICS, self.pictures, validation)
        self.memory = Memory(AUTOTUNE / "measured", key)

    def _feeds(self, samples: SampleReader) -> Iterator[Feeds]:
        return (feeds(sample, self.inputs) for sample in samples)

    # --- what is asked for ---

    def usual_cost(self) -> str:
        """What is to be least, or spared, unless the user says."""
        return "latency" if self.problem.cost.timed else "bitops"

    def bounds(self, budgets: Sequence[Budget], mean_bits: MeanBits | None) -> list[Bound]:
        """The limits that the arguments ask for."""
        found = []
        for budget in budgets:
            tables = self.problem.tables(budget.kind)
            whole = value(tables, self.problem.bit_widths, self.problem.uniform(8, 8)) if budget.relative else 1.0
            suffix = "x" if budget.relative else ""
            shown = f"{budget.amount:g}" if budget.relative else plain(budget.amount)
            asked = f"--budget {budget.kind}={shown}{suffix}"
            found.append(Bound(asked, COSTS[budget.kind], Limit(tables, budget.amount * whole)))
        if mean_bits is not None:
            asked = f"--mean-bits {mean_bits.features:g}/{mean_bits.weights:g}"
            widest = max(max(bit_widths) for bit_widths in self.problem.bit_widths.values())
            if max(mean_bits.features, mean_bits.weights) > widest:
                raise UserError(f"{asked}: that bounds nothing, the widest that may be chosen are {widest} bits")
            for kind, most in ((FEATURE_BITS, mean_bits.features), (WEIGHT_BITS, mean_bits.weights)):
                found.append(Bound(asked, f"mean {kind}", Limit(self.problem.tables(kind), most)))
        return found

    def check(self, bounds: Sequence[Bound]) -> None:
        """Refuse bounds that no widths keep, with the least that some would."""
        bit_widths = self.problem.bit_widths
        for bound in bounds:
            cheapest_one = solve(bit_widths, bound.limit.tables, [])
            least = value(bound.limit.tables, bit_widths, cheapest_one or {})
            if least > bound.limit.most * (1 + GAP):
                raise UserError(
                    f"{bound.asked}: that is {plain(bound.limit.most)} {bound.what}; the least that this network can "
                    f"have on the {self.config.soc.name} is {plain(least)}"
                )
        if solve(bit_widths, [], [bound.limit for bound in bounds]) is None:
            listed = " and ".join(dict.fromkeys(bound.asked for bound in bounds))
            raise UserError(f"{listed}: each can be kept, but not all at once: loosen one")

    # --- work ---

    def ranges(self) -> Ranges:
        """Ranges by width: known from before, or chosen now."""
        if self.memory.ranges is None:
            self.memory.ranges = ranges_by_width(self.problem, self.pipeline)
            self.memory.save()
        return self.memory.ranges

    def sensitivities(self) -> Sensitivities:
        """What was measured before, or is measured now."""
        if self.memory.sensitivities is None:
            with self.pipeline.folder() as scratch:
                fed, ranges = self._feeds(self.pictures), self.ranges()
                self.memory.sensitivities = sensitivities(self.problem, self.pipeline, ranges, fed, scratch)
            self.memory.save()
        return self.memory.sensitivities

    def uniform(self) -> list[Uniform]:
        """Uniform widths to compare with, measured before or now."""
        allotments = {f"{f}/{w}": self.problem.uniform(f, w) for f, w in uniform_widths(self.problem)}
        missing = [name for name in allotments if name not in self.memory.errors]
        for name in missing:
            self.memory.errors[name] = self.verifier.error(allotments[name])
        if missing:
            self.memory.save()
        return [Uniform(name, allotment, self.memory.errors[name]) for name, allotment in allotments.items()]

    def spend(self, bounds: Sequence[Bound], kind: str, found: Sensitivities) -> tuple[Verified, list[Verified]]:
        """The allotment to take within the bounds, of those solved for and of uniform widths: see `affordable`."""
        limits, cost, bit_widths = [bound.limit for bound in bounds], self.problem.tables(kind), self.problem.bit_widths
        plain = error_tables(found, self.problem, {})
        rivals = [
            Verified(entry.allotment, value(plain, bit_widths, entry.allotment), entry.error)
            for entry in self.uniform()
            if self.within(entry.allotment, bounds)
        ]
        tried = allot(self.problem, found, limits, cost, self.verifier.error, self.verifier.classes, rivals)
        left = affordable([*tried, *rivals], rivals)
        return min(left, key=lambda entry: (value(cost, bit_widths, entry.allotment), entry.error)), tried

    def within(self, allotment: Allotment, bounds: Sequence[Bound]) -> bool | None:
        """Whether an allotment keeps the bounds; None if there are none."""
        if not bounds:
            return None
        return all(
            value(bound.limit.tables, self.problem.bit_widths, allotment) <= bound.limit.most * (1 + GAP)
            for bound in bounds
        )

    def reach(
        self, target: Target, kind: str, bounds: Sequence[Bound], found: Sensitivities
    ) -> tuple[Verified, list[Search], Target]:
        """The cheapest allotment that keeps the target, the steps of the search, and the bound as a number of its own.

        An accuracy is of every second picture of `data.evaluation`; the others stay unseen.

        Raises:
            UserError: if the most precise widths miss it.
        """
        if target.metric == "error":
            return self._search(target, self.verifier.error, kind, bounds, found)
        with self._opened(target.metric, TUNED_ON) as metric:
            if target.metric == ACCURACY and target.bound <= 0 and target.like is None:
                target = replace(target, bound=metric.of_float() + target.bound - ROUNDING)
            return self._search(target, lambda each: metric.of(self.verifier.candidate(each)), kind, bounds, found)

    def seen(self) -> int:
        """How many evaluation pictures an accuracy target is measured on."""
        return len(select(self.config.data.evaluation, self.inputs, "data.evaluation")[TUNED_ON])

    def unseen(self, allotment: Allotment) -> tuple[float, float]:
        """Top-1 of the float network, and of an allotment, on those evaluation pictures that no target is tuned on."""
        with self._opened(ACCURACY, UNSEEN) as metric:
            return metric.of_float(), metric.of(self.verifier.candidate(allotment))

    def _opened(self, metric: str, part: slice) -> AbstractContextManager[Metric]:
        part = part if metric == ACCURACY else slice(None)
        return opened(self.config, self.problem.graph.model, self.inputs, metric, part)

    def _search(
        self,
        target: Target,
        measure: Callable[[Allotment], float],
        kind: str,
        bounds: Sequence[Bound],
        found: Sensitivities,
    ) -> tuple[Verified, list[Search], Target]:
        if target.like is not None:
            target = replace(target, bound=measure(self.problem.uniform(*target.like)))
        limits = [bound.limit for bound in bounds]
        costs, spared = self.problem.tables(kind), self.problem.tables(self.usual_cost())
        steps = cheapest(self.problem, found, costs, limits, spared, target, measure)
        best = min((step for step in steps if step.met), key=lambda step: (step.cost, step.predicted), default=None)
        error = self.verifier.error(best.allotment) if best else math.inf
        for rival in self._rivals(kind, best.cost if best else math.inf, error, bounds, found):
            measured = measure(rival.allotment)
            cost = value(costs, self.problem.bit_widths, rival.allotment)
            steps.append(Search(rival.allotment, rival.predicted, cost, measured, target.met(measured)))
            if steps[-1].met:
                return rival, steps, target
        if best is None:
            floats = any(FLOAT_BITS in bit_widths for bit_widths in self.problem.bit_widths.values())
            reached = (min if target.metric == "error" else max)(step.found for step in steps)
            raise UserError(
                f"--target {target.metric}={target.bound:.6g} is out of reach: the most precise widths "
                + ("within the budget " if bounds else "")
                + f"have {reached:.6g}"
                + ("" if floats or bounds else "; --allow-float lets nodes stay in float")
            )
        return Verified(best.allotment, best.predicted, error), steps, target

    def _rivals(
        self, kind: str, most: float, error: float, bounds: Sequence[Bound], found: Sensitivities
    ) -> list[Verified]:
        """Uniform widths within the bounds that cost less than `most` and hardly err more than `error`, by cost."""
        costs, sums, bit_widths = (
            self.problem.tables(kind),
            error_tables(found, self.problem, {}),
            self.problem.bit_widths,
        )
        rivals = [
            Verified(entry.allotment, value(sums, bit_widths, entry.allotment), entry.error)
            for entry in self.uniform()
            if self.within(entry.allotment, bounds) is not False
            and value(costs, bit_widths, entry.allotment) < most
            and entry.error <= MISJUDGED * error
        ]
        return sorted(rivals, key=lambda entry: value(costs, bit_widths, entry.allotment))


def _given_before(given: Mapping[str, NodeBits]) -> Mapping[str, NodeBits]:
    """Do not be bound by the file that this command wrote itself: what bound it then binds it now."""
    if given and REPORT.is_file():
        report = read_json(REPORT)
        if file_content(given) == report.get("written"):
            return from_content(report["given"])
    return given


def _evenly(samples: SampleReader, count: int) -> SampleReader:
    """At most so many samples, evenly over all."""
    wanted = min(count, len(samples))
    return samples.subset([index * len(samples) // wanted for index in range(wanted)])
