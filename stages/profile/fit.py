"""Fitting a SOC's cost model to measured layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from stages.core.cost import BYTES_PER_MEGABYTE, MACS_PER_GMAC, CostModel, LayerWork, bytes_moved, layer_key

__all__ = ["Fit", "Sample", "fit_cost"]


@dataclass(frozen=True)
class Sample:
    """A measured layer.

    Attributes:
        work: what it does.
        feature_bits: width of its features.
        weight_bits: width of its weights.
        ms: what the board took.
        known: whether the layer is one of the network's, under `work.node`.
    """

    work: LayerWork
    feature_bits: int
    weight_bits: int
    ms: float
    known: bool = False

    @property
    def bit_widths(self) -> str:
        """The key of its price."""
        return layer_key(self.work, self.feature_bits, self.weight_bits)

    @property
    def megabytes(self) -> float:
        """2^20 bytes moved at these widths."""
        return bytes_moved(self.work, self.feature_bits, self.feature_bits, self.weight_bits) / BYTES_PER_MEGABYTE


@dataclass(frozen=True)
class Fit:
    """A cost model and how well it fits.

    Attributes:
        model: it.
        error: mean absolute difference to a layer's time, ms.
        share: the differences' sum as a share of the time.
        unseen: widths whose price is not measured but scaled from another cost file's.
    """

    model: CostModel
    error: float
    share: float
    unseen: tuple[str, ...]


def fit_cost(samples: Sequence[Sample], name: str, note: str, base: CostModel | None = None) -> Fit:
    """Fit prices by least squares, none below zero.

    Minimizes sum((ms - price[widths]*GMAC - per_mbyte*MiB - per_layer)^2) over all samples with the active-set method
    of Lawson and Hanson (scipy's `nnls`). The mean time of each of the network's layers goes into `measured`.

    Args:
        samples: at least one; their widths may differ.
        name: the SOC.
        note: where the measurement comes from.
        base: gives prices for widths that no sample has (its own, times fitted over its own price of those that have
            one) and measured times at those widths.
    """
    keys = sorted({sample.bit_widths for sample in samples if sample.work.macs})
    matrix = np.zeros((len(samples), len(keys) + 2))
    for row, sample in zip(matrix, samples, strict=True):
        if sample.work.macs:
            row[keys.index(sample.bit_widths)] = sample.work.macs / MACS_PER_GMAC
        row[-2], row[-1] = sample.megabytes, 1
    times = np.array([sample.ms for sample in samples])
    scale = np.maximum(np.abs(matrix).max(axis=0), np.finfo(float).tiny)  # columns of like size: well conditioned
    prices = nnls(matrix / scale, times)[0] / scale
    off = np.abs(matrix @ prices - times)
    *by_widths, per_mbyte, per_layer = (_rounded(price) for price in prices)
    fitted = dict(zip(keys, by_widths, strict=True))
    further = _further(fitted, base.ms_per_gmac if base else {})
    model = CostModel(name, note, fitted | further, per_mbyte, per_layer, _measured(samples, base))
    return Fit(model, float(off.mean()), float(off.sum() / max(times.sum(), np.finfo(float).tiny)), tuple(further))


def _rounded(value: float) -> float:
    """Six digits: more than any log has, and the same on every machine."""
    return float(f"{value:.6g}")


def _further(fitted: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    """Prices of widths that were not measured: another file's, scaled by what both have."""
    ratios = [fitted[key] / base[key] for key in fitted if base.get(key)]
    factor = sum(ratios) / len(ratios) if ratios else 1.0
    return {
        key: price if key == "32/32" else _rounded(price * factor) for key, price in base.items() if key not in fitted
    }


def _measured(samples: Sequence[Sample], base: CostModel | None) -> dict[str, dict[str, float]]:
    """Mean time of each of the network's layers at each pair of widths; further widths are the base's."""
    times: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        if sample.known:
            times.setdefault(sample.work.node, {}).setdefault(sample.bit_widths, []).append(sample.ms)
    found = {node: dict(at) for node, at in base.measured.items()} if base else {}
    for node, at in times.items():
        found.setdefault(node, {}).update({key: _rounded(sum(values) / len(values)) for key, values in at.items()})
    return found
