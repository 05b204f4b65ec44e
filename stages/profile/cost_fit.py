"""Fitting a SOC's cost model to measured layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from stages.core.cost import MACS_PER_GMAC, CostModel
from stages.profile.measured_layers import MeasuredLayer

__all__ = ["CostFit", "fit_cost"]


@dataclass(frozen=True)
class CostFit:
    """A cost model and how well it fits.

    Attributes:
        model: it.
        error: mean absolute difference to a layer's time, ms.
        share: the differences' sum as a share of the time.
        unseen: bit widths whose price is not measured but scaled from another cost file's.
    """

    model: CostModel
    error: float
    share: float
    unseen: tuple[str, ...]


def fit_cost(layers: Sequence[MeasuredLayer], name: str, note: str, base: CostModel | None = None) -> CostFit:
    """Fit prices by least squares, none below zero.

    Minimizes sum((ms - price[bit widths]*GMAC - per_mbyte*MiB - per_layer)^2) over all layers with the active-set
    method of Lawson and Hanson (scipy's `nnls`). The mean time of each of the network's layers goes into `measured`.

    Args:
        layers: at least one; their bit widths may differ.
        name: the SOC.
        note: where the measurement comes from.
        base: gives prices for bit widths that no layer has (its own, times fitted over its own price of those that have
            one) and measured times at those bit widths.
    """
    keys = sorted({layer.bit_widths for layer in layers if layer.work.macs})
    matrix = np.zeros((len(layers), len(keys) + 2))
    for row, layer in zip(matrix, layers, strict=True):
        if layer.work.macs:
            row[keys.index(layer.bit_widths)] = layer.work.macs / MACS_PER_GMAC
        row[-2], row[-1] = layer.megabytes, 1
    times = np.array([layer.ms for layer in layers])
    scale = np.maximum(np.abs(matrix).max(axis=0), np.finfo(float).tiny)  # columns of like size: well conditioned
    prices = nnls(matrix / scale, times)[0] / scale
    off = np.abs(matrix @ prices - times)
    *per_gmac, per_mbyte, per_layer = (_rounded(price) for price in prices)
    fitted = dict(zip(keys, per_gmac, strict=True))
    further = _further(fitted, base.ms_per_gmac if base else {})
    model = CostModel(name, note, fitted | further, per_mbyte, per_layer, _measured(layers, base))
    return CostFit(model, float(off.mean()), float(off.sum() / max(times.sum(), np.finfo(float).tiny)), tuple(further))


def _rounded(value: float) -> float:
    """Six digits: more than any log has, and the same on every machine."""
    return float(f"{value:.6g}")


def _further(fitted: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    """Prices of bit widths that were not measured: another file's, scaled by what both have."""
    ratios = [fitted[key] / base[key] for key in fitted if base.get(key)]
    factor = sum(ratios) / len(ratios) if ratios else 1.0
    return {
        key: price if key == "32/32" else _rounded(price * factor) for key, price in base.items() if key not in fitted
    }


def _measured(layers: Sequence[MeasuredLayer], base: CostModel | None) -> dict[str, dict[str, float]]:
    """Mean time of each of the network's layers at each pair of bit widths; further ones are the base's."""
    times: dict[str, dict[str, list[float]]] = {}
    for layer in layers:
        if layer.known:
            times.setdefault(layer.work.node, {}).setdefault(layer.bit_widths, []).append(layer.ms)
    measured = {node: dict(at) for node, at in base.measured.items()} if base else {}
    for node, at in times.items():
        measured.setdefault(node, {}).update({key: _rounded(sum(values) / len(values)) for key, values in at.items()})
    return measured
