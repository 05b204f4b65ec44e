"""What the curve over depth says by itself: the phenomena of the vendor's guide (of February 2022, chapter 8)."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import onnx

from stages.compare.diagnose.finding import Finding
from stages.compare.diagnose.loss_by_depth import LayerLoss
from stages.compare.diagnose.range_findings import UNWEIGHED_METHODS
from stages.compare.gather.comparison import Row
from stages.compare.gather.similarity import Similarity
from stages.core.config.bit_widths import wider_bits
from stages.core.config.overrides import skip_override
from stages.core.config.schema import FeatureMethod, QuantConfig, Rounding, SocConfig
from stages.core.graph.onnx_graph import WEIGHTED, Graph, output_name
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.operators import KEEPS_CODES
from stages.core.outputs.output_error import fidelity

__all__ = ["accumulated", "curve_findings", "not_finite_findings"]

FIRST_LAYER_FINE = 0.99
"""The vendor's guide: the first layer reaches this cosine."""
MIN_LOSS_SHARE = 0.25
"""A layer is to blame if it makes this part of the outputs' loss."""
MOST_BEFORE = 6
"""Layers before one that is not finite that are tried in float together."""
FULL_BITS = 8  # at fewer a first layer below 0.99 is no sign of a wrong input


def not_finite_findings(
    graph: Graph, in_integers: Collection[str], similarity: Similarity, quant: QuantConfig, noun: str
) -> list[Finding]:
    """Name the first tensor of the quantized network that is infinite or not a number, and the layers that lead to it.

    Such values come from a layer in float. It reads codes, which can be 0 where the float values are not.

    Args:
        graph: the float network.
        in_integers: tensors that layers in integers compute, those inside fused layers too.
        similarity: says which tensors are not finite, and how often.
        quant: the settings.
        noun: what a sample is called.
    """
    tensor = next((name for name in similarity.by_tensor if name in similarity.not_finite), None)
    if tensor is None:
        return []
    producer, count = graph.producers[tensor], similarity.not_finite[tensor]
    node, of = output_name(producer, tensor), len({row["picture"] for row in similarity.by_picture})
    before = _layers_before(graph, producer, in_integers)
    sentence = (
        f"{node} ({producer.op_type}) is infinite or not a number in the quantized network, though not in the float "
        f"network, on {count} of {of} debug {noun}s"
    )
    sentence += f"; before it in integers: {', '.join(before)}" if before else ""
    evidence: dict[str, float | str] = {f"{noun}s": count, "of": of, "tensors": len(similarity.not_finite)}
    evidence["before"] = ", ".join(before)
    skipped = list(dict.fromkeys([*quant.skip_nodes, *before]))
    return [Finding("not_finite", node, sentence, evidence, skip_override(skipped) if before else None)]


def _layers_before(graph: Graph, node: onnx.NodeProto, in_integers: Collection[str]) -> list[str]:
    """The layers in integers that lead to a node, the nearest first, back to those with weights and a few at most.

    Those with weights are given only where there are no others: a layer in float reads their sums, which are exact.
    """
    others, weighted = dict[str, None](), dict[str, None]()
    seen, pending = set[str](), deque(node.input)
    while pending and len(others) < MOST_BEFORE:
        name = pending.popleft()
        if name in seen or name not in graph.producers:
            continue
        seen.add(name)
        producer = graph.producers[name]
        if name in in_integers and producer.op_type in WEIGHTED:
            weighted[producer.name] = None
            continue
        if name in in_integers and producer.op_type not in KEEPS_CODES:
            others[producer.name] = None
        pending.extend(producer.input)
    return list(others or weighted)


def curve_findings(
    similarity: Similarity,
    losses: Sequence[LayerLoss] | None,
    params: NetworkParams,
    soc: SocConfig,
    quant: QuantConfig,
) -> list[Finding]:
    """Name the phenomenon: A the first layer is low, B one layer costs the outputs most, C many a little each.

    D of the guide, all is fine here and the board is wrong, cannot be told on a PC.

    Args:
        similarity: the table.
        losses: what stretches of the network cost the outputs, the worst first; None: only A is looked for.
        params: the bit widths.
        soc: which bit widths there are.
        quant: the settings.
    """
    rows = similarity.rows
    if not rows:
        return []
    if (
        rows[0]["cosine_avg"] < FIRST_LAYER_FINE
        and not _any_narrow(params)
        and _first_costs_most(rows[0], losses or [])
    ):
        return [_first_layer(rows[0])]
    if losses is None:
        return []
    side, words = _worse_side(similarity.output, params)
    cure = _cure(side, params, soc, quant)
    if _to_blame(losses):
        return [_falls(losses[0], words, similarity, quant)]
    return [replace(accumulated(similarity, losses, params), cure=cure)]


def _first_costs_most(first: Row, losses: Sequence[LayerLoss]) -> bool:
    return not losses or first["node"] in losses[0].nodes


def _first_layer(row: Row) -> Finding:
    return Finding(
        "first_layer",
        row["node"],
        f"the first layer, {row['node']}, has cosine {row['cosine_avg']:.4f}; 8 bits give 0.99: look at colour order, "
        "mean and normal of the input",
        {"cosine": row["cosine_avg"], "max_absolute": row["max_absolute"]},
    )


def _falls(loss: LayerLoss, side: str, similarity: Similarity, quant: QuantConfig) -> Finding:
    """One layer that costs the outputs most."""
    row = next(row for row in similarity.rows if row["node"] == loss.nodes[-1])
    before, after, end = (fidelity(error) for error in (loss.before, loss.after, loss.total))
    verb, them = ("costs", "it") if len(loss.nodes) == 1 else ("cost", "them")
    sentence = (
        f"{loss.name} {verb} the outputs most: with all layers before {them} in integers and the rest in float their "
        f"fidelity is {before:.4f}, with {them} in integers too {after:.4f}, of the whole network {end:.4f}{side}"
    )
    evidence: dict[str, float | str] = {
        "fidelity_before": before, "fidelity_after": after, "fidelity": end, "share_of_loss": loss.share,
        "cosine": row["cosine_avg"],
    }  # fmt: skip
    evidence |= {key: row[key] for key in ("isolated_cosine",) if key in row}
    skipped = list(dict.fromkeys([*quant.skip_nodes, *loss.nodes]))
    return Finding("falls", loss.nodes[-1], sentence, evidence, skip_override(skipped))


def accumulated(similarity: Similarity, losses: Sequence[LayerLoss], params: NetworkParams) -> Finding:
    """Many layers that cost a little each: what is left to say where no single one is to blame.

    Args:
        similarity: the table.
        losses: what stretches of the network cost the outputs, the worst first.
        params: the bit widths.
    """
    output = similarity.output
    side = _worse_side(output, params)[1]
    evidence: dict[str, float | str] = {"output_cosine": output["cosine_avg"], "nodes": len(similarity.rows)}
    evidence |= {key: output[key] for key in ("feature_cosine", "weight_cosine") if key in output}
    sentence = "the loss accumulates over many layers"
    if losses:
        name, percent = losses[0].name, f"{100 * min(losses[0].share, 1.0):.0f} %"  # above 1: later layers regain some
        evidence |= {"most": name, "share_of_loss": losses[0].share}
        sentence += f", most in {name} ({percent} of it): no single layer is to blame"
        if _to_blame(losses):  # and yet its finding was not kept: in float it changes nothing
            sentence = f"{percent} of the loss arises in {name}, but to keep only that in float does not help"
    return Finding("accumulates", None, f"{sentence}{side}", evidence)


def _to_blame(losses: Sequence[LayerLoss]) -> bool:
    """Whether one layer, or a few, cost the outputs most."""
    return bool(losses) and losses[0].told_apart and losses[0].share >= MIN_LOSS_SHARE


def _worse_side(output: Row, params: NetworkParams) -> tuple[str, str]:
    """Which side costs more at the output, and words for it.

    Without the columns that tell it is the only one of few bits, else features, which cost more often.
    """
    narrow = _narrow_sides(params)
    if "feature_cosine" not in output:
        return "weights" if list(narrow) == ["weights"] else "features", _in_words(narrow)
    side = "features" if output["feature_cosine"] <= output["weight_cosine"] else "weights"
    of_features, of_weights = f"{output['feature_cosine']:.4f}", f"{output['weight_cosine']:.4f}"
    alone = f"the output has cosine {of_features} with features alone quantized, {of_weights} with weights alone"
    return side, f"; {alone}{_in_words(narrow)}"


def _any_narrow(params: NetworkParams) -> bool:
    """Whether any feature or weight has fewer than 8 bits."""
    bits = [feature.bits for feature in params.features] + [weight.bits for weight in params.weights]
    return min(bits, default=FULL_BITS) < FULL_BITS


def _narrow_sides(params: NetworkParams) -> dict[str, int]:
    """Of features and of weights the bit width that is usual, where that is below 8 bits."""
    bit_widths = {
        "features": sorted(feature.bits for feature in params.features),
        "weights": sorted(weight.bits for weight in params.weights),
    }
    usual = {side: bits[len(bits) // 2] for side, bits in bit_widths.items() if bits}
    return {side: bits for side, bits in usual.items() if bits < FULL_BITS}


def _in_words(narrow: Mapping[str, int]) -> str:
    return f"; {' and '.join(f'{side} have {bits} bits' for side, bits in narrow.items())}" if narrow else ""


def _cure(side: str, params: NetworkParams, soc: SocConfig, quant: QuantConfig) -> str | None:
    """The mildest step that has not been taken: a better choice at the same bit width, then a wider one.

    Compensated rounding brings more than corrected biases, which alone do harm below 8 bits, and makes good the
    features' error too (docs/accuracy.md has the numbers).
    """
    narrow = _any_narrow(params)
    if (narrow or side == "weights") and params.weights and quant.rounding is Rounding.nearest:
        return f"quant.rounding={Rounding.compensate.value}"
    clips = quant.feature_method in UNWEIGHED_METHODS
    if side == "features" and (clips or not narrow) and quant.feature_method is not FeatureMethod.OUTPUT:
        return f"quant.feature_method={FeatureMethod.OUTPUT.value}"
    corrected = quant.feature_correction if side == "features" else quant.weight_correction
    if not narrow and not corrected:
        return f"quant.{side.removesuffix('s')}_correction=true"
    return _wider(side, params, soc, quant)


def _wider(side: str, params: NetworkParams, soc: SocConfig, quant: QuantConfig) -> str | None:
    """The override for the next wider features or weights that an operator of the SOC has."""
    coded = params.features if side == "features" else params.weights
    wider = wider_bits(side, soc, quant)
    return f"quant.{side.removesuffix('s')}_bits={wider[0]}" if coded and wider else None
