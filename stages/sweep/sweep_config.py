"""The settings of a sweep beside those of its experiments (`conf/sweep.yaml`)."""

from dataclasses import dataclass, field

from stages.core.config.schema import Config

__all__ = ["SweepConfig", "SweepSettings"]


@dataclass
class SweepSettings:
    """How the points are ranked."""

    metric: str | None = None  # of a run; null: a detector's mAP with labels, else agreement, else fidelity
    direction: str = "maximize"  # or minimize
    cost: str = "bit_operations"  # or weight_bytes: what the Pareto front weighs the metric against


@dataclass
class SweepConfig(Config):
    """An experiment and its sweep."""

    sweep: SweepSettings = field(default_factory=SweepSettings)
