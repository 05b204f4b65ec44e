"""The interface of an adapter of another toolkit, and its arguments."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.data.inputs import NetworkInput, normalize

__all__ = ["Adapter", "Array", "Feeder", "Peer", "Pictures", "Predict", "input_name"]

Array = NDArray[np.float32]

Predict = Callable[[Array], Array]
"""Picture [1, C, H, W] -> the network's only output."""

Adapter = Callable[[Path, "Pictures", Path], Predict | None]
"""Float network, calibration pictures, target -> None if the adapter wrote an ONNX network to the target, else a
function that runs the quantized network. The adapter imports its toolkit itself."""


@dataclass(frozen=True)
class Peer:
    """A toolkit under one setting.

    Attributes:
        toolkit: its name in --peers.
        module: that is imported.
        setting: its name in --peers, after the toolkit's.
        weight_bits: for the row.
        feature_bits: for the row.
        adapter: calibrates and quantizes.
    """

    toolkit: str
    module: str
    setting: str
    weight_bits: int
    feature_bits: int
    adapter: Adapter

    @property
    def name(self) -> str:
        """Its name in the row."""
        return f"{self.toolkit} {self.setting}"


class Pictures(Sequence[Array]):
    """Pictures as the network reads them, [1, C, H, W], normalized on access, so that memory is the toolkit's own."""

    def __init__(self, path: Path, network_input: NetworkInput) -> None:
        self._samples = np.load(path, mmap_mode="r")
        self._input = network_input

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        return normalize(self._samples[index], self._input)


class Feeder:
    """Hands out pictures one by one, by the interface of ONNX Runtime's calibration, which other toolkits share."""

    def __init__(self, pictures: Sequence[Array], name: str) -> None:
        self._pictures, self._name = pictures, name
        self.rewind()

    def __len__(self) -> int:
        return len(self._pictures)

    def get_next(self) -> dict[str, Array] | None:
        """The next picture by input name; None after the last."""
        picture = next(self._rest, None)
        return None if picture is None else {self._name: picture}

    def rewind(self) -> None:
        """Begin again."""
        self._rest: Iterator[Array] = iter(self._pictures)

    def reset_iter(self) -> None:
        """Begin again, as Quark calls it."""
        self.rewind()


def input_name(model: Path | Any) -> str:
    """Name of a network's only input."""
    loaded = onnx.load(model, load_external_data=False) if isinstance(model, Path) else model
    return str(loaded.graph.input[0].name)
