"""The vendor's mixed-precision file: node -> bit width, and range where the user sets it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stages.core.base.console import counted
from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.sources import open_source
from stages.core.base.texts import parse_json
from stages.core.config.bit_widths import check_bit_width
from stages.core.config.schema import FLOAT_BITS, SocConfig
from stages.core.integer.network_params import FeatureParams, NetworkParams

__all__ = ["NodeBits", "check_widths", "load_node_bits", "node_bits", "read_node_bits", "without"]

NODE_BITS_KEY = "quant.node_bits"
FLOAT32_MAX = float(np.finfo(np.float32).max)
FEATURE_BIT, WEIGHT_BIT, MIN, MAX = "QUANT_FEATURE_BIT", "QUANT_WEIGHT_BIT", "MIN", "MAX"


@dataclass(frozen=True)
class NodeBits:
    """What the file says of one node; None where it is silent.

    Attributes:
        feature_bits: bit width of the node's output; 32 keeps it in float.
        weight_bits: bit width of its weights; 32 keeps them in float. An addition of ours to the vendor's file.
        range: smallest and largest real value of its output.
    """

    feature_bits: int | None = None
    weight_bits: int | None = None
    range: tuple[float, float] | None = None

    def over(self, other: "NodeBits") -> "NodeBits":
        """These settings, and another's where these are silent."""
        given = {key: value for key, value in vars(self).items() if value is not None}
        return replace(other, **given)


def load_node_bits(source: str | None, known: Iterable[str], ranges: bool) -> dict[str, NodeBits]:
    """Read the file and check it against the network.

    Args:
        source: `quant.node_bits`, file:PATH; None for no file.
        known: names of the network's nodes and inputs.
        ranges: read MIN and MAX too.

    Raises:
        UserError: naming the file, the node and the key that is wrong.
    """
    by_node = read_node_bits(source, ranges) if source is not None else {}
    names = sorted(known)
    for name in by_node:
        if name not in names:
            raise UserError(f"{NODE_BITS_KEY}: {name}: no such node or input; {did_you_mean(name, names)}")
    return by_node


def read_node_bits(source: str, ranges: bool) -> dict[str, NodeBits]:
    """Read the file and check it as far as that needs no network.

    Args:
        source: `quant.node_bits`, file:PATH.
        ranges: read MIN and MAX too.

    Raises:
        UserError: naming the file, the node and the key that is wrong.
    """
    files = open_source(source, NODE_BITS_KEY)
    if len(files) != 1:
        raise UserError(
            f"{NODE_BITS_KEY}={source}: a folder or pattern of {counted(len(files), 'file')}; give one file"
        )
    try:
        content = parse_json(files[0].read())
    except ValueError as error:
        raise UserError(f"{NODE_BITS_KEY}={source}: is not JSON: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f'{NODE_BITS_KEY}={source}: give one group of keys a node: {{"NODE": {{"{FEATURE_BIT}": 8}}}}')
    return {name: _node_bits(f"{NODE_BITS_KEY}: {name}", keys, ranges) for name, keys in content.items()}


def check_widths(by_node: Mapping[str, NodeBits], soc: SocConfig) -> None:
    """Refuse bit widths that no operator of the SOC has; those of a node's operator are checked with the network.

    Raises:
        UserError: naming the node, the key, and the SOC's bit widths.
    """
    for name, node_bits in by_node.items():
        for key, side in ((FEATURE_BIT, "feature_bits"), (WEIGHT_BIT, "weight_bits")):
            if (bits := getattr(node_bits, side)) is not None:
                check_bit_width(f"{NODE_BITS_KEY}: {name}: {key}", bits, soc, side)


def without(
    by_node: Mapping[str, NodeBits], ignored: Sequence[str], layers: Iterable[Sequence[str]]
) -> dict[str, NodeBits]:
    """Leave out the node bits of some layers.

    Args:
        by_node: bit widths and ranges of single nodes.
        ignored: `quant.node_bits_ignore`: any node of each layer to leave out, or a network input.
        layers: the names of each layer's nodes.

    Raises:
        UserError: for a name whose layer has no node bits.
    """
    if not by_node:
        return {}  # no file any more
    members = {name: names for names in layers for name in names}
    left_out = set[str]()
    for name in ignored:
        of_layer = by_node.keys() & {name, *members.get(name, ())}
        if not of_layer:
            hint = did_you_mean(name, list(by_node))
            raise UserError(f"{NODE_BITS_KEY}_ignore: {name}: {NODE_BITS_KEY} has no entry for its layer; {hint}")
        left_out |= of_layer
    return {name: node_bits for name, node_bits in by_node.items() if name not in left_out}


def _node_bits(where: str, keys: Any, ranges: bool) -> NodeBits:
    if not isinstance(keys, dict):
        raise UserError(f"{where}: give keys {FEATURE_BIT}, {WEIGHT_BIT}, {MIN}, {MAX}")
    unknown = [key for key in keys if key not in (FEATURE_BIT, WEIGHT_BIT, MIN, MAX)]
    if unknown:
        raise UserError(f"{where}: no such key {unknown[0]}; give {FEATURE_BIT}, {WEIGHT_BIT}, {MIN} or {MAX}")
    for key in (FEATURE_BIT, WEIGHT_BIT):
        bits = keys.get(key)
        if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int)):
            raise UserError(f"{where}: {key}={bits}: give a number of bits, or {FLOAT_BITS} for float")
    return NodeBits(keys.get(FEATURE_BIT), keys.get(WEIGHT_BIT), _range(where, keys) if ranges else None)


def _range(where: str, keys: dict[str, Any]) -> tuple[float, float] | None:
    if MIN not in keys and MAX not in keys:
        return None
    low, high = keys.get(MIN), keys.get(MAX)
    for value in (low, high):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= FLOAT32_MAX:
            shown = ", ".join(f"{key}={json.dumps(keys[key])[:20]}" for key in (MIN, MAX) if key in keys)
            raise UserError(f"{where}: {shown}: give both, as finite numbers")
    assert low is not None
    assert high is not None
    if not low < high:
        raise UserError(f"{where}: {MIN}={low}, {MAX}={high}: {MIN} must be below {MAX}")
    return float(low), float(high)


def node_bits(
    params: NetworkParams, weight_bits: int, symmetric: bool, by_node: Mapping[str, NodeBits]
) -> dict[str, dict[str, float | int]]:
    """Write the parameters as such a file: loading it again gives the same network, except for scales a channel.

    Args:
        params: of the network; features that pass another's codes on are left out.
        weight_bits: the bit width of most weights; only others are written, since the vendor's file has none.
        symmetric: the SOC's signed features use no lowest code, so that their range is symmetric.
        by_node: of the file that was loaded: nodes that it keeps in float are written again.
    """
    content: dict[str, dict[str, float | int]] = {
        feature.node: {
            FEATURE_BIT: feature.bits,
            **dict(zip((MIN, MAX), _written_range(feature, symmetric), strict=True)),
        }
        for feature in params.features
        if feature.method.is_chosen
    }
    for name, asked in by_node.items():
        for key, bits in ((FEATURE_BIT, asked.feature_bits), (WEIGHT_BIT, asked.weight_bits)):
            if bits == FLOAT_BITS:
                content.setdefault(name, {})[key] = FLOAT_BITS
    for weight in params.weights:
        if weight.bits != weight_bits:
            content.setdefault(weight.node, {})[WEIGHT_BIT] = weight.bits
    return content


def _written_range(feature: FeatureParams, symmetric: bool) -> tuple[float, float]:
    """The range of a feature with one scale; of one with a scale a channel the seen range, as far as its codes reach.

    The channels' common zero point would widen the range of a single scale.
    """
    if symmetric and feature.zero_point:
        return -feature.high, feature.high
    low, high = max(feature.low, min(feature.seen_low, 0.0)), min(feature.high, max(feature.seen_high, 0.0))
    return (low, high) if feature.channel_scales and low < high else (feature.low, feature.high)
