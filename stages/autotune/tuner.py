"""One experiment being tuned: what is read once, what was measured before, and the searches on it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.autotune.allocation.constraints import Constraints
from stages.autotune.allocation.cost_tables import BITOPS, LATENCY
from stages.autotune.allocation.integer_program import BitAllocation
from stages.autotune.allocation.node_bits_content import from_content, to_content
from stages.autotune.allocation.predicted_error import PredictedError, Sensitivities
from stages.autotune.allocation.problem import find_problem
from stages.autotune.bounds import Bound, keeps
from stages.autotune.budget_search import affordable, allocate
from stages.autotune.measured_errors import MeasuredErrors, measurement_key
from stages.autotune.options import ERROR, Target
from stages.autotune.pareto import uniform_bit_widths
from stages.autotune.sensitivity import Ranges, measure_sensitivities, ranges_by_bit_width
from stages.autotune.target_search import TargetStep, cheapest_that_keeps
from stages.autotune.verifier import UNPREDICTED_RATIO, Verified, Verifier
from stages.core.base.artifacts import as_object, read_artifact, remove_leftovers
from stages.core.base.console import warn
from stages.core.base.errors import UserError
from stages.core.base.paths import AUTOTUNE, CALIBSET, STATISTICS
from stages.core.config.schema import FLOAT_BITS, Config
from stages.core.cost import cost_file, load_cost
from stages.core.data.inputs import feeds
from stages.core.data.sample_files import select
from stages.core.data.sample_store import SampleReader, correction_samples, validation_samples
from stages.quantize.pipeline import SCRATCH_PREFIX, Pipeline
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.simulation import Simulation
from stages.search.candidate_metric import EVALUATED, CandidateMetric, open_metric, relative_bound
from stages.search.trial_settings import trial_settings

__all__ = ["AUTOTUNE_REPORT", "Reached", "Tuner", "Uniform", "Unseen"]

Feeds = dict[str, NDArray[np.float32]]
AUTOTUNE_REPORT = AUTOTUNE / "autotune.json"
MAX_VALIDATION_PICTURES = 16
TUNED_ON, UNSEEN = slice(0, None, 2), slice(1, None, 2)
"""Which evaluation pictures a target on them is measured on, and which tell afterwards what it is worth."""


@dataclass(frozen=True)
class Uniform:
    """Uniform bit widths: their name ("features/weights"), what each variable gets, and the measured error."""

    name: str
    allocation: BitAllocation
    error: float


@dataclass(frozen=True)
class Reached:
    """How a target was reached.

    Attributes:
        chosen: the allocation.
        steps: all that was tried.
        target: with its bound as a number of its own.
    """

    chosen: Verified
    steps: Sequence[TargetStep]
    target: Target

    @property
    def value(self) -> float:
        """The metric of the chosen allocation."""
        return next(step.value for step in self.steps if step.allocation == self.chosen.allocation)


@dataclass(frozen=True)
class Unseen:
    """A metric on the evaluation pictures that no target is tuned on.

    Attributes:
        of_float: the float network's.
        chosen: the allocation's.
        interval: 95 % interval of the difference over such pictures; None where it is not known.
    """

    of_float: float
    chosen: float
    interval: tuple[float, float] | None

    def content(self) -> dict[str, float]:
        """For the JSON report and MLflow."""
        ends = (
            {} if self.interval is None else {"difference_low": self.interval[0], "difference_high": self.interval[1]}
        )
        return {"float": self.of_float, "chosen": self.chosen} | ends


class Tuner:
    """Everything that is read once: network, pictures, variables, what was measured before."""

    def __init__(self, config: Config, cost: Path | None, allow_float: bool, pictures: int) -> None:
        quant, notes = trial_settings(config.quant)
        self.config = config = replace(config, quant=quant)
        for line in notes:
            warn(line)
        pipeline = Pipeline.open(config, AUTOTUNE)
        self.inputs, network = pipeline.inputs, pipeline.equalized()
        given = _given_before(pipeline.by_node)
        cost_model = load_cost(cost or cost_file(config.soc.name))
        self.problem = find_problem(network.graph, config, given, cost_model, allow_float)
        if all(len(bit_widths) == 1 for bit_widths in self.problem.bit_widths.values()):
            settings = "quant.node_bits gives" if given else f"the {config.soc.name} and your settings leave"
            raise UserError(
                f"there is nothing to choose: {settings} each tensor one bit width"
                + ("" if given else "; --allow-float lets nodes stay in float")
            )
        AUTOTUNE.mkdir(parents=True, exist_ok=True)
        remove_leftovers(AUTOTUNE, SCRATCH_PREFIX)
        self.pipeline = replace(pipeline, network=network, by_node=given)
        self.pictures = _evenly(correction_samples(CALIBSET), pictures)
        validation = _evenly(validation_samples(CALIBSET), MAX_VALIDATION_PICTURES)
        simulation = Simulation(network.graph.model, lambda: self._feeds(validation), keep=True)
        self.verifier = Verifier(self.problem, self.pipeline, self._ranges, simulation)
        key = measurement_key(self.problem, config, STATISTICS, self.pictures, validation)
        self.measured = MeasuredErrors(AUTOTUNE / "measured", key)

    def _feeds(self, samples: SampleReader) -> Iterator[Feeds]:
        return (feeds(sample, self.inputs) for sample in samples)

    # --- what is measured once ---

    def _ranges(self) -> Ranges:
        """Ranges by bit width: known from before, or chosen now."""
        if self.measured.ranges is None:
            self.measured.ranges = ranges_by_bit_width(self.problem, self.pipeline)
            self.measured.save()
        return self.measured.ranges

    def _sensitivities(self) -> Sensitivities:
        """What was measured before, or is measured now."""
        if self.measured.sensitivities is None:
            with self.pipeline.scratch_folder() as scratch:
                fed, ranges = self._feeds(self.pictures), self._ranges()
                self.measured.sensitivities = measure_sensitivities(self.problem, self.pipeline, ranges, fed, scratch)
            self.measured.save()
        return self.measured.sensitivities

    @cached_property
    def predicted_error(self) -> PredictedError:
        """Predicts errors from sensitivities that were measured before, or are measured now."""
        return PredictedError(self.problem, self._sensitivities())

    def uniform(self) -> list[Uniform]:
        """Uniform bit widths to compare with, measured before or now."""
        allocations = {f"{f}/{w}": self.problem.uniform(f, w) for f, w in uniform_bit_widths(self.problem)}
        missing = [name for name in allocations if name not in self.measured.uniform]
        for name in missing:
            self.measured.uniform[name] = self.verifier.error(allocations[name])
        if missing:
            self.measured.save()
        return [Uniform(name, allocation, self.measured.uniform[name]) for name, allocation in allocations.items()]

    def _rivals(self, bounds: Sequence[Bound]) -> list[Verified]:
        """Uniform bit widths that keep the bounds."""
        return [
            Verified(uniform.allocation, self.predicted_error.of(uniform.allocation), uniform.error)
            for uniform in self.uniform()
            if keeps(self.problem, uniform.allocation, bounds) is not False
        ]

    # --- searches ---

    def usual_cost(self) -> str:
        """What is to be least, or spared, unless the user says."""
        return LATENCY if self.problem.cost_model.timed else BITOPS

    def _constraints(self, bounds: Sequence[Bound], spared: str) -> Constraints:
        return Constraints(self.problem, [bound.limit for bound in bounds], self.problem.costs.of(spared))

    def spend(self, bounds: Sequence[Bound], spared: str) -> tuple[Verified, list[Verified]]:
        """The allocation to take within bounds, of those solved for and of uniform bit widths: see `affordable`.

        Args:
            bounds: at least one.
            spared: the cost that is kept low where it brings little.

        Returns:
            The allocation, and all that were tried.
        """
        rivals = self._rivals(bounds)
        tried = allocate(self.predicted_error, self._constraints(bounds, spared), self.verifier, rivals)
        left = affordable([*tried, *rivals], rivals)
        costs = self.problem.costs
        return min(left, key=lambda each: (costs.total(spared, each.allocation), each.error)), tried

    def reach(self, target: Target, cost: str, bounds: Sequence[Bound]) -> Reached:
        """Find the cheapest allocation that keeps a target.

        A metric on `data.evaluation` is of every second picture there; the others stay unseen.

        Args:
            target: what is to be kept.
            cost: what is to be least.
            bounds: what else is bounded.

        Raises:
            UserError: if the most precise allocations miss it.
        """
        if target.metric == ERROR:
            return self._search(target, self.verifier.error, cost, bounds)
        with self._open_metric(target.metric, TUNED_ON) as metric:
            greater = metric.greater_is_better
            if target.relative:
                bound = relative_bound(metric.of_float(), target.bound, greater_is_better=greater)
                target = replace(target, bound=bound)
            target = replace(target, greater_is_better=greater)
            return self._search(target, lambda each: metric.of(self.verifier.candidate(each)), cost, bounds)

    def tuned_on(self) -> int:
        """How many evaluation pictures a target is measured on."""
        return len(select(self.config.data.evaluation, self.inputs, "data.evaluation")[TUNED_ON])

    def unseen(self, metric: str, allocation: BitAllocation) -> Unseen:
        """A metric of the float network, and of an allocation, on the evaluation pictures that no target is tuned on.

        Raises:
            UserError: if those pictures do not give the metric.
        """
        with self._open_metric(metric, UNSEEN) as opened:
            return Unseen(opened.of_float(), *opened.with_interval(self.verifier.candidate(allocation)))

    def _open_metric(self, name: str, part: slice) -> AbstractContextManager[CandidateMetric]:
        part = part if name in EVALUATED else slice(None)
        return open_metric(self.config, self.problem.graph.model, self.inputs, name, part)

    def _search(
        self, target: Target, measure: Callable[[BitAllocation], float], cost: str, bounds: Sequence[Bound]
    ) -> Reached:
        if target.uniform is not None:
            target = replace(target, bound=measure(self.problem.uniform(*target.uniform)))
        constraints = self._constraints(bounds, self.usual_cost())
        steps = cheapest_that_keeps(target, self.predicted_error, self.problem.costs.of(cost), constraints, measure)
        best = min((step for step in steps if step.met), key=lambda step: (step.cost, step.predicted), default=None)
        chosen = Verified(best.allocation, best.predicted, self.verifier.error(best.allocation)) if best else None
        for spent, rival in self._cheaper_rivals(cost, chosen, bounds):
            value = measure(rival.allocation)
            steps.append(TargetStep(rival.allocation, rival.predicted, spent, value, target.met(value)))
            if steps[-1].met:
                return Reached(rival, steps, target)
        if chosen is None:
            raise UserError(self._out_of_reach(target, steps, bounds))
        return Reached(chosen, steps, target)

    def _cheaper_rivals(
        self, cost: str, chosen: Verified | None, bounds: Sequence[Bound]
    ) -> list[tuple[float, Verified]]:
        """Uniform bit widths within the bounds that cost less than what was chosen and hardly err more, by cost."""
        costs = self.problem.costs
        most = math.inf if chosen is None else costs.total(cost, chosen.allocation)
        error = math.inf if chosen is None else chosen.error
        rivals = [(costs.total(cost, rival.allocation), rival) for rival in self._rivals(bounds)]
        cheaper = [(spent, rival) for spent, rival in rivals if spent < most]
        return sorted(
            (pair for pair in cheaper if pair[1].error <= UNPREDICTED_RATIO * error), key=lambda pair: pair[0]
        )

    def _out_of_reach(self, target: Target, steps: Sequence[TargetStep], bounds: Sequence[Bound]) -> str:
        may_be_float = any(FLOAT_BITS in bit_widths for bit_widths in self.problem.bit_widths.values())
        closest = (min if target.least_is_best else max)(step.value for step in steps)
        return (
            f"--target {target.metric}={target.bound:.6g} is out of reach: the most precise bit widths "
            + ("within the budget " if bounds else "")
            + f"have {closest:.6g}"
            + ("" if may_be_float or bounds else "; --allow-float lets nodes stay in float")
        )


def _given_before(given: Mapping[str, NodeBits]) -> Mapping[str, NodeBits]:
    """Do not be bound by the file that this command wrote itself: what bound it then binds it now."""
    if given and AUTOTUNE_REPORT.is_file():
        report = read_artifact(AUTOTUNE_REPORT, as_object)
        if to_content(given) == report.get("written"):
            return from_content(report["given"])
    return given


def _evenly(samples: SampleReader, count: int) -> SampleReader:
    """At most so many samples, evenly over all."""
    kept = min(count, len(samples))
    return samples.subset([index * len(samples) // kept for index in range(kept)])
