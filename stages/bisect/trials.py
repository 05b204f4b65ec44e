"""Simulations with some nodes in float: each is run at most once, and none whose answer follows from another's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["LimitError", "Trial", "Trials"]


@dataclass(frozen=True)
class Trial:
    """One simulation.

    Attributes:
        nodes: those that stayed in float, beside those that the settings keep so anyway.
        kinds: the operator types whose nodes these all are; empty where single nodes were chosen.
        value: the metric.
        restored: whether it is good enough.
    """

    nodes: tuple[str, ...]
    kinds: tuple[str, ...]
    value: float
    restored: bool


class LimitError(Exception):
    """As many simulations as are allowed were run."""


@dataclass
class Trials:
    """Asks for the metric of skip lists, each at most once.

    It takes nodes in float to do no harm: what contains a set that restores the metric restores it, and what is part of
    one that does not, does not. Such questions cost no simulation.

    Attributes:
        measure: nodes to keep in float -> the metric.
        below: the metric is restored where it is not worse than this.
        everything: nodes that are known to restore it together.
        limit: how many simulations may run; None for any number.
        greater_is_better: of the metric.
        done: the simulations, in order.
    """

    measure: Callable[[Sequence[str]], float]
    below: float
    everything: Sequence[str] = ()
    limit: int | None = None
    greater_is_better: bool = True
    done: list[Trial] = field(default_factory=list)

    def restores(self, nodes: Sequence[str], kinds: Sequence[str] = ()) -> bool:
        """Say whether keeping these nodes in float restores the metric.

        Raises:
            LimitError: if that takes a simulation more than are allowed.
        """
        asked = frozenset(nodes)
        if self.everything and asked.issuperset(self.everything):
            return True
        for trial in self.done:
            if trial.restored and asked.issuperset(trial.nodes):
                return True
            if not trial.restored and asked.issubset(trial.nodes):
                return False
        if self.limit is not None and len(self.done) >= self.limit:
            raise LimitError
        value = self.measure(nodes)
        self.done.append(Trial(tuple(nodes), tuple(kinds), value, self._sign * value >= self._sign * self.below))
        return self.done[-1].restored

    @property
    def best(self) -> Trial:
        """The simulation with the fewest nodes in float that restores the metric; if none does, that of the best."""
        good = [trial for trial in self.done if trial.restored]
        if good:
            return min(good, key=lambda trial: (len(trial.nodes), -self._sign * trial.value))
        return max(self.done, key=lambda trial: self._sign * trial.value)

    @property
    def _sign(self) -> int:
        return 1 if self.greater_is_better else -1
