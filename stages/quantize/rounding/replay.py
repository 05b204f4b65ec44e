"""Running a network subgraph by subgraph over all pictures, in float and quantized side by side.

Tensors between subgraphs lie in files, so that memory does not grow with the number of pictures, and each layer runs
once, whatever happens between subgraphs.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.threads import thread_count
from stages.core.graph.session import Runner
from stages.core.integer.network_params import FeatureParams, NetworkParams
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.partition.subgraphs import Subgraph

__all__ = ["Replay", "TensorFiles", "advance", "fake_quantize"]

Array = NDArray[np.float32]
PICTURES_PER_THREAD = 4
"""Pictures whose tensors wait in memory, for each thread, before they are written."""


class TensorFiles:
    """Tensors of all pictures, a file each, read and written one picture at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._paths: dict[str, Path] = {}
        self._records: dict[tuple[str, int], tuple[int, np.dtype[Any], tuple[int, ...]]] = {}  # offset, type, shape
        self._file_count = 0

    def write(self, name: str, index: int, value: NDArray[Any]) -> None:
        """Store one picture's tensor of any type and shape; not from several threads at once."""
        if name not in self._paths:
            self._paths[name] = self._folder / str(self._file_count)
            self._file_count += 1
        with self._paths[name].open("ab", buffering=0) as file:
            self._records[name, index] = file.tell(), value.dtype, value.shape
            np.ascontiguousarray(value).tofile(file)

    def read(self, name: str, index: int) -> NDArray[Any]:
        """Give one picture's tensor as it was written."""
        offset, dtype, shape = self._records[name, index]
        count = int(np.prod(shape))
        return np.fromfile(self._paths[name], dtype=dtype, count=count, offset=offset).reshape(shape)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all other tensors."""
        kept = set(names)
        for name in set(self._paths) - kept:
            self._paths.pop(name).unlink()
        self._records = {key: record for key, record in self._records.items() if key[0] in kept}


class Replay:
    """The inputs of the next subgraph on every picture: in float, and from the quantized subgraphs before it.

    A tensor that nodes in float read lies unrounded in `quantized`; `input_of` rounds it for the others.

    Args:
        folder: where the tensors lie.
        feeds: network inputs, picture by picture.
        features: tensor -> parameters, as they stand at any time.

    Attributes:
        float: tensors of the float network.
        quantized: tensors of the quantized network.
        count: number of pictures.
    """

    def __init__(
        self, folder: Path, feeds: Iterable[Mapping[str, Array]], features: Mapping[str, FeatureParams]
    ) -> None:
        self.float, self.quantized = TensorFiles(folder / "float"), TensorFiles(folder / "quantized")
        self._features = features
        self.count = 0
        for feed in feeds:
            for name, value in feed.items():
                self.float.write(name, self.count, value)
                params = features.get(name)
                kept = value if params is None or params.float_consumers else fake_quantize(value, params)
                self.quantized.write(name, self.count, kept)
            self.count += 1

    def advance_float(self, subgraph: Subgraph, model: onnx.ModelProto) -> None:
        """Run the next subgraph in float on all pictures."""
        advance(subgraph, self.float, Runner(model), self.count)

    def advance_quantized(self, subgraph: Subgraph, model: onnx.ModelProto, features: Sequence[FeatureParams]) -> None:
        """Run it quantized: `model` has its weights on their grid, `features` are its inputs and outputs."""
        quantized = insert_quantizers(model, NetworkParams(features, []), {})
        read_in_float = {feature.tensor for feature in features if feature.float_consumers}
        for output in quantized.graph.output:
            if output.name in read_in_float:
                output.name = f"{output.name}/float"
        advance(subgraph, self.quantized, Runner(quantized, optimize="none"), self.count)

    def input_of(self, node: onnx.NodeProto, index: int) -> Array:
        """Read a node's first input on one picture, from the quantized layers before it, as the node takes it."""
        value, params = self.quantized.read(node.input[0], index), self._features.get(node.input[0])
        if params is None or not params.float_consumers or node.name in params.float_consumers:
            return value
        return fake_quantize(value, params)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all tensors but these."""
        names = set(names)
        self.float.keep(names)
        self.quantized.keep(names)


def advance(subgraph: Subgraph, files: TensorFiles, runner: Runner, count: int) -> None:
    """Run a subgraph on the first `count` pictures of its inputs' files, and store its outputs.

    The runner has one thread, and each picture goes by itself: results do not depend on the number of cores.
    """

    def run(index: int) -> list[Array]:
        return list(runner.run({name: files.read(name, index) for name in subgraph.inputs}).values())

    threads = thread_count()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, count, threads * PICTURES_PER_THREAD):
            indices = range(start, min(start + threads * PICTURES_PER_THREAD, count))
            for index, outputs in zip(indices, pool.map(run, indices), strict=True):
                for name, value in zip(subgraph.outputs, outputs, strict=True):
                    files.write(name, index, value)


def fake_quantize(values: Array, params: FeatureParams) -> Array:
    """Quantize and dequantize."""
    scale = params.quant_params.broadcast_scale(values.ndim)
    codes = np.clip(np.rint(values / scale) + params.zero_point, 0, params.quant_params.qmax)
    quantized: Array = ((codes - params.zero_point) * scale).astype(np.float32)
    return quantized
