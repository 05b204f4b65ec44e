"""What the curve over depth says by itself: the phenomena of the vendor's guide (of February 2022, chapter 8)."""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.compare.diagnose.finding import Effect, Finding
from stages.compare.diagnose.range_findings import UNWEIGHED_METHODS
from stages.compare.gather.comparison import Row
from stages.compare.gather.similarity import POOR, Similarity
from stages.core.config.overrides import skip_override
from stages.core.config.schema import FeatureMethod, QuantConfig, Rounding, SocConfig
from stages.core.integer.network_params import NetworkParams

__all__ = ["curve_findings"]

FIRST_LAYER_FINE = 0.99
"""The vendor's guide: the first layer reaches this cosine,"""
LOST = 0.95
"""and a last layer below this one is lost."""
LATE = 0.8
"""Only the last layers fall if what is poor lies in the last fifth."""
MIN_ERROR_SHARE = 0.25
"""A layer that is poor alone is to blame if it makes more than this part of all layers' isolated errors."""
FULL_BITS = 8  # at fewer a first layer below 0.99 is no sign of a wrong input


def curve_findings(similarity: Similarity, params: NetworkParams, soc: SocConfig, quant: QuantConfig) -> list[Finding]:
    """Name the phenomenon: A the first layer is low, B similarity falls from some layer on, C only the last ones fall.

    D of the guide, all is fine here and the board is wrong, cannot be told on a PC.

    Args:
        similarity: the table.
        params: the bit widths.
        soc: which bit widths there are.
        quant: the settings.
    """
    rows, output = similarity.rows, similarity.output
    if not rows:
        return []
    if rows[0]["cosine_avg"] < FIRST_LAYER_FINE and not _any_narrow(params):
        return [_first_layer(rows[0])]
    if output["cosine_avg"] >= POOR:
        return []
    start = next(index for index, row in enumerate(rows) if row["cosine_avg"] < POOR)
    side, words = _worse_side(output, params)
    fall = _Fall(similarity, start, words, _cure(side, params, soc, quant))
    if start < LATE * len(rows) and output["cosine_avg"] < LOST:
        return [_falls(fall, params, quant)]
    return [_accumulates(fall)]


@dataclass(frozen=True)
class _Fall:
    """A similarity that falls.

    Attributes:
        similarity: the table.
        start: depth of the first poor row.
        side: which side costs more at the output, in words.
        cure: for that side.
    """

    similarity: Similarity
    start: int
    side: str
    cure: str | None

    @property
    def first_poor(self) -> Row:
        """The first poor row."""
        return self.similarity.rows[self.start]

    @property
    def evidence(self) -> dict[str, float | str]:
        """The numbers behind it."""
        output = self.similarity.output
        evidence: dict[str, float | str] = {
            "output_cosine": output["cosine_avg"], "from_node": self.first_poor["node"], "from_depth": self.start,
            "nodes": len(self.similarity.rows),
        }  # fmt: skip
        return evidence | {key: output[key] for key in ("feature_cosine", "weight_cosine") if key in output}


def _first_layer(row: Row) -> Finding:
    return Finding(
        "first_layer",
        row["node"],
        f"the first layer, {row['node']}, has cosine {row['cosine_avg']:.4f}; 8 bits give 0.99: look at colour order, "
        "mean and normal of the input",
        {"cosine": row["cosine_avg"], "max_absolute": row["max_absolute"]},
    )


def _falls(fall: _Fall, params: NetworkParams, quant: QuantConfig) -> Finding:
    rows, output, first = fall.similarity.rows, fall.similarity.output, fall.first_poor
    least = min(rows, key=lambda row: row["cosine_avg"])
    evidence = fall.evidence | {"least_node": least["node"], "least_cosine": least["cosine_avg"]}
    between = least["node"] not in (first["node"], output["node"])
    sentence = f"similarity is first below {POOR} at {first['node']} ({first['cosine_avg']:.4f})"
    sentence += f", least at {least['node']} ({least['cosine_avg']:.4f})" if between else ""
    sentence += f", {output['cosine_avg']:.4f} at the end"
    alone = min(rows, key=lambda row: row["isolated_cosine"]) if fall.similarity.has_sources else None
    if alone is None or alone["isolated_cosine"] >= POOR or _error_share(alone, fall.similarity) <= MIN_ERROR_SHARE:
        return Finding("falls", first["node"], sentence + fall.side, evidence, fall.cure)
    sentence += (
        f"; {alone['node']} is the poorest alone, {alone['isolated_cosine']:.4f}{_in_words(_narrow_sides(params))}"
    )
    cure = skip_override([*quant.skip_nodes, alone["node"]])
    effect = Effect("isolated cosine", alone["isolated_cosine"], 1.0)
    return Finding("falls", alone["node"], sentence, evidence, cure, effect)


def _accumulates(fall: _Fall) -> Finding:
    sentence = (
        f"error accumulates: the output has {fall.similarity.output['cosine_avg']:.4f}, "
        f"the first layer that is poor is {fall.first_poor['node']}{fall.side}"
    )
    return Finding("accumulates", None, sentence, fall.evidence, fall.cure)


def _error_share(row: Row, similarity: Similarity) -> float:
    """The part of all layers' errors that one makes."""
    errors = [10.0 ** (-each["isolated_sqnr"] / 10.0) for each in similarity.rows]
    return float(10.0 ** (-row["isolated_sqnr"] / 10.0) / sum(errors))


def _worse_side(output: Row, params: NetworkParams) -> tuple[str, str]:
    """Which side costs more at the output, and words for it.

    Without the columns that tell it is the only one of few bits, else features, which cost more often.
    """
    narrow = _narrow_sides(params)
    if "feature_cosine" not in output:
        return "weights" if list(narrow) == ["weights"] else "features", _in_words(narrow)
    side = "features" if output["feature_cosine"] <= output["weight_cosine"] else "weights"
    alone = f"features alone give {output['feature_cosine']:.4f} there, weights alone {output['weight_cosine']:.4f}"
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
    now = quant.feature_bits if side == "features" else quant.weight_bits
    key = "feature_bits" if side == "features" else "weight_bits"
    known = {bits for operator in soc.operators.values() for bits in getattr(operator, key)}
    wider = sorted(bits for bits in known if bits > now)
    return f"quant.{key}={wider[0]}" if coded and wider else None
