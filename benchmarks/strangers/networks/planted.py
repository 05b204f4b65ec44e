"""Graphs that are changed before they are used."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantFormat, quantize_static

from benchmarks.detection.decoded_graph import decoded_graph
from benchmarks.strangers.stranger import Arrays, Material
from stages.core.base.sources import open_source

__all__ = ["YOLOX_FILE", "decoded", "quantized", "with_constants", "with_known_shape"]

YOLOX_FILE = "models/yolox_nano_416.onnx"


def decoded(material: Material, folder: Path) -> str:
    """Let YOLOX's graph decode its boxes to pixels and join them with the scores."""
    assert material.data is not None
    return _saved(decoded_graph(onnx.load(material.data / YOLOX_FILE)), folder)


def with_constants(material: Material, folder: Path, values: Mapping[str, float]) -> str:
    """Make constants of inputs that are settings.

    Args:
        material: with the network.
        folder: of the project.
        values: input -> its value.
    """
    model = _loaded(material)
    graph = model.graph
    for info in [info for info in graph.input if info.name in values]:
        graph.initializer.append(numpy_helper.from_array(np.array(values[info.name], np.float32), info.name))
        graph.input.remove(info)
    return _saved(model, folder)


def with_known_shape(material: Material, folder: Path, name: str, shape: Sequence[int]) -> str:
    """Put a constant where the graph asks for the shape of an input, which then may be cut off.

    Args:
        material: with the network.
        folder: of the project.
        name: the input's.
        shape: its shape.
    """
    model = _loaded(material)
    graph = model.graph
    for node in [node for node in graph.node if node.op_type == "Shape" and node.input[0] == name]:
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), node.output[0]))
        graph.node.remove(node)
    return _saved(model, folder)


def quantized(material: Material, folder: Path, feeds: list[Arrays]) -> str:
    """Quantize a network by ONNX Runtime's QDQ, as strangers publish it.

    Args:
        material: with the network.
        folder: of the project.
        feeds: that calibrate.
    """
    quantize_static(_loaded(material), str(folder / "planted.onnx"), _Feeds(feeds), QuantFormat.QDQ, per_channel=True)
    return "file:planted.onnx"


class _Feeds:
    """What ONNX Runtime calibrates on: it asks for no more than `get_next`."""

    def __init__(self, feeds: list[Arrays]) -> None:
        self._feeds: Iterator[dict[str, NDArray[Any]]] = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next feeds; None at the end."""
        return next(self._feeds, None)


def _loaded(material: Material) -> onnx.ModelProto:
    (file,) = open_source(material.network)
    return onnx.load_from_string(file.read())


def _saved(model: onnx.ModelProto, folder: Path) -> str:
    onnx.save(model, folder / "planted.onnx")
    return "file:planted.onnx"
