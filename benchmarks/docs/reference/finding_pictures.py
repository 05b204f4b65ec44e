"""How findings look in the report: its own plots, of numbers that are made up to show one finding each."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.compare.gather.comparison import Row
from stages.compare.gather.observed_boxes import ObservedBoxes, PictureBoxes
from stages.core.heads.detections import Detections
from stages.core.statistics.histogram import TensorCollector

__all__ = ["PICTURES"]

NODES = 40
SOUND_COSINE, SOUND_SQNR = 0.998, 38.0
FALL, FALLEN = 22, 0.93
THRESHOLD = 0.3


def _rows(cosines: Sequence[float], alone: Mapping[int, float] | None = None) -> list[Row]:
    """A similarity table: the cosine over depth, and the SQNR of the layers that are poor alone."""
    noise = np.random.default_rng(0).uniform(-4, 4, len(cosines))
    rows: list[Row] = []
    for depth, cosine in enumerate(cosines):
        sqnr = -200.0 if cosine == 0 else -10 * np.log10(max(2 * (1 - cosine), 1e-6))
        isolated = (alone or {}).get(depth, SOUND_SQNR + float(noise[depth]))
        spread = 0.0 if cosine in (0, 1) else 0.3 * (1 - cosine)
        rows.append({
            "node": f"/layer.{depth}/Conv", "cosine_avg": cosine, "cosine_min": cosine - spread,
            "cosine_max": min(1.0, cosine + spread), "sqnr": float(sqnr), "isolated_sqnr": max(isolated, float(sqnr)),
        })  # fmt: skip
    return rows


def _curve(cosines: Sequence[float], named: Sequence[int] = (), alone: Mapping[int, float] | None = None) -> str:
    from stages.compare.render.depth_plots import similarity_plot  # noqa: PLC0415  loads matplotlib

    names = [f"/layer.{depth}/Conv" for depth in named]
    return similarity_plot(_rows(cosines, alone), "", names, names)


def _histogram(values: NDArray[np.float64], low: float, high: float) -> str:
    from stages.compare.render.panel_plots import histogram_plot  # noqa: PLC0415  loads matplotlib

    collector = TensorCollector()
    collector.add(np.array([[values]], np.float32))
    return histogram_plot(collector.finish(), low, high)


def _layer_values(size: int = 20_000) -> NDArray[np.float64]:
    return np.abs(np.random.default_rng(1).normal(0, 1.2, size))


def _joined_parts() -> str:
    """Boxes in pixels and scores in 0..1 of one tensor."""
    draw = np.random.default_rng(2)
    return _histogram(np.concatenate([draw.uniform(0, 320, 4000), draw.beta(0.3, 6, 16_000)]), 0.0, 320.0)


def _far_below_zero() -> str:
    """Logits of places: most far below 0, some at it, and a few places where something is found."""
    draw = np.random.default_rng(5)
    return _histogram(np.concatenate([-draw.exponential(500, 4000), draw.normal(-3.5, 1, 16_000)]), -4770.0, 0.0)


def _imbalanced() -> str:
    from stages.compare.render.panel_plots import channel_plot  # noqa: PLC0415  loads matplotlib

    widths = np.random.default_rng(3).uniform(0.3, 0.9, 64)
    widths[[5, 17]] = (14.0, 9.0)
    return channel_plot(np.zeros(64), widths, [0.0], [14.0], "feature")


def _scores(
    quantized: Callable[[NDArray[np.float64]], NDArray[np.float64]], low: float = 0.32, high: float = 0.95
) -> str:
    from stages.compare.render.box_plots import score_plot  # noqa: PLC0415  loads matplotlib

    scores = np.sort(np.random.default_rng(4).uniform(low, high, 24))[::-1]
    corners = np.stack([np.arange(24) * 20.0, np.zeros(24), np.arange(24) * 20.0 + 15.0, np.full(24, 15.0)], axis=1)

    def found(values: NDArray[np.float64]) -> Detections:
        return Detections(corners.astype(np.float32), values.astype(np.float32), np.zeros(24, np.int64))

    picture = PictureBoxes("photo.jpg", None, found(scores), found(quantized(scores)), None, THRESHOLD)
    return score_plot(ObservedBoxes("YOLOv8-like", THRESHOLD, [picture]))


def _falls(depth: int, before: float, after: float) -> list[float]:
    return [before if index < depth else after for index in range(NODES)]


PICTURES: Mapping[str, Callable[[], str]] = {
    "not_finite": lambda: _curve(_falls(FALL, SOUND_COSINE, 0.0), [FALL]),
    "unquantized": lambda: _curve([1.0] * NODES),
    "parts": _joined_parts,
    "few_codes": _far_below_zero,
    "input": lambda: _scores(lambda scores: scores * 0.99, THRESHOLD, 0.42),
    "calibration": lambda: _histogram(_layer_values(), 0.0, 2.0),
    "range": lambda: _histogram(_layer_values(), 0.0, 60.0),
    "bit_width": lambda: _curve(_falls(FALL, SOUND_COSINE, 0.96), [FALL], {FALL: 11.0}),
    "channel_imbalance": _imbalanced,
    "first_layer": lambda: _curve([0.985 - 0.0005 * depth for depth in range(NODES)], [0], {0: 15.0}),
    "falls": lambda: _curve(_falls(FALL, SOUND_COSINE, FALLEN), [FALL], {FALL: 9.0}),
    "accumulates": lambda: _curve([0.9995 - 0.0012 * depth for depth in range(NODES)]),
    "boxes": lambda: _scores(lambda scores: np.where(np.arange(24) % 3 == 0, 0.1, scores * 0.93)),
    "scores": lambda: _scores(lambda scores: np.round(scores * 3) / 3),
    "debug": lambda: _curve([0.9998] * NODES),
}
"""Kind of a finding -> what draws it, as SVG."""
