"""Static sizes for a network whose graph leaves some open: told, noted, as the samples are, or tried."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto

from stages.core.base.console import console
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.sources import files_below, read_regular
from stages.core.config.schema import ModelConfig
from stages.core.data.preprocess import PICTURE_SUFFIXES
from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.export.shapes import noted_sides
from stages.init.guess.guess import Guess, Sure
from stages.init.network.array_shapes import shapes_of_samples
from stages.init.network.read_network import USUAL_SIDES, ReadNetwork, SourceGraph, exported, picture_color

__all__ = ["SizedNetwork", "sized_network"]

DETECTOR_SIDE, CLASSIFIER_SIDE = USUAL_SIDES[:2]
OTHER_SIDES = USUAL_SIDES[2:]
LINE_HEIGHT, LINE_WIDTH = 64, 320
"""A picture of at most so many rows shows a line of text, or a plate: it is usually so wide."""
STRIP = 2.5
"""Pictures so much wider than high (or higher than wide) are no photos: their own shape is taken."""
STRIP_MULTIPLE, LONGEST_STRIP = 32, 1024
LOOKED_AT = 8

Shapes = dict[str, list[int]]


@dataclass(frozen=True)
class SizedNetwork:
    """A network with static sizes.

    Attributes:
        network: as exported.
        shapes: of its inputs, as `model.inputs` has them.
        guess: of those that were not static; None where the graph says all.
    """

    network: ReadNetwork
    shapes: Shapes
    guess: Guess | None


def sized_network(
    model: ModelConfig, graph: SourceGraph, told: Mapping[str, Sequence[int]], samples: Path | None
) -> SizedNetwork:
    """Read a network with the first static sizes that it takes.

    Args:
        model: names the source, and what reading it needs.
        graph: the source.
        told: input or tensor -> shape, by the user.
        samples: folder of samples, or None.

    Raises:
        UserError: if sizes must be told, or export refuses the network with each size.
    """
    refused: UserError | None = None
    best: SizedNetwork | None = None
    for shapes, guess in _candidates(graph, told, samples):
        if guess is not None and guess.sure is not Sure.high:  # each may take a minute
            console.print(f"sizes are open: trying {guess.value}")
        try:
            network = exported(model, shapes)
        except UserError as error:
            refused = refused or error
            continue
        sized = SizedNetwork(network, shapes, guess)
        if guess is None or guess.sure is not Sure.low or network.head is not None or _is_dense(network):
            return sized
        best = sized if best is None or _has_side(shapes, CLASSIFIER_SIDE) else best
        if _has_side(shapes, CLASSIFIER_SIDE):
            return sized
    if best is not None:
        return best
    assert refused is not None
    raise refused


def _at_first_floats(graph: SourceGraph, samples: Path | None) -> tuple[Shapes, Guess] | None:
    """Where to cut a network that takes integers: at the first float tensor, if samples are of its shape.

    Returns:
        None if all inputs are float.

    Raises:
        UserError: if the samples are not; it names the tensor.
    """
    types = {info.name: info.type.tensor_type.elem_type for info in graph.model.graph.input}
    name = next((name for name in graph.shapes if types[name] != TensorProto.FLOAT), None)
    if name is None:
        return None
    tensor, shape = _first_float(graph.model, name)
    found = shapes_of_samples(samples, {tensor: shape}) if samples is not None and tensor else {}
    if found:
        why = f"input {name!r} takes integers; the samples are of the first float tensor behind it"
        return found, Guess("shape", _shown(found, list(found)), why, Sure.medium)
    kind = TensorProto.DataType.Name(types[name]).lower()
    sizes = ",".join(str(size or "?") for size in shape) or "..."
    cut = f"cut the network where its values become float: --shape '{tensor}={sizes}'"
    if not tensor or tensor in [info.name for info in graph.model.graph.output]:
        cut = "export the network with a constant in its place"
    raise UserError(f"input {name!r} is {kind}, and inputs are float: {cut}")


def _first_float(model: onnx.ModelProto, name: str) -> tuple[str, list[int]]:
    """The first float tensor that follows from an input, and its shape, 0 for a size that is not static."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    infos = {info.name: info.type.tensor_type for info in (*inferred.value_info, *inferred.output)}
    reached = {name}
    for node in model.graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            for tensor in node.output:
                if tensor in infos and infos[tensor].elem_type == TensorProto.FLOAT:
                    sizes = [dim.dim_value for dim in infos[tensor].shape.dim]
                    return str(tensor), [size or int(index == 0) for index, size in enumerate(sizes)]
    return "", []


def _candidates(
    graph: SourceGraph, told: Mapping[str, Sequence[int]], samples: Path | None
) -> Iterator[tuple[Shapes, Guess | None]]:
    """Shapes to try in turn, with why."""
    inner = {name: list(shape) for name, shape in told.items() if name not in graph.shapes}
    if inner:
        hints = {name for node in graph.model.graph.node for name in (node.name, *node.output)}
        for name in inner:
            if name not in hints:
                raise UserError(f"--shape {name}=...: the network has no such input or tensor; {_hint(name, graph)}")
        yield inner, None
        return
    cut = _at_first_floats(graph, samples)
    if cut is not None:
        yield cut
        return
    shapes = {name: list(told.get(name, [size or int(i == 0) for i, size in enumerate(shape)])) for name, shape in
              graph.shapes.items()}  # fmt: skip
    for shape in shapes.values():
        if len(shape) == PICTURE_RANK and shape[1] == 0:
            shape[1] = 3
    open_names = [name for name, shape in shapes.items() if 0 in shape]
    if not open_names:
        yield shapes, None
        return
    if samples is not None:
        shapes |= shapes_of_samples(samples, {name: graph.shapes[name] for name in open_names})
    missing = [name for name, shape in shapes.items() if 0 in shape]
    if not missing:
        yield shapes, Guess("shape", _shown(shapes, open_names), "the samples have it", Sure.high)
        return
    for name in missing:
        if picture_color(shapes[name]) is None:
            shown = ",".join(str(size) if size else "?" for size in graph.shapes[name])
            raise UserError(
                f"input {name!r} has the dynamic shape [{shown}]: give it, as in --shape "
                f"'{name}={','.join(str(size or 16000) for size in shapes[name])}', or a folder with samples (.npy)"
            )
    for sides, evidence, sure in _sides(shapes[missing[0]], graph.metadata, samples):
        sized = {name: _with_sides(shape, sides) if 0 in shape else shape for name, shape in shapes.items()}
        yield sized, Guess("shape", _shown(sized, missing), evidence, sure)


def _hint(name: str, graph: SourceGraph) -> str:
    return did_you_mean(name, [*graph.shapes, *(output for node in graph.model.graph.node for output in node.output)])


def _with_sides(shape: Sequence[int], sides: tuple[int, int]) -> list[int]:
    return [*shape[:2], *(own or side for own, side in zip(shape[2:], sides, strict=True))]


def _shown(shapes: Mapping[str, Sequence[int]], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {list(shapes[name])}" for name in names)


def _sides(
    shape: Sequence[int], metadata: Mapping[str, str], samples: Path | None
) -> Iterator[tuple[tuple[int, int], str, Sure]]:
    """Heights and widths to try for an input that leaves one or both open."""
    noted = noted_sides(metadata)
    if noted is not None:
        yield noted, "the exporter's metadata (imgsz)", Sure.high
    height, width = shape[2:]
    strips = _strips(samples) if samples is not None else []
    if height and strips:
        scaled = round(height * strips[0][1] / strips[0][0])
        yield (height, scaled), "the width is open; as the pictures are", Sure.medium
    if 0 < height <= LINE_HEIGHT:
        yield (height, LINE_WIDTH), "the width is open; lines of text are usually so wide", Sure.medium
    if height or width:
        yield (height or width,) * 2, "one side is open: as long as the other", Sure.medium
    for strip in strips:
        yield strip, "both sides are open; as the pictures are", Sure.medium
    yield (DETECTOR_SIDE,) * 2, "both sides are open; usual for networks that answer for each place", Sure.low
    yield (CLASSIFIER_SIDE,) * 2, "both sides are open; usual for classifiers", Sure.low
    for side in OTHER_SIDES:
        yield (side,) * 2, "both sides are open; the first size that the graph takes", Sure.low


def _strips(folder: Path) -> list[tuple[int, int]]:
    """Height and width of pictures that are all strips, also in multiples of 32; none of photos."""
    files = sorted(file for file in files_below(folder) if file.suffix.lower() in PICTURE_SUFFIXES)[:LOOKED_AT]
    pictures = [cv2.imdecode(np.frombuffer(read_regular(file), np.uint8), cv2.IMREAD_GRAYSCALE) for file in files]
    sizes = np.array([picture.shape for picture in pictures if picture is not None], np.float64).reshape(-1, 2)
    if not len(sizes):
        return []
    ratios = sizes[:, 1] / sizes[:, 0]
    if ratios.min() < STRIP and ratios.max() > 1 / STRIP:
        return []
    height, width = (int(side) for side in np.median(sizes, axis=0))
    rounded = [max(round(side / STRIP_MULTIPLE), 1) * STRIP_MULTIPLE for side in (height, width)]
    return [(height, width), (rounded[0], rounded[1])] if max(height, width) <= LONGEST_STRIP else []


def _is_dense(network: ReadNetwork) -> bool:
    """Whether an output answers for each place of the picture."""
    side = network.inputs[0].height
    shapes = [[dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in network.model.graph.output]
    return any(len(shape) == PICTURE_RANK and shape[2] * STRIP_MULTIPLE >= side > shape[1] for shape in shapes)


def _has_side(shapes: Mapping[str, Sequence[int]], side: int) -> bool:
    return any(side in shape[2:] for shape in shapes.values())
