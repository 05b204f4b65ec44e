"""Parts of a tensor that one scale for all of them ruins: scores beside boxes in pixels, a variance beside a mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.compare.diagnose.channel_imbalance import FINE
from stages.compare.diagnose.finding import Effect, Finding
from stages.compare.gather.observed_parts import ObservedJoint, ObservedPart
from stages.core.base.console import counted
from stages.core.config.overrides import skip_override
from stages.core.config.schema import Config
from stages.core.heads.head_file import ExportedHead
from stages.core.integer.network_params import FeatureParams, NetworkParams
from stages.core.outputs.joints import Joint

__all__ = ["MIN_VALUES", "cut_override", "is_ruined", "part_findings"]

RUINED = 0.5
"""An error of half a part's deviation: a quarter of its variance."""
TIMES_BEFORE = 3.0
"""The joint is to blame if the error is so many times as large in it as before it,"""
FEW_STEPS = 16.0
"""and if a part's range has fewer steps: 4 bits."""
VERY_FEW_STEPS = 4.0
"""With fewer steps than these an output says nothing of the part, whatever the error was before."""
FEW_VALUES, TIMES_VALUES = 4, 4
"""So few values of a part of an output put nothing in order, scores above all: the joint is to blame if there are so
many times as many before it."""
FEW_STEPS_OF_A_CHANNEL = 2.0
"""Channels of an output are of one kind more often than not: so few steps show that they are not."""
MIN_VALUES = 4
"""Of fewer values there is no deviation to speak of."""
SAME_SCALE = 0.5
"""A joint's scale is as coarse as the last one's from this part of it on."""


@dataclass(frozen=True)
class _Ruined:
    """A part that is ruined at its joint.

    Attributes:
        observed: the joint's parts.
        part: the one.
        feature: the codes of the joint's tensor.
        node: that joins.
        low: least value of the part, on the debug pictures or during calibration.
        high: greatest.
    """

    observed: ObservedJoint
    part: ObservedPart
    feature: FeatureParams
    node: str
    low: float
    high: float

    @property
    def steps(self) -> float:
        """The part's range in steps."""
        return (self.high - self.low) / self.feature.scale


def part_findings(
    joints: Sequence[ObservedJoint],
    params: NetworkParams,
    isolated: Mapping[str, float],
    head: ExportedHead | None,
    config: Config,
) -> list[Finding]:
    """Find joints that ruin parts, those of outputs first, then those that ruin a part most.

    The error is taken in parts of the part's own deviation from its mean, so that neither a larger part nor a constant
    offset hides it; and beside the same part's error before the joint, so that a joint is not blamed for what it
    inherits. What is joined for layers that compute with it counts only if one of them is poor alone: they may not need
    the part.

    Args:
        joints: on the debug pictures.
        params: of the quantized network.
        isolated: tensor -> cosine of its layer alone quantized, where that is known.
        head: of a detector, if export recognized one.
        config: the experiment.
    """
    features = {feature.tensor: feature for feature in params.features}
    ruined: dict[str, list[_Ruined]] = {}
    for observed in sorted(joints, key=lambda observed: not observed.joint.is_output):
        feature = features.get(observed.joint.tensor)
        if feature is None or feature.channel_scales or observed.joint.tensor in params.factors:
            continue
        if observed.joint.consumers and not _harms(observed.joint, isolated):
            continue
        for part in observed.parts:
            low, high = _range(part, features)
            if is_ruined(observed, part, (high - low) / feature.scale):
                node = _joining(observed, part, features)
                ruined.setdefault(node, []).append(_Ruined(observed, part, feature, node, low, high))
    return [_finding(found, head, config) for found in ruined.values()]


def _harms(joint: Joint, isolated: Mapping[str, float]) -> bool:
    """Whether a layer that takes the tensor is poor alone."""
    return min((isolated.get(name, 1.0) for name in joint.consumers.values()), default=1.0) < FINE


def _range(part: ObservedPart, features: Mapping[str, FeatureParams]) -> tuple[float, float]:
    """The range of a part, which calibration may have seen wider: the debug pictures may not show it all."""
    low, high, source = part.low, part.high, features.get(part.part.source or "")
    if source is not None and part.part.whole:
        low, high = min(low, source.seen_low), max(high, source.seen_high)
    return low, high


def is_ruined(observed: ObservedJoint, part: ObservedPart, steps: float) -> bool:
    """Whether the scale of a joint ruins a part.

    Args:
        observed: the joint's parts.
        part: one of them.
        steps: of the joint's codes in the part's range.
    """
    if len(observed.parts) < 2 or part.values < MIN_VALUES or not part.deviation:
        return False
    by_channel = observed.joint.by_channel
    empties = steps < VERY_FEW_STEPS or (steps < FEW_STEPS and _loses_values(part))
    if empties and observed.joint.is_output and not by_channel:
        return True
    inherited = part.relative_before
    if inherited is None or part.relative_error < TIMES_BEFORE * inherited:
        return False
    return part.relative_error >= RUINED and steps < (FEW_STEPS_OF_A_CHANNEL if by_channel else FEW_STEPS)


def _loses_values(part: ObservedPart) -> bool:
    """Whether a joint leaves few of a part's many values.

    Of scores that are rarely high the error does not tell: it is large before the joint too.
    """
    values = part.quantized_values
    return values <= FEW_VALUES and part.before_values >= TIMES_VALUES * values


def cut_override(config: Config) -> str:
    """The override that ends a detector before its boxes and scores are joined."""
    return "model.cut=true model.outputs=[]" if config.model.outputs else "model.cut=true"


def _joining(observed: ObservedJoint, part: ObservedPart, features: Mapping[str, FeatureParams]) -> str:
    """The node that joins a part to others first at a scale as coarse as the last one."""
    last = features[observed.joint.tensor].scale
    scales = {feature.node: feature.scale for feature in features.values()}
    coarse = (node for node in part.part.joints if scales.get(node, 0.0) >= SAME_SCALE * last)
    return next(coarse, observed.joint.node)


def _finding(ruined: Sequence[_Ruined], head: ExportedHead | None, config: Config) -> Finding:
    """The finding on a node, by the part that it ruins most."""
    found = max(ruined, key=lambda found: found.part.relative_error)
    part, joint, name = found.part, found.observed.joint, found.part.part.name
    before = part.relative_before or 0.0
    evidence: dict[str, float | str] = {
        "part": name, "low": found.low, "high": found.high, "scale": found.feature.scale, "steps": found.steps,
        "error": part.relative_error, "error_before": before, "float_values": part.float_values,
        "quantized_values": part.quantized_values, "ruined_parts": len(ruined), "parts": len(found.observed.parts),
    }  # fmt: skip
    if joint.is_output:
        evidence["output"] = joint.tensor
    without = f" ({part.before_values} without the joint)" if _loses_values(part) else ""
    sentence = (
        f"{_joined(found, len(ruined) - 1)}: its step of {found.feature.scale:.3g} leaves {name} {found.steps:.2g} "
        f"steps, {counted(part.quantized_values, 'value')}{without} of {part.float_values} in float; the error of "
        f"{name} is {part.relative_error:.3g} of its deviation, without the joint {before:.3g}"
    )
    if head is not None and not head.cut and joint.is_output:
        effect = Effect(f"error of {name} in parts of its deviation", part.relative_error, before)
        return Finding("parts", found.node, sentence, evidence, cut_override(config), effect)
    skipped = dict.fromkeys([*config.quant.skip_nodes, *joint.chains[found.node]])
    return Finding("parts", found.node, sentence, evidence, skip_override(list(skipped)))


def _joined(found: _Ruined, more: int) -> str:
    """Say what shares a scale."""
    part, name = found.part, found.part.part.name
    others = [other for other in found.observed.parts if other is not part]
    widest = max(others, key=lambda other: other.high - other.low)
    count = f"; {more} more of {len(others) + 1} parts suffer" if more else ""
    return (
        f"{found.node} gives {name} ({found.low:.3g} .. {found.high:.3g}) the scale of {widest.part.name} "
        f"({widest.low:.4g} .. {widest.high:.4g}{count})"
    )
