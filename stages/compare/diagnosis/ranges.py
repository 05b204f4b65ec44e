"""Ranges of features that waste codes or clip."""

from collections.abc import Mapping

from stages.compare.diagnosis.finding import Finding
from stages.compare.diagnosis.observed import Observed
from stages.core.config.schema import FeatureMethod, FeatureZeroPoint, QuantConfig, Requantization, SocConfig
from stages.core.integer.qparams import CONSTANT, NODE_BITS, SHARED, FeatureParams, NetworkParams

__all__ = ["UNWEIGHED", "range_findings"]

WASTED = 4.0
"""A range so many times as wide as what was seen, or more, costs two bits."""
CLIPPED = 0.01
"""Clipping that makes more than this part of the signal is poor: 20 dB, as cosine 0.995."""
UNWEIGHED = (FeatureMethod.KL, FeatureMethod.PERCENTILE)
"""Methods that do not weigh what clipping costs. MSE, ADMM and OUTPUT do: they clip where rounding would cost more,
OUTPUT also what no next layer feels, such as what lies far below 0 before a SiLU."""
NO_RANGES = "quant.node_ranges=false"


def range_findings(
    params: NetworkParams, observed: Mapping[str, Observed], soc: SocConfig, quant: QuantConfig
) -> list[Finding]:
    """Find ranges that fit neither calibration nor the debug pictures, those that cost most first.

    A range that is too narrow because calibration saw too little is no finding here.
    """
    found = []
    for entry in params.features:
        seen = observed.get(entry.tensor)
        if seen is None or entry.method in (SHARED, CONSTANT):
            continue
        ratio = _ratio(entry, seen, soc)
        if entry.method == NODE_BITS and ratio >= WASTED and not entry.channel_scales:
            found.append((1.0 - 1.0 / ratio, _wasted(entry, seen, ratio, quant)))
        elif seen.clipped_part > max(CLIPPED, 2 * seen.beyond_part) and _unweighed(entry):
            found.append((seen.clipped_part, _clipped(entry, seen, quant)))
    return [finding for _, finding in sorted(found, key=lambda pair: -pair[0])]


def _unweighed(entry: FeatureParams) -> bool:
    """Whether a range was chosen without weighing what clipping costs."""
    return entry.method == NODE_BITS or entry.method in {method.value for method in UNWEIGHED}


def _ratio(entry: FeatureParams, seen: Observed, soc: SocConfig) -> float:
    """How much wider the range is than it has to be on this SOC."""
    low, high = min(entry.seen_low, seen.low, 0.0), max(entry.seen_high, seen.high, 0.0)
    needed = high - low
    if soc.feature_zero_point is FeatureZeroPoint.symmetric and low < 0.0:
        needed = 2 * max(high, -low)
    if soc.requantization is Requantization.shift:
        needed *= 2  # the next power of two
    return (entry.high - entry.low) / needed if needed else 1.0


def _wasted(entry: FeatureParams, seen: Observed, ratio: float, quant: QuantConfig) -> Finding:
    low, high = min(entry.seen_low, seen.low), max(entry.seen_high, seen.high)
    return Finding(
        "range",
        entry.node,
        f"{entry.node} has the range {entry.low:.4g} .. {entry.high:.4g}, {ratio:.3g} times as wide as what was seen, "
        f"{low:.4g} .. {high:.4g}: most of its codes are never used. The range is that of {quant.node_bits}",
        {"low": entry.low, "high": entry.high, "seen_low": low, "seen_high": high, "times_as_wide": ratio},
        NO_RANGES if quant.node_bits else None,
    )


def _clipped(entry: FeatureParams, seen: Observed, quant: QuantConfig) -> Finding:
    share = seen.clipped / seen.values
    own = entry.method == NODE_BITS
    source = f"{quant.node_bits}" if own else f"the method {entry.method}"
    cure = NO_RANGES if own and quant.node_bits else None
    if not own:
        cure = f"quant.feature_method={FeatureMethod.OUTPUT.value}"
    return Finding(
        "range",
        entry.node,
        f"{entry.node} clips {share:.2%} of its values at {entry.low:.4g} .. {entry.high:.4g}; the debug "
        f"pictures reach {seen.low:.4g} .. {seen.high:.4g}. The range is that of {source}",
        {
            "low": entry.low,
            "high": entry.high,
            "debug_low": seen.low,
            "debug_high": seen.high,
            "clipped_share": share,
            "clipped_energy": seen.clipped_part,
        },
        cure,
    )
