"""Ranges of features that waste codes or clip."""

from collections.abc import Mapping, Sequence

import onnx

from stages.compare.diagnose.finding import Finding
from stages.compare.gather.observed_features import ObservedFeature
from stages.core.base.console import counted
from stages.core.config.overrides import skip_override
from stages.core.config.schema import FeatureMethod, FeatureZeroPoint, QuantConfig, Requantization, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams, NetworkParams
from stages.core.integer.operators import KEEPS_CODES
from stages.core.outputs.output_judge import Level, OutputJudgement
from stages.core.outputs.output_kind import OutputKind

__all__ = ["UNWEIGHED_METHODS", "few_code_findings", "range_findings"]

MIN_WASTE_RATIO = 4.0
"""A range so many times as wide as what was seen, or more, costs two bits."""
MAX_CLIPPED_ENERGY = 0.01
"""Clipping that makes more than this part of the signal is poor: 20 dB, as cosine 0.995."""
UNWEIGHED_METHODS = (FeatureMethod.KL, FeatureMethod.PERCENTILE)
"""Methods that do not weigh what clipping costs. MSE, ADMM and OUTPUT do: they clip where rounding would cost more,
OUTPUT also what no next layer feels, such as what lies far below 0 before a SiLU."""
LEAST_DECIDING = 16.0
"""Codes above 0 that logits need at least: 4 bits, as a part of a tensor does."""
IGNORE_GIVEN_RANGES = "quant.node_ranges=false"


def range_findings(
    params: NetworkParams, observed: Mapping[str, ObservedFeature], soc: SocConfig, quant: QuantConfig
) -> list[Finding]:
    """Find ranges that fit neither calibration nor the debug pictures, those that cost most first.

    A range that is too narrow because calibration saw too little is no finding here.
    """
    by_cost = []
    for feature in params.features:
        seen = observed.get(feature.tensor)
        if seen is None or not feature.method.is_chosen:
            continue
        ratio = _width_ratio(feature, seen, soc)
        if feature.method.is_given and ratio >= MIN_WASTE_RATIO and not feature.channel_scales:
            by_cost.append((1.0 - 1.0 / ratio, _wasted(feature, seen, ratio, quant)))
        elif seen.clipped_part > max(MAX_CLIPPED_ENERGY, 2 * seen.beyond_part) and _unweighed(feature):
            by_cost.append((seen.clipped_part, _clipped(feature, seen, quant)))
    return [finding for _, finding in sorted(by_cost, key=lambda pair: -pair[0])]


def _unweighed(feature: FeatureParams) -> bool:
    """Whether a range was chosen without weighing what clipping costs."""
    return feature.method.is_given or feature.method.by_method in UNWEIGHED_METHODS


def _width_ratio(feature: FeatureParams, seen: ObservedFeature, soc: SocConfig) -> float:
    """How much wider the range is than it has to be on this SOC."""
    low, high = min(feature.seen_low, seen.low, 0.0), max(feature.seen_high, seen.high, 0.0)
    needed = high - low
    signed = soc.feature_zero_point is FeatureZeroPoint.signed
    if signed or (soc.feature_zero_point is FeatureZeroPoint.symmetric and low < 0.0):
        needed = 2 * max(high, -low)
    if soc.requantization is Requantization.shift:
        needed *= 2  # the next power of two
    return (feature.high - feature.low) / needed if needed else 1.0


def _wasted(feature: FeatureParams, seen: ObservedFeature, ratio: float, quant: QuantConfig) -> Finding:
    low, high = min(feature.seen_low, seen.low), max(feature.seen_high, seen.high)
    return Finding(
        "range",
        feature.node,
        f"{feature.node} has the range {feature.low:.4g} .. {feature.high:.4g}, {ratio:.3g} times as wide as what was "
        f"seen, {low:.4g} .. {high:.4g}: most of its codes are never used. The range is that of {quant.node_bits}",
        {"low": feature.low, "high": feature.high, "seen_low": low, "seen_high": high, "times_as_wide": ratio},
        IGNORE_GIVEN_RANGES if quant.node_bits else None,
    )


def _clipped(feature: FeatureParams, seen: ObservedFeature, quant: QuantConfig) -> Finding:
    share = seen.clipped / seen.values
    given = feature.method.is_given
    source = f"{quant.node_bits}" if given else f"the method {feature.method}"
    cure = IGNORE_GIVEN_RANGES if given and quant.node_bits else None
    if not given:
        cure = f"quant.feature_method={FeatureMethod.OUTPUT.value}"
    return Finding(
        "range",
        feature.node,
        f"{feature.node} clips {share:.2%} of its values at {feature.low:.4g} .. {feature.high:.4g}; on the "
        f"debug set they reach {seen.low:.4g} .. {seen.high:.4g}. The range is that of {source}",
        {
            "low": feature.low,
            "high": feature.high,
            "debug_low": seen.low,
            "debug_high": seen.high,
            "clipped_share": share,
            "clipped_energy": seen.clipped_part,
        },
        cure,
    )


def few_code_findings(
    graph: Graph,
    params: NetworkParams,
    observed: Mapping[str, ObservedFeature],
    outputs: Sequence[OutputJudgement],
    soc: SocConfig,
    quant: QuantConfig,
) -> list[Finding]:
    """Find outputs of logits whose scale leaves the values above 0, which decide, few codes.

    Args:
        graph: the float network.
        params: of the quantized one.
        observed: features on the debug pictures.
        outputs: what became of each output.
        soc: which bit widths its operators have.
        quant: the settings.
    """
    features = {feature.tensor: feature for feature in params.features}
    poor = [judged for judged in outputs if judged.level in (Level.look, Level.broken)]
    logits = [judged.output for judged in poor if judged.kind is OutputKind.logits]
    found = []
    for tensor in (name for name in logits if name in features and name in observed):
        feature, seen = features[tensor], observed[tensor]
        high = max(feature.seen_high, seen.high)
        if 0.0 < high < LEAST_DECIDING * feature.scale:
            found.append((feature, min(feature.seen_low, seen.low), high, _moves_before(graph, tensor)))
    kept = dict.fromkeys(quant.skip_nodes)
    for *_, moves in found:
        producer = moves[0] if soc.float_outputs and len(moves) > 1 else None  # its sums are its output
        kept |= dict.fromkeys(node.name for node in moves if node is not producer)
    cure = skip_override(list(kept))
    return [_few_codes(*one, soc, cure) for one in found]


def _moves_before(graph: Graph, tensor: str) -> list[onnx.NodeProto]:
    """The node that computes an output's values, and those behind it that only pass them on, in order."""
    nodes = [graph.producers[tensor]]
    while nodes[0].op_type in KEEPS_CODES and nodes[0].input[0] in graph.producers:
        nodes.insert(0, graph.producers[nodes[0].input[0]])
    return nodes


def _few_codes(
    feature: FeatureParams,
    low: float,
    high: float,
    nodes: Sequence[onnx.NodeProto],
    soc: SocConfig,
    cure: str,
) -> Finding:
    codes = min(feature.quant_params.qmax - feature.zero_point, round(high / feature.scale))
    sentence = (
        f"{feature.tensor} has {low:.4g} .. {high:.4g} in {feature.bits}-bit codes of {feature.scale:.3g} each: what "
        f"decides, above 0 and up to {high:.3g}, has {counted(codes, 'code')}. The range is that of {nodes[0].name}"
    )
    groups = soc.bit_widths
    types = [node.op_type for node in nodes if node.op_type in groups]  # what the SOC lacks runs in float
    most = [max(groups[each].feature_bits, default=0) for each in types]
    if most and min(most) == feature.bits < most[0]:
        narrow = types[most.index(feature.bits)]
        sentence += f"; quant.feature_bits gives it no more: {narrow} behind it has {feature.bits} on the {soc.name}"
    evidence: dict[str, float | str] = {
        "output": feature.tensor, "low": low, "high": high, "scale": feature.scale, "codes": float(codes),
        "bits": float(feature.bits),
    }  # fmt: skip
    return Finding("few_codes", nodes[0].name, sentence, evidence, cure)
