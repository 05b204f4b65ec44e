"""Running a network piece by piece over all pictures, in float and quantized side by side.

What a piece hands to later ones lies in files, so that memory does not grow with the number of pictures, and each layer
runs once, whatever happens between pieces.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.qparams import FeatureParams, QuantParams
from stages.core.session import Runner
from stages.quantize.pieces import Piece
from stages.quantize.qdq import insert_quantizers

__all__ = ["Replay", "TensorFiles", "fake_quantize"]

Array = NDArray[np.float32]


class TensorFiles:
    """Tensors of all pictures, a file each, read and written one picture at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._paths: dict[str, Path] = {}
        self._made = 0

    def write(self, name: str, index: int, value: Array) -> None:
        """Store one picture's tensor, float32 [1, ...]."""
        if name not in self._paths:
            self._paths[name] = self._folder / f"{self._made}.f32"
            self._made += 1
            self._paths[name].touch()
            self._shapes[name] = value.shape
        with self._paths[name].open("r+b") as file:
            file.seek(index * value.nbytes)
            file.write(np.ascontiguousarray(value, dtype=np.float32).tobytes())

    def read(self, name: str, index: int) -> Array:
        """Give one picture's tensor."""
        shape = self._shapes[name]
        size = int(np.prod(shape))
        return np.fromfile(self._paths[name], dtype=np.float32, count=size, offset=index * size * 4).reshape(shape)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all other tensors."""
        for name in set(self._paths) - set(names):
            self._paths.pop(name).unlink()
            del self._shapes[name]


class Replay:
    """What the next piece takes, of every picture: in float, and as the quantized pieces before it make it."""

    def __init__(
        self, folder: Path, feeds: Iterable[Mapping[str, Array]], features: Mapping[str, FeatureParams]
    ) -> None:
        self.float, self.quantized = TensorFiles(folder / "float"), TensorFiles(folder / "quantized")
        self.count = 0
        for feed in feeds:
            for name, value in feed.items():
                self.float.write(name, self.count, value)
                given = features.get(name)
                self.quantized.write(name, self.count, fake_quantize(value, given) if given else value)
            self.count += 1
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def advance_float(self, piece: Piece, model: onnx.ModelProto) -> None:
        """Run the next piece in float on all pictures."""
        self._advance(piece, self.float, Runner(model, threads=1))

    def advance_quantized(self, piece: Piece, model: onnx.ModelProto, features: Sequence[FeatureParams]) -> None:
        """Run it quantized: `model` has its weights on their grid, `features` are all that it takes and makes."""
        quantized = insert_quantizers(model, QuantParams(features, []), {})
        self._advance(piece, self.quantized, Runner(quantized, optimize="none", threads=1))

    def _advance(self, piece: Piece, files: TensorFiles, runner: Runner) -> None:
        # sessions of one thread, a picture each: results do not depend on the number of cores
        def run(index: int) -> dict[str, Array]:
            return runner.run({name: files.read(name, index) for name in piece.inputs})

        for index, made in enumerate(self._pool.map(run, range(self.count))):
            for name, value in made.items():
                files.write(name, index, value)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all tensors but these."""
        names = set(names)
        self.float.keep(names)
        self.quantized.keep(names)


def fake_quantize(values: Array, params: FeatureParams) -> Array:
    """Quantize and dequantize."""
    scales = params.scales.reshape([1, -1, *[1] * (values.ndim - 2)]) if params.channel_scales else params.scales
    codes = np.clip(np.rint(values / scales) + params.zero_point, 0, 2**params.bits - 1)
    quantized: Array = ((codes - params.zero_point) * scales).astype(np.float32)
    return quantized
