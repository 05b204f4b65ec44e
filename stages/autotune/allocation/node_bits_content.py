"""Node bits as the content of a file that `quant.node_bits` reads, and back."""

from collections.abc import Mapping
from typing import Any

from stages.quantize.quantizers.node_bits import FEATURE_BIT, MAX, MIN, WEIGHT_BIT, NodeBits

__all__ = ["from_content", "to_content"]


def to_content(by_node: Mapping[str, NodeBits]) -> dict[str, dict[str, Any]]:
    """Write node bits as `quant.node_bits` reads them."""
    return {name: _fields(bits) for name, bits in by_node.items()}


def _fields(bits: NodeBits) -> dict[str, Any]:
    low, high = bits.range or (None, None)
    fields = {FEATURE_BIT: bits.feature_bits, WEIGHT_BIT: bits.weight_bits, MIN: low, MAX: high}
    return {key: value for key, value in fields.items() if value is not None}


def from_content(content: Mapping[str, Mapping[str, Any]]) -> dict[str, NodeBits]:
    """Read what `to_content` wrote."""
    return {
        name: NodeBits(
            fields.get(FEATURE_BIT), fields.get(WEIGHT_BIT), (fields[MIN], fields[MAX]) if MIN in fields else None
        )
        for name, fields in content.items()
    }
