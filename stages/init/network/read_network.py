"""What a network is: its exported graph, inputs, head and metadata, read with as little told as possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx

from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.config.schema import Color, InputConfig, ModelConfig
from stages.core.data.inputs import NetworkInput
from stages.core.data.labels import class_count
from stages.core.graph.onnx_graph import PICTURE_RANK, Graph
from stages.core.heads.head_file import ExportedHead
from stages.export import normalization
from stages.export.float_source import float_source
from stages.export.network import described, exported_network
from stages.export.shapes import UnknownShapeError, graph_shapes
from stages.export.sources.readers import read_source

__all__ = ["USUAL_SIDES", "ReadNetwork", "SourceGraph", "exported", "input_configs", "picture_color", "source_graph"]

USUAL_SIDES = (640, 224, 320, 256, 416, 512, 299, 384, 160, 128, 112, 96, 64, 48, 32, 28, 24)
"""Of square pictures, in the order in which they are tried: of networks that answer for each place, of classifiers."""
PICTURE_CHANNELS = (3, 1)
NEUTRAL = [127.5]
"""Mean and normal with which export checks a network whose own are not known yet: pixels become -1..1."""


@dataclass(frozen=True)
class SourceGraph:
    """The source before anything is decided.

    Attributes:
        model: as float network with NCHW pictures.
        producer: the exporter and its version, as the file has it; may be empty.
        metadata: what the exporter noted beside the graph.
        shapes: the fed inputs' in graph order; 0 for a size that is not static.
    """

    model: onnx.ModelProto
    producer: str
    metadata: Mapping[str, str]
    shapes: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class ReadNetwork:
    """A network as export writes it.

    Attributes:
        model: the exported graph, cut at a detector's last convolutions.
        inputs: with mean and normal that mean nothing yet.
        head: of a detector; None of other networks.
        norms: the first batch norms: tensor, mean and deviation in training; may be empty.
        lines: what export says.
    """

    model: onnx.ModelProto
    inputs: Sequence[NetworkInput]
    head: ExportedHead | None
    norms: Sequence[Mapping[str, Any]]
    lines: Sequence[str]

    @property
    def classes(self) -> int | None:
        """How many classes a classifier has; None of other networks."""
        if self.head is not None:
            return None
        shapes = Graph(self.model).shapes
        try:
            return class_count({info.name: shapes.get(info.name, []) for info in self.model.graph.output})
        except UserError:
            return None


def source_graph(model: ModelConfig, told: Mapping[str, Sequence[int]], pictures: bool = False) -> SourceGraph:
    """Read a source.

    Args:
        model: names the source, and what reading it needs; without inputs.
        told: input -> shape, by the user; formats that say no shapes (PyTorch, MXNet) are read with them.
        pictures: whether the samples are pictures: such a format is then read with the first usual size that it takes,
            and its sizes count as not static.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return _source_graph(model)
    except UnknownShapeError as error:
        if error.name in told:
            try:
                return _source_graph(replace(model, inputs=input_configs(told)))
            except UnknownShapeError as another:
                raise another.as_option() from another
        if not pictures:
            raise error.as_option() from error
        return _of_pictures(model, error)


def _of_pictures(model: ModelConfig, unknown: UnknownShapeError) -> SourceGraph:
    """Read a source whose one input takes pictures of a size that it does not say."""
    refusal = ""
    for channels in PICTURE_CHANNELS:
        for side in USUAL_SIDES:
            shape = [1, channels, side, side]
            try:
                graph = _source_graph(replace(model, inputs=input_configs({unknown.name: shape})))
            except UnknownShapeError as another:  # a second input: which shape, pictures do not tell
                raise another.as_option() from another
            except UserError as error:
                refusal = refusal or str(error)
                continue
            return replace(graph, shapes={**graph.shapes, unknown.name: [1, channels, 0, 0]})
    raise UserError(f"{unknown.as_option()}; none of the usual ones fits: {refusal}")


def _source_graph(model: ModelConfig) -> SourceGraph:
    read, title = read_source(model)
    metadata = {entry.key: entry.value for entry in read.model.metadata_props}
    version = read.model.producer_version.removesuffix(" None")  # tf2onnx' commit, where it does not know it
    producer = f"{read.model.producer_name} {version}".strip()
    graph = float_source(read.model, title).model
    return SourceGraph(graph, producer, metadata, graph_shapes(graph))


def exported(model: ModelConfig, shapes: Mapping[str, Sequence[int]]) -> ReadNetwork:
    """Export a source in memory.

    Args:
        model: names the source, and what reading it needs; without inputs.
        shapes: input -> static shape, every input's.

    Raises:
        UserError: what export refuses.
    """
    config = replace(model, inputs=input_configs(shapes))
    with output.capture() as captured:
        network = exported_network(config, output.print)
        for line in described(network, config):
            output.print(line)
    norms = normalization.to_json(network.norms())
    return ReadNetwork(network.model, network.inputs, network.head, norms, captured.get().splitlines())


def input_configs(shapes: Mapping[str, Sequence[int]]) -> list[InputConfig]:
    """`model.inputs` that export can check a network with: what becomes of pixels is neutral."""
    return [
        InputConfig(name, list(shape), NEUTRAL, NEUTRAL, color)
        if (color := picture_color(shape)) is not None
        else InputConfig(name, list(shape), [0.0], [1.0])
        for name, shape in shapes.items()
    ]


def picture_color(shape: Sequence[int]) -> Color | None:
    """The colour that a picture must have to fit an NCHW shape; None where none fits."""
    if len(shape) != PICTURE_RANK:
        return None
    return {1: Color.GRAY, 3: Color.RGB}.get(shape[1])
