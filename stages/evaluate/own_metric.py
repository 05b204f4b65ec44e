"""A metric of the user's own (`data.evaluation.metric`): an instance of it for each network, fed sample by sample."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.base.errors import UserError, one_line
from stages.core.base.user_code import import_callable
from stages.core.data.preprocess import Placement
from stages.core.statistics.task_metric import LEAST_SAMPLES, TaskMetric
from stages.evaluate.scores import OWN, ClassRow, Outputs, Score

__all__ = ["OwnMetric", "OwnScore", "load_metric"]

KEY = "data.evaluation.metric"
SIDES = ("float", "quantized")
NAME = re.compile(r"[A-Za-z0-9_-]+")
"""A name that MLflow, DVC and `sweep.metric` take."""


@dataclass(frozen=True)
class OwnMetric:
    """A class of the user's, or a function that gives such objects.

    Attributes:
        text: as the setting has it, module:Class.
        factory: called without arguments for each network.
    """

    text: str
    factory: Callable[..., Any]

    @property
    def name(self) -> str:
        """What a result without a name is called."""
        return self.text.rpartition(":")[2].rpartition(".")[2]

    def new(self) -> Any:
        """An object that has seen nothing.

        Raises:
            UserError: if it cannot be made, or lacks a method.
        """
        instance = self._called("", self.factory)
        for method in ("add", "result"):
            if not callable(getattr(instance, method, None)):
                raise UserError(
                    f"{KEY}={self.text}: its {type(instance).__name__} has no method {method}; give add(name, outputs, "
                    "label) and result()"
                )
        return instance

    @property
    def greater_is_better(self) -> bool:
        """Whether more of it is better: its attribute of that name, true unless said."""
        return bool(getattr(self.new(), "greater_is_better", True))

    def add(self, instance: Any, name: str, outputs: Outputs, label: Any) -> None:
        """Show a sample to an instance.

        Raises:
            UserError: if the user's code fails.
        """
        self._called(f".add of {name}", instance.add, name, dict(outputs), label)

    def result(self, instance: Any) -> dict[str, float]:
        """The metric, or several, by name; the first one ranks.

        Raises:
            UserError: if the user's code fails, or gives what is no number, or a name that MLflow does not take.
        """
        result = self._called(".result", instance.result)
        named = dict(result) if isinstance(result, Mapping) else {self.name: result}
        numbers = {}
        for name, value in named.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise UserError(f"{KEY}={self.text}: result() has the name {name!r}: use letters, digits, _ and -")
            try:
                numbers[name] = float(value)
            except (TypeError, ValueError):
                numbers[name] = math.nan
            if not math.isfinite(numbers[name]):
                raise UserError(f"{KEY}={self.text}: result() gives {name}={value!r}, which is no finite number")
        if not numbers:
            raise UserError(f"{KEY}={self.text}: result() gives no number")
        return numbers

    def _called(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # the user's own code may raise anything
            raise UserError(f"{KEY}={self.text}{what} failed: {type(error).__name__}: {one_line(error)}") from error


def load_metric(text: str) -> OwnMetric:
    """Import a metric.

    Args:
        text: `module:Class`.

    Raises:
        UserError: if it cannot be imported.
    """
    return OwnMetric(text, import_callable(text, KEY))


class OwnScore:
    """What the task measures, and beside it the user's own metric of both networks and its difference.

    Args:
        task: the task's score.
        metric: the user's.
        labels: of the samples in their order, as the user's code gets them; None each where there are none.
        shows_labels: whether the task's own columns lack the labels.
    """

    def __init__(self, task: Score, metric: OwnMetric, labels: Iterable[Any], *, shows_labels: bool = False) -> None:
        self._task, self._metric, self._labels, self._shows_labels = task, metric, iter(labels), shows_labels
        self._instances = [metric.new() for _ in SIDES]
        self._constant: Any = metric.new()  # as if the network answered all samples as it does the first one
        self._first: Outputs = {}

    @property
    def columns(self) -> Sequence[str]:
        """The task's, after the label."""
        return [*(["label"] if self._shows_labels else []), *self._task.columns]

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in one sample, whose label is the next one.

        Raises:
            UserError: if the user's code fails.
        """
        label = next(self._labels)
        row = self._task.add(name, placement, reference, quantized)
        for instance, outputs in zip(self._instances, (reference, quantized), strict=True):
            self._metric.add(instance, name, outputs, label)
        self._first = self._first or reference
        if label is None:
            self._constant = None  # what goes by the outputs alone may like those of one sample best
        try:
            if self._constant is not None:
                self._metric.add(self._constant, name, self._first, label)
        except UserError:
            self._constant = None  # it cannot take the answers to another sample
        return [label, *row] if self._shows_labels else row

    def metrics(self) -> dict[str, Any]:
        """The task's, and under `float`, `quantized` and `difference` the user's own.

        Raises:
            UserError: if the user's code fails, gives other names for the two networks, or a name of the task's.
        """
        metrics = self._task.metrics()
        expected, actual = map(self._metric.result, self._instances)
        if {*expected} != {*actual}:
            names = f"{', '.join(expected)} of the float network and {', '.join(actual)} of the quantized one"
            raise UserError(f"{KEY}={self._metric.text}: result() gives {names}: give the same names for both")
        difference = {name: actual[name] - expected[name] for name in expected}
        for side, values in zip((*SIDES, "difference"), (expected, actual, difference), strict=True):
            if taken := {*values} & {*metrics.get(side, {})}:
                raise UserError(f"{KEY}={self._metric.text}: {min(taken)} is the task's own: take another name")
            metrics[side] = metrics.get(side, {}) | values
        return metrics

    def by_class(self) -> list[ClassRow]:
        """The task's."""
        return self._task.by_class()

    def task_metric(self, count: int) -> TaskMetric:
        """The first of the user's own, of both networks, on so many samples."""
        expected, actual = map(self._metric.result, self._instances)
        name = next(iter(actual))
        greater = self._metric.greater_is_better
        chance = self._of_constant(name) if count >= LEAST_SAMPLES else None
        return TaskMetric(name, expected[name], actual[name], count, greater_is_better=greater, chance=chance)

    def _of_constant(self, name: str) -> float | None:
        """What a network reaches that gives the same answer to all samples; None where that cannot be told."""
        try:
            return None if self._constant is None else self._metric.result(self._constant).get(name)
        except UserError:
            return None

    def value(self, metric: str) -> float | None:
        """The first of the user's own for `OWN`, else the task's."""
        if metric != OWN:
            return self._task.value(metric)
        return next(iter(self._metric.result(self._instances[1]).values()))

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The task's; that of the user's own is not known."""
        return None if metric == OWN else self._task.interval(metric)
