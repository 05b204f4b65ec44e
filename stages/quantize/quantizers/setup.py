"""The quantizers of a network: which tensors are quantized, at which bit widths."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stages.quantize.partition.layers import Layer

__all__ = ["FeatureQuantizer", "QuantizerSetup", "WeightQuantizer"]


@dataclass(frozen=True)
class FeatureQuantizer:
    """A feature to quantize.

    Attributes:
        tensor: its name; an initializer's for a constant operand.
        node: the node that computes it, or its own name.
        bits: bit width of its codes.
        source: the tensor whose range it has: itself unless its codes are passed on.
        range: the user's own range.
        per_channel: whether each channel may have its own scale.
        float_consumers: nodes that run in float and take its float values instead of its codes.
        wanted_bits: what the settings ask for; `bits` differs where the SOC's operators do not offer it.
        bit_widths: what mixed precision may choose from: all bit widths of the SOC that the operators around it, and
            around what shares its codes, do; in the first and last layers none below `quant.edge_bits`.
        fixed: whether the user's node bits give its bit width, which is then the only choice.
    """

    tensor: str
    node: str
    bits: int
    source: str
    range: tuple[float, float] | None = None
    per_channel: bool = False
    float_consumers: tuple[str, ...] = ()
    wanted_bits: int = field(default=0, compare=False)
    bit_widths: tuple[int, ...] = field(default=(), compare=False)
    fixed: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class WeightQuantizer:
    """A weight to quantize.

    Attributes:
        tensor: the initializer's name.
        node: the node that multiplies by it.
        bits: bit width of its codes.
        axis: its output-channel axis.
        output: the layer's output.
        wanted_bits, bit_widths, fixed: as for `FeatureQuantizer`.
    """

    tensor: str
    node: str
    bits: int
    axis: int
    output: str
    wanted_bits: int = field(default=0, compare=False)
    bit_widths: tuple[int, ...] = field(default=(), compare=False)
    fixed: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class QuantizerSetup:
    """All quantizers of a network, in graph order.

    Attributes:
        layers: all layers.
        integer: names of the layers that run in integers: all their features have codes, and their weight.
        float_reasons: name of a layer that cannot or shall not run in integers -> the reason.
        features: the quantized features.
        weights: the quantized weights.
        skipped: nodes that the user's settings keep in float.
        notes: lines for the report.
    """

    layers: list[Layer]
    integer: set[str]
    float_reasons: Mapping[str, str]
    features: list[FeatureQuantizer]
    weights: list[WeightQuantizer]
    skipped: list[str]
    notes: list[str]
