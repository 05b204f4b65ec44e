"""Reading a Caffe network: prototxt and caffemodel to ONNX, compared with OpenCV's reading of the same files."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.console import console
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.sources import SourceFile
from stages.core.config.schema import ModelConfig
from stages.core.data.inputs import assign_names, resolve_inputs
from stages.core.data.model_files import ModelFiles
from stages.core.graph.session import Runner, with_outputs
from stages.export.shapes import UnknownShapeError
from stages.export.sources.caffe.caffemodel import read_weights
from stages.export.sources.caffe.layers.converters import CONVERTERS
from stages.export.sources.caffe.network import Layer, Network, ending_at, read_network
from stages.export.sources.caffe.opencv import opencv_outputs
from stages.export.sources.caffe.prototxt import parse_text
from stages.export.sources.convert_layers import convert_layers
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.source_network import SourceNetwork
from stages.export.verify import largest_difference, random_feeds

__all__ = ["read_caffe"]


def read_caffe(config: ModelConfig, files: ModelFiles) -> SourceNetwork:
    """Read a network of Caffe.

    Args:
        config: its inputs, whose shapes go before those of the prototxt.
        files: the prototxt and the caffemodel.

    Raises:
        UserError: if the files are damaged, a layer is not known, or an input has no shape.
    """
    prototxt = next(file for file in files.others if file.name.lower().endswith((".prototxt", ".prototxt.txt")))
    caffemodel = files.main
    weights = read_weights(caffemodel.read(), caffemodel.name)
    network = ending_at(read_network(parse_text(prototxt.read(), prototxt.name), weights), config.outputs)
    _require_weights(network, weights, caffemodel.name)
    configured = assign_names(config.inputs, list(network.inputs))
    shapes = _input_shapes(network, {name: one.shape for name, one in configured.items()}, prototxt.name)
    graph = GraphBuilder(reserved=network.producers)
    for one, shape in shapes.items():
        graph.input(one, shape)
    convert_layers(graph, network.layers, CONVERTERS, prototxt.name)
    outputs = [name for name in network.outputs if graph.value(name) is None]
    model = graph.model(outputs)
    for layer in network.layers:
        if layer.kind == "detectionoutput":
            console.print(
                f"{layer.where}: its NMS is left out; {layer.outputs[0]} are corners in parts of the picture, "
                f"{layer.outputs[1]} the classes' scores"
            )
    feeds = random_feeds(resolve_inputs(config.inputs, shapes))
    return SourceNetwork(model, _difference(model, network, feeds, (prototxt, caffemodel)))


def _require_weights(network: Network, weights: Mapping[str, Sequence[NDArray[np.float32]]], name: str) -> None:
    """Refuse files that do not belong together: a weighted layer of the one is not in the other."""
    for layer in network.layers:
        weighted = layer.kind in ("convolution", "deconvolution", "innerproduct", "prelu", "batchnorm")
        if weighted and not layer.blobs:
            raise UserError(
                f"model.source: {name} has no weights for {layer.where}, so that the two files are not of one network; "
                f"{did_you_mean(layer.name, weights)}"
            )


def _input_shapes(
    network: Network, configured: Mapping[str, Sequence[int] | None], name: str
) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs: configured, else the file's with batch 1."""
    batch = next((shape[0] for shape in network.inputs.values() if shape and len(shape) == 4), 1)
    shapes = {}
    for one, shape in network.inputs.items():
        wanted = configured[one]
        if wanted:
            shapes[one] = tuple(wanted)
        elif shape and min(shape) > 0:
            shapes[one] = (1, *shape[1:]) if shape[0] == batch else shape
        else:
            raise UnknownShapeError(
                one,
                f"model.inputs: {name} says no shape of the input {one!r}: give model.inputs[].shape, as [1,3,224,224]",
            )
    return shapes


def _difference(
    model: onnx.ModelProto,
    network: Network,
    feeds: Mapping[str, NDArray[np.float32]],
    files: Sequence[SourceFile],
) -> float:
    """Compare with OpenCV: all outputs, and what a DetectionOutput takes in place of what it gives."""
    odd = next((layer for layer in network.layers if _differs_in_opencv(layer)), None)
    if odd is not None:
        console.print(
            f"OpenCV computes {odd.where} in a way of its own, so that no other runtime has checked how "
            f"{PurePosixPath(files[1].name).name} was read"
        )
        return 0.0
    tensors = _compared(network, model)
    layers = [_in_opencv(network, tensor) for tensor in tensors]
    expected = opencv_outputs([file.read() for file in files], feeds, layers)
    if isinstance(expected, str):
        console.print(
            f"OpenCV cannot run {PurePosixPath(files[1].name).name}, so that no other runtime has checked how it was "
            f"read: {expected}"
        )
        return 0.0
    computed = Runner(with_outputs(model, tensors), optimize="none").run(dict(feeds))
    return max(
        largest_difference(
            array.reshape(computed[tensor].shape) if array.size == computed[tensor].size else array, computed[tensor]
        )
        for tensor, array in zip(tensors, expected, strict=True)
    )


def _differs_in_opencv(layer: Layer) -> bool:
    """Whether OpenCV 4.14 does something else than Caffe: it takes no k of an LRN, and has an MVN's eps in the root."""
    if layer.kind == "lrn":
        return layer.message.message("lrn_param").number("k", 1.0) != 1.0
    return layer.kind == "mvn" and layer.message.message("mvn_param").number("eps", 1e-9) != 1e-9


def _compared(network: Network, model: onnx.ModelProto) -> list[str]:
    """Tensors to compare: a Softmax or a Sigmoid at the end hides differences, so that what it takes is among them."""
    known = {name for node in model.graph.node for name in node.output}
    tensors: dict[str, None] = {}
    for layer in network.layers:
        outputs = [name for name in layer.outputs if name in network.outputs]
        if outputs and layer.kind in ("detectionoutput", "softmax", "sigmoid"):
            tensors |= dict.fromkeys(layer.inputs[:2])
        if layer.kind != "detectionoutput":
            tensors |= dict.fromkeys(outputs)
    return [name for name in tensors if name in known]


def _in_opencv(network: Network, tensor: str) -> tuple[str, int]:
    """Name of the layer in OpenCV that gives a tensor, and the number of its output."""
    layer = next((one for one in network.layers if tensor in one.outputs), None)
    return network.producers[tensor], layer.outputs.index(tensor) if layer else 0
