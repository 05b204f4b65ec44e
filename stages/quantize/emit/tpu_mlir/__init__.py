"""Lowering by the rules of TPU-MLIR: from the prepared network and the calibration table to the integers of the chip.

The converter chooses codes of weights, multipliers and shifts itself, from the float network and one threshold a
tensor. What it chooses follows from rules, docs/arithmetic.md, which are computed here; nothing is asked of it.
"""

from stages.core.config.schema import Requantization
from stages.quantize.emit.tpu_mlir import bm1684, cv18xx, elementwise, pools, tables, weighted
from stages.quantize.emit.tpu_mlir.weighted import Lowering

__all__ = ["LOWERINGS", "Lowering"]

LOWERINGS: dict[Requantization, dict[str, Lowering]] = {
    Requantization.sophgo: weighted.LOWERINGS | elementwise.LOWERINGS | pools.LOWERINGS | tables.LOWERINGS,
    Requantization.sophgo_cv18xx: cv18xx.LOWERINGS,
    Requantization.sophgo_bm1684: bm1684.LOWERINGS,
}
"""Rule of a SOC -> ONNX type -> its lowering; a type without one is lowered as for every SOC."""
