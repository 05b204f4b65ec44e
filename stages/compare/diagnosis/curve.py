"""What the curve over depth says by itself: the phenomena of the vendor's guide (of February 2022, chapter 8)."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.compare.diagnosis.finding import Effect, Finding
from stages.compare.diagnosis.ranges import UNWEIGHED
from stages.core.config.overrides import skip_override
from stages.core.config.schema import FeatureMethod, QuantConfig, Rounding, SocConfig
from stages.core.integer.qparams import NetworkParams

__all__ = ["curve_findings"]

FIRST, POOR, LOST = 0.99, 0.98, 0.95
"""The guide's numbers: the first layer reaches 0.99, below 0.98 is poor, a last layer below 0.95 is lost."""
LATE = 0.8
"""Only the last layers fall if what is poor lies in the last fifth."""
SHARE = 0.25
"""A layer that is poor alone is to blame if it makes more than this part of all layers' isolated errors."""
FULL_BITS = 8  # at fewer a first layer below 0.99 is no sign of a wrong input

Row = Mapping[str, Any]


def curve_findings(
    rows: Sequence[Row], end: Row, params: NetworkParams, soc: SocConfig, quant: QuantConfig
) -> list[Finding]:
    """Name the phenomenon: A the first layer is low, B similarity falls from some layer on, C only the last ones fall.

    D of the guide, all is fine here and the board is wrong, cannot be told on a PC.

    Args:
        rows: the similarity table in graph order.
        end: the output's row.
        params: the widths.
        soc: what widths there are.
        quant: the settings.
    """
    if not rows:
        return []
    bits = [entry.bits for entry in params.features] + [entry.bits for entry in params.weights]
    narrow = any(width < FULL_BITS for width in bits)
    if rows[0]["cosine_avg"] < FIRST and not narrow:
        return [_first_layer(rows[0])]
    if end["cosine_avg"] >= POOR:
        return []
    start = next(index for index, row in enumerate(rows) if row["cosine_avg"] < POOR)
    if start < LATE * len(rows) and end["cosine_avg"] < LOST:
        return [_falls(rows, start, end, params, soc, quant)]
    return [_accumulates(rows, start, end, params, soc, quant)]


def _first_layer(row: Row) -> Finding:
    return Finding(
        "first_layer",
        row["node"],
        f"the first layer, {row['node']}, has cosine {row['cosine_avg']:.4f}; 8 bits give 0.99: look at colour order, "
        "mean and normal of the input",
        {"cosine": row["cosine_avg"], "max_absolute": row["max_absolute"]},
    )


def _falls(
    rows: Sequence[Row], start: int, end: Row, params: NetworkParams, soc: SocConfig, quant: QuantConfig
) -> Finding:
    node, evidence = rows[start]["node"], _evidence(rows, start, end)
    least = min(rows, key=lambda row: row["cosine_avg"])
    evidence |= {"least_node": least["node"], "least_cosine": least["cosine_avg"]}
    between = least["node"] not in (node, end["node"])
    sentence = f"similarity is first below {POOR} at {node} ({rows[start]['cosine_avg']:.4f})"
    sentence += f", least at {least['node']} ({least['cosine_avg']:.4f})" if between else ""
    sentence += f", {end['cosine_avg']:.4f} at the end"
    if "isolated_cosine" in rows[0]:
        alone = min(rows, key=lambda row: row["isolated_cosine"])
        if alone["isolated_cosine"] < POOR and _share(alone, rows) > SHARE:
            sentence += (
                f"; {alone['node']} is the poorest alone, {alone['isolated_cosine']:.4f}{_said(_narrow(params))}"
            )
            cure = skip_override([*quant.skip_nodes, alone["node"]])
            effect = Effect("isolated cosine", alone["isolated_cosine"], 1.0)
            return Finding("falls", alone["node"], sentence, evidence, cure, effect)
    side, said = _side(end, params)
    return Finding("falls", node, sentence + said, evidence, _cure(side, params, soc, quant))


def _accumulates(
    rows: Sequence[Row], start: int, end: Row, params: NetworkParams, soc: SocConfig, quant: QuantConfig
) -> Finding:
    side, said = _side(end, params)
    sentence = (
        f"error accumulates: the output has {end['cosine_avg']:.4f}, the first layer that is poor is "
        f"{rows[start]['node']}{said}"
    )
    return Finding("accumulates", None, sentence, _evidence(rows, start, end), _cure(side, params, soc, quant))


def _share(row: Row, rows: Sequence[Row]) -> float:
    """The part of all layers' errors that one makes."""
    errors = [10.0 ** (-each["isolated_sqnr"] / 10.0) for each in rows]
    return float(10.0 ** (-row["isolated_sqnr"] / 10.0) / sum(errors))


def _side(end: Row, params: NetworkParams) -> tuple[str, str]:
    """Which side costs more at the output, and words for it.

    Without the columns that tell it is the only one of few bits, else features, which cost more often.
    """
    narrow = _narrow(params)
    if "feature_cosine" not in end:
        return "weights" if list(narrow) == ["weights"] else "features", _said(narrow)
    side = "features" if end["feature_cosine"] <= end["weight_cosine"] else "weights"
    alone = f"features alone give {end['feature_cosine']:.4f} there, weights alone {end['weight_cosine']:.4f}"
    return side, f"; {alone}{_said(narrow)}"


def _narrow(params: NetworkParams) -> dict[str, int]:
    """Of features and of weights the width that is usual, where that is below 8 bits."""
    bit_widths = {
        "features": sorted(entry.bits for entry in params.features),
        "weights": sorted(entry.bits for entry in params.weights),
    }
    usual = {what: bits[len(bits) // 2] for what, bits in bit_widths.items() if bits}
    return {what: bits for what, bits in usual.items() if bits < FULL_BITS}


def _said(narrow: Mapping[str, int]) -> str:
    return f"; {' and '.join(f'{what} have {bits} bits' for what, bits in narrow.items())}" if narrow else ""


def _cure(side: str, params: NetworkParams, soc: SocConfig, quant: QuantConfig) -> str | None:
    """The mildest step that has not been taken: a better choice at the same width, then a wider one.

    Compensated rounding brings more than corrected biases, which alone do harm below 8 bits, and makes good the
    features' error too (docs/accuracy.md has the numbers).
    """
    bit_widths = [entry.bits for entry in params.features] + [entry.bits for entry in params.weights]
    narrow = any(bits < FULL_BITS for bits in bit_widths)
    if (narrow or side == "weights") and params.weights and quant.rounding is Rounding.nearest:
        return f"quant.rounding={Rounding.compensate.value}"
    clips = quant.feature_method in UNWEIGHED
    if side == "features" and (clips or not narrow) and quant.feature_method is not FeatureMethod.OUTPUT:
        return f"quant.feature_method={FeatureMethod.OUTPUT.value}"
    corrected = quant.feature_correction if side == "features" else quant.weight_correction
    if not narrow and not corrected:
        return f"quant.{side.removesuffix('s')}_correction=true"
    return _wider(side, params, soc, quant)


def _wider(side: str, params: NetworkParams, soc: SocConfig, quant: QuantConfig) -> str | None:
    """The override for the next wider features or weights that an operator of the SOC has."""
    entries = params.features if side == "features" else params.weights
    now = quant.feature_bits if side == "features" else quant.weight_bits
    key = "feature_bits" if side == "features" else "weight_bits"
    known = {bits for operator in soc.operators.values() for bits in getattr(operator, key)}
    wider = sorted(bits for bits in known if bits > now)
    return f"quant.{key}={wider[0]}" if entries and wider else None


def _evidence(rows: Sequence[Row], start: int, end: Row) -> dict[str, float | str]:
    found: dict[str, float | str] = {
        "output_cosine": end["cosine_avg"], "from_node": rows[start]["node"], "from_depth": start, "nodes": len(rows),
    }  # fmt: skip
    return found | {key: end[key] for key in ("feature_cosine", "weight_cosine") if key in end}
