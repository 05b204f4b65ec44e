"""Which bit widths a SOC can do."""

from stages.core.base.errors import UserError
from stages.core.config.schema import FLOAT_BITS, Config, QuantConfig, SocConfig

__all__ = ["allowed_bit_widths", "check_bit_width", "check_edge_bits", "wider_bits"]

SIDES = ("feature_bits", "weight_bits")


def allowed_bit_widths(soc: SocConfig, side: str) -> list[int]:
    """Collect the bit widths that any of a SOC's operators runs at; `side` is "feature_bits" or "weight_bits"."""
    return sorted({bits for group in soc.operators.values() for bits in getattr(group, side)})


def wider_bits(side: str, soc: SocConfig, quant: QuantConfig) -> list[int]:
    """The bit widths of the SOC that are above those of the settings; `side` is "features" or "weights"."""
    key = f"{side.removesuffix('s')}_bits"
    return [bits for bits in allowed_bit_widths(soc, key) if bits > getattr(quant, key)]


def check_bit_width(key: str, bits: int, soc: SocConfig, side: str) -> None:
    """Refuse a bit width that no operator of the SOC has; `side` is "feature_bits" or "weight_bits".

    Raises:
        UserError: naming those that there are.
    """
    allowed, simulated = allowed_bit_widths(soc, side), getattr(soc.simulated, side)
    if bits not in (*allowed, *simulated, FLOAT_BITS):
        raise UserError(
            f"{key}={bits}: the {soc.name} cannot do {bits} bits; it can do {_listed(allowed, simulated)}; "
            f"{FLOAT_BITS} stands for float"
        )


def check_edge_bits(config: Config) -> None:
    """Refuse a `quant.edge_bits` that neither features nor weights have on the SOC.

    Raises:
        UserError: naming those that there are.
    """
    soc, bits = config.soc, config.quant.edge_bits
    allowed = sorted({bits for side in SIDES for bits in allowed_bit_widths(soc, side)})
    simulated = sorted({bits for side in SIDES for bits in getattr(soc.simulated, side)} - {*allowed})
    if bits not in (None, *allowed, *simulated):
        raise UserError(f"quant.edge_bits={bits}: the {soc.name} can do {_listed(allowed, simulated)}; null for none")


def _listed(allowed: list[int], simulated: list[int]) -> str:
    listed = ", ".join(map(str, allowed))
    return listed + (f" (on the PC also {', '.join(map(str, simulated))})" if simulated else "")
