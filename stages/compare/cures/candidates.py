"""Which lines are worth a trial, the cheapest for the network first."""

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import replace

from stages.compare.diagnose.diagnosis import Diagnosis
from stages.compare.diagnose.finding import Finding
from stages.compare.diagnose.outcome import Outcome
from stages.core.config.bit_widths import wider_bits
from stages.core.config.overrides import list_override, skip_override
from stages.core.config.schema import (
    ChannelScales,
    Config,
    Equalization,
    FeatureMethod,
    Head,
    Rounding,
    WeightMethod,
)
from stages.core.graph.onnx_graph import WEIGHTED
from stages.core.integer.operators import KEEPS_CODES
from stages.core.outputs.output_judge import GOOD_FIDELITY, Level

__all__ = [
    "ALLOTMENT",
    "AUTOTUNE",
    "PER_TENSOR",
    "autotune_for",
    "candidates",
    "is_sure",
    "tried_by_outputs",
    "widens",
    "without_line",
]

LEARNED = "quant=best"
PER_TENSOR = f"quant.channel_scales={ChannelScales.never.value}"
"""How a line ends that leaves out what no vendor's converter takes."""
BITS, FULL_BITS = ("feature_bits", "weight_bits"), 8
AUTOTUNE = "autotune"
ALLOTMENT = "quant.node_bits=file:out/autotune/node_bits.json"
"""Takes the fewest bits, layer by layer, that make the network good, see `autotune_for`."""
DELICATE = frozenset(
    {"Div", "Erf", "Exp", "LayerNormalization", "Log", "Pow", "Reciprocal", "ReduceL2", "ReduceMean", "Softmax", "Sqrt"}
)
"""Operators whose values span orders of magnitude, which few codes do not; in float they cost little."""
MIN_SHARE = 0.1
"""A layer whose part of the loss is less is not worth keeping in float."""
MOST_SKIPPED = 3
"""Layers, or stretches of a few, that are tried in float together."""
MOST_FLOAT = 0.3
"""Longer stretches too, as long as no more of the layers than this stay in float."""
ROUNDING = 1e-6
"""Of a float, in the last decimal of a target."""
LOCAL = ("range", "bit_width", "channel_imbalance", "falls")
"""Kinds of findings that are only findings if mending them helps the outputs."""
EVIDENT = ("input", "debug")
"""Kinds of findings whose cures the outputs cannot judge: both networks are fed alike."""
CUT = "model.cut="
"""A line that ends a network earlier: its effect is known from the same pass, and it has other outputs."""


def tried_by_outputs(finding: Finding) -> bool:
    """Whether a finding's cure is to be judged by the quantized outputs beside the float ones."""
    return finding.cure is not None and finding.kind not in EVIDENT and not finding.cure.startswith(CUT)


def is_sure(finding: Finding) -> bool:
    """Whether a finding stays one even if its line does not help; one of a single layer is one only if that does."""
    return finding.kind not in LOCAL or not tried_by_outputs(finding)


def without_line(finding: Finding) -> Finding:
    """A finding without a line that nobody has seen help."""
    return replace(finding, cure=None, effect=None) if tried_by_outputs(finding) else finding


def autotune_for(outcome: Outcome) -> tuple[str, ...]:
    """The command that allots the fewest bits that make the network good.

    Autotune measures on the debug pictures. Where more is lost on the evaluation pictures, which the verdict goes by,
    its target is so much higher.
    """
    allowed = 1.0 - GOOD_FIDELITY**2
    if outcome.by_evaluation and outcome.beside is not None:
        lost, seen = (1.0 - fidelity**2 for fidelity in (outcome.fidelity, outcome.beside.fidelity))
        allowed *= min(seen / lost, 1.0) if lost else 1.0
    target = math.ceil(1e4 * (1.0 - allowed) ** 0.5 - ROUNDING) / 1e4
    return AUTOTUNE, "--target", f"fidelity={target:g}"


def widens(line: str) -> bool:
    """Whether a line gives all features or weights more bits, and does nothing else."""
    return all(override.startswith(tuple(f"quant.{key}=" for key in BITS)) for override in line.split())


def candidates(diagnosis: Diagnosis, config: Config) -> Iterator[str]:
    """Give lines to try: the findings' own first, then what helps many networks, in the order of what it costs.

    Args:
        diagnosis: the findings and the losses.
        config: the experiment.
    """
    given = dict.fromkeys(finding.cure for finding in diagnosis.findings if finding.cure and tried_by_outputs(finding))
    yield from filter(None, given)
    if diagnosis.outcome.level not in (Level.look, Level.broken):
        return
    yield from (line for line in _usual(diagnosis, config) if line not in given)


def _usual(diagnosis: Diagnosis, config: Config) -> Iterator[str]:
    quant, narrow = config.quant, min(config.quant.feature_bits, config.quant.weight_bits) < FULL_BITS
    weighed = []
    if not quant.float_features and quant.feature_method is not FeatureMethod.OUTPUT:
        weighed.append(f"quant.feature_method={FeatureMethod.OUTPUT.value}")
    if not quant.float_weights and quant.weight_method is WeightMethod.MAX_ABS:
        weighed.append(f"quant.weight_method={WeightMethod.MSE.value}")
    if weighed:
        yield " ".join(weighed)
    if quant.equalization is Equalization.none and not quant.float_features and not quant.float_weights:
        yield f"quant.equalization={Equalization.cross_layer.value}"
    if narrow:  # fewer layers in float and the same bits are worth the time of learning
        yield from learned_lines(config)
        yield " ".join(f"quant.{key}={FULL_BITS}" for key in BITS if getattr(quant, key) < FULL_BITS)
    yield from _skips(diagnosis, config)
    unweighted = diagnosis.integer_types - WEIGHTED - KEEPS_CODES - {*config.soc.fused_activations}
    for types in dict.fromkeys((frozenset(DELICATE & unweighted), frozenset(unweighted))):
        if types - {*quant.skip_ops}:
            yield list_override("quant.skip_ops", sorted({*quant.skip_ops, *types}))
    wider = {side: wider_bits(f"{side}s", config.soc, quant) for side in ("feature", "weight")}
    if quant.head is Head.quantized:
        yield f"quant.head={Head.float.value}"
    if not narrow:
        yield from learned_lines(config)
    for side, widths in wider.items():
        yield from (f"quant.{side}_bits={bits}" for bits in dict.fromkeys([*widths[:1], *widths[-1:]]))
        if side == "feature" and widths and quant.head is Head.quantized:
            yield f"quant.head={Head.float.value} quant.feature_bits={widths[-1]}"


def learned_lines(config: Config) -> list[str]:
    """The settings that learn, at the experiment's bit widths; the second one without what no converter takes."""
    quant = config.quant
    if quant.rounding is Rounding.reconstruct or importlib.util.find_spec("torch") is None:
        return []
    bits = "".join(f" quant.{key}={getattr(quant, key)}" for key in BITS if getattr(quant, key) != FULL_BITS)
    return [f"{LEARNED}{bits}", f"{LEARNED}{bits} {PER_TENSOR}"]


def _skips(diagnosis: Diagnosis, config: Config) -> Iterator[str]:
    """The layers that cost the outputs most in float: the first, and the first few."""
    losses = [loss for loss in diagnosis.losses.stretches if loss.share >= MIN_SHARE]
    single = [loss for loss in losses if loss.told_apart][:MOST_SKIPPED]
    layers = sum(len(loss.nodes) for loss in diagnosis.losses.stretches)
    few = sum(len(loss.nodes) for loss in losses) <= MOST_FLOAT * layers
    lines = dict[str, None]()
    for chosen in (single[:1], single, losses if few else []):
        names = [name for loss in chosen for name in loss.nodes]
        if names:
            lines[skip_override(list(dict.fromkeys([*config.quant.skip_nodes, *names])))] = None
    if diagnosis.losses.front and not config.quant.float_until:
        lines[list_override("quant.float_until", diagnosis.losses.front)] = None
    yield from lines
