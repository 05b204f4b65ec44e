"""The single-shot detector's last layers (Liu et al., SSD, 2016): priors, and boxes from them."""

import math

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.export.sources.caffe.network import Layer
from stages.export.sources.caffe.prototxt import Message
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]


def _prior_box(graph: GraphBuilder, layer: Layer) -> None:
    """Corners of the priors in parts of the picture, and their variances: a constant [1, 2, 4 priors]."""
    parameters = layer.message.message("prior_box_param")
    feature, picture = (graph.shapes[name][2:] for name in layer.inputs[:2])
    height = parameters.integer("img_h", parameters.integer("img_size", picture[0]))
    width = parameters.integer("img_w", parameters.integer("img_size", picture[1]))
    step = parameters.number("step", 0.0)
    steps = (
        parameters.number("step_h", step) or height / feature[0],
        parameters.number("step_w", step) or width / feature[1],
    )
    offset = parameters.number("offset", 0.5)
    rows, columns = ((np.arange(count) + offset) * one for count, one in zip(feature, steps, strict=True))
    centres = np.stack(np.meshgrid(columns, rows), axis=-1)[:, :, None]  # [rows, columns, 1, (x, y)]
    halves = _prior_sizes(parameters, layer) / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=-1).reshape(-1, 4)
    boxes /= [width, height, width, height]
    if parameters.flag("clip", False):
        boxes = boxes.clip(0, 1)
    variances = parameters.numbers("variance") or [0.1]
    variances = variances * 4 if len(variances) == 1 else variances
    values = np.stack([boxes.ravel(), np.tile(variances, len(boxes))])[None]
    graph.constant(layer.output, values, reserved=True)


def _prior_sizes(parameters: Message, layer: Layer) -> NDArray[np.float64]:
    """Width and height of each prior of a cell, in pixels."""
    smallest, largest = parameters.numbers("min_size"), parameters.numbers("max_size")
    if not smallest or (largest and len(largest) != len(smallest)):
        raise UserError(f"{layer.where} has {len(smallest)} min_size and {len(largest)} max_size")
    ratios = [1.0]
    for ratio in parameters.numbers("aspect_ratio"):
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios += [ratio, 1.0 / ratio] if parameters.flag("flip", True) else [ratio]
    sizes = []
    for index, small in enumerate(smallest):
        sizes.append((small, small))
        if largest:
            side = math.sqrt(small * largest[index])
            sizes.append((side, side))
        sizes += [(small * math.sqrt(ratio), small / math.sqrt(ratio)) for ratio in ratios[1:]]
    return np.array(sizes)


def _detection_output(graph: GraphBuilder, layer: Layer) -> None:
    """Boxes [1, N, 4] in parts of the picture and scores [1, N, classes]: what goes into the NMS, which is left out."""
    parameters = layer.message.message("detection_output_param")
    location, confidence, priors = layer.inputs[:3]
    values = graph.value(priors)
    coding = parameters.choice("code_type", ("CORNER", "CORNER", "CENTER_SIZE", "CORNER_SIZE"))
    if values is None or coding != "CENTER_SIZE" or not parameters.flag("share_location", True):
        raise UserError(
            f"{layer.where} codes boxes in a way that cannot be read: end the network before it, "
            f"model.outputs=[{location},{confidence}]"
        )
    corners, variances = values.reshape(2, -1, 4).astype(np.float64)
    if parameters.flag("variance_encoded_in_target", False):
        variances = np.ones_like(variances)
    classes = parameters.integer("num_classes", 0)
    for tensor, each in ((location, 4), (confidence, classes)):
        if int(np.prod(graph.shapes[tensor][1:])) != each * len(corners):
            raise ValueError(f"{tensor} has other than {each} values a prior")
    sizes = corners[:, 2:] - corners[:, :2]
    centres = (corners[:, 2:] + corners[:, :2]) / 2
    batch = graph.shapes[location][0]
    name = layer.name

    def constant(label: str, value: NDArray[np.float64]) -> str:
        return graph.constant(f"{name}/{label}", value[None])

    shape = graph.constant(f"{name}/box_shape", [batch, len(corners), 4])
    offsets = graph.add("Reshape", [location, shape], f"{name}/offsets")
    halves = graph.constant(f"{name}/halves", [2, 2])
    parts = [f"{name}/centre_offsets", f"{name}/size_offsets"]
    graph.add("Split", [offsets, halves], f"{name}/Split", parts, axis=2)
    moved = graph.add("Mul", [parts[0], constant("centre_factors", variances[:, :2] * sizes)], f"{name}/moved")
    centre = graph.add("Add", [moved, constant("prior_centres", centres)], f"{name}/centre")
    powers = graph.add("Mul", [parts[1], constant("size_factors", variances[:, 2:])], f"{name}/powers")
    grown = graph.add("Exp", [powers], f"{name}/Exp")
    half = graph.add("Mul", [grown, constant("prior_halves", sizes / 2)], f"{name}/half")
    low = graph.add("Sub", [centre, half], f"{name}/low")
    high = graph.add("Add", [centre, half], f"{name}/high")
    graph.add("Concat", [low, high], f"{name}/boxes", [layer.output], axis=2)
    shape = graph.constant(f"{name}/score_shape", [batch, len(corners), classes])
    graph.add("Reshape", [confidence, shape], f"{name}/scores", [layer.outputs[1]])


CONVERTERS = {"detectionoutput": _detection_output, "priorbox": _prior_box}
