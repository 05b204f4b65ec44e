"""What calibration learns about every tensor: one file, no bit width in it, so that a sweep calibrates once."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.core.base.checksums import ARCHIVE_ERRORS, parsing, read_bytes

__all__ = ["HISTOGRAM_BINS", "TensorStatistics", "load_statistics", "save_statistics"]

HISTOGRAM_BINS = 4096
"""Bins of a histogram. Their width is a power of two, so between a half and all of them cover the range."""


@dataclass(frozen=True)
class TensorStatistics:
    """Statistics of one tensor over all calibration pictures.

    Attributes:
        low: smallest value.
        high: largest value.
        histogram: int64 [HISTOGRAM_BINS], how many values fell into each bin.
        exponent: a bin is 2**exponent wide.
        first: bin i covers [first + i, first + i + 1) * 2**exponent.
        channel_low: float32 [C], smallest value of each channel (axis 1).
        channel_high: float32 [C].
        channel_mean: float64 [C].
    """

    low: float
    high: float
    histogram: NDArray[np.int64]
    exponent: int
    first: int
    channel_low: NDArray[np.float32]
    channel_high: NDArray[np.float32]
    channel_mean: NDArray[np.float64]

    @property
    def width(self) -> float:
        """Width of a bin."""
        return float(2.0**self.exponent)

    @property
    def edges(self) -> NDArray[np.float64]:
        """float64 [HISTOGRAM_BINS + 1], the edges of the bins."""
        return np.arange(self.first, self.first + HISTOGRAM_BINS + 1, dtype=np.float64) * self.width


def save_statistics(path: Path, statistics: Mapping[str, TensorStatistics], pictures: int) -> None:
    """Write all tensors' statistics as one npz; the same content gives the same bytes."""
    tensors = list(statistics.values())
    channels = [len(tensor.channel_low) for tensor in tensors]

    def joined(parts: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
        return np.concatenate(parts) if parts else np.zeros(0)

    with path.open("wb") as file:
        np.savez_compressed(
            file,
            tensors=np.array(list(statistics), dtype=np.str_),
            pictures=np.int64(pictures),
            low=np.array([tensor.low for tensor in tensors], dtype=np.float32),
            high=np.array([tensor.high for tensor in tensors], dtype=np.float32),
            histogram=np.array([tensor.histogram for tensor in tensors], dtype=np.int64).reshape(-1, HISTOGRAM_BINS),
            exponent=np.array([tensor.exponent for tensor in tensors], dtype=np.int64),
            first=np.array([tensor.first for tensor in tensors], dtype=np.int64),
            channels=np.array(channels, dtype=np.int64),
            channel_low=joined([tensor.channel_low for tensor in tensors]),
            channel_high=joined([tensor.channel_high for tensor in tensors]),
            channel_mean=joined([tensor.channel_mean for tensor in tensors]),
        )


def load_statistics(path: Path) -> dict[str, TensorStatistics]:
    """Read what `save_statistics` wrote: tensor name -> statistics, in graph order.

    Raises:
        UserError: if the file is missing or damaged.
    """
    content = io.BytesIO(read_bytes(path))
    with parsing(path):
        try:
            with np.load(content, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (AttributeError, *ARCHIVE_ERRORS) as error:
            raise ValueError("it is no npz file") from error
        ends = np.cumsum(arrays["channels"])
        spans = [slice(end - count, end) for end, count in zip(ends, arrays["channels"], strict=True)]
        return {
            _name(name): TensorStatistics(
                low=float(arrays["low"][i]),
                high=float(arrays["high"][i]),
                histogram=arrays["histogram"][i],
                exponent=int(arrays["exponent"][i]),
                first=int(arrays["first"][i]),
                channel_low=arrays["channel_low"][spans[i]],
                channel_high=arrays["channel_high"][spans[i]],
                channel_mean=arrays["channel_mean"][spans[i]],
            )
            for i, name in enumerate(arrays["tensors"])
        }


def _name(held: np.str_) -> str:
    """A tensor's name; NumPy also reads what is no character, which nobody could print."""
    return str(held).encode().decode()
