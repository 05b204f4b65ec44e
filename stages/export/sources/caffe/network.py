"""The layers that a Caffe network has when it is used: those of training are left out, tensors have unique names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.export.sources.caffe.prototxt import Message
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["Converter", "Layer", "Network", "ending_at", "read_network"]

DATA_TYPES = {
    "annotateddata",
    "data",
    "dummydata",
    "hdf5data",
    "imagedata",
    "input",
    "memorydata",
    "windowdata",
}
"""Layers that only have outputs: the first of these is the network's input."""
TRAINING_TYPES = {"accuracy", "detectionevaluate", "hdf5output", "silence", "softmaxwithloss"}
"""Layers that the answer does not need, beside every layer whose type ends in Loss."""
ALIASES = {"split", "dropout"}
"""Layers that give what they take."""
PARTS = {"detectionoutput": ("_boxes", "_scores")}
"""Layers whose output becomes several."""


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: its name in the file.
        kind: its type in lower case without underscores, so that old and new files write it alike.
        title: its type as the file writes it.
        inputs: the tensors that it takes.
        outputs: those that it gives; no other layer gives them.
        message: all that the file says of it.
        blobs: its weights in Caffe's order, float32.
    """

    name: str
    kind: str
    title: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    message: Message
    blobs: tuple[NDArray[np.float32], ...] = ()

    @property
    def output(self) -> str:
        """Its first output."""
        return self.outputs[0]

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"layer {self.name!r} ({self.title})"

    def need_blobs(self, count: int) -> tuple[NDArray[np.float32], ...]:
        """Its weights.

        Raises:
            UserError: if it has fewer than `count`.
        """
        if len(self.blobs) < count:
            raise UserError(f"{self.where} has {len(self.blobs)} arrays in the caffemodel, and needs {count}")
        return self.blobs


Converter = Callable[[GraphBuilder, Layer], None]
"""Adds the nodes that compute a layer."""


@dataclass
class Network:
    """The layers in order.

    Attributes:
        inputs: input -> its shape in the file; None: not said there.
        layers: the layers that are run.
        outputs: tensors that no layer takes.
        producers: tensor -> the layer of the file that gives it, Dropout and Split among them.
    """

    inputs: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    producers: dict[str, str] = field(default_factory=dict)


def read_network(file: Message, weights: Mapping[str, Sequence[NDArray[np.float32]]]) -> Network:
    """Read the layers of a prototxt file.

    Args:
        file: the parsed file.
        weights: layer -> its arrays.

    Raises:
        UserError: if it has none, or one takes a blob that no layer before it gives.
    """
    messages = [_named(message) for message in (*file.messages("layers"), *file.messages("layer"))]
    messages = [message for message in messages if _is_used(message)]
    if not messages:
        raise UserError(f"{file.where} is no network: it has no layers")
    network = Network(_top_inputs(file))
    current = {name: name for name in network.inputs}  # blob -> the tensor that holds it now
    tops = {top for message in messages for top in message.texts("top")}
    gone: set[str] = set()  # blobs that only training has
    for message in messages:
        kind = _kind(message)
        if kind in DATA_TYPES:
            gone.update(_add_inputs(network, message, kind))
            current |= {name: name for name in network.inputs}
        elif kind in TRAINING_TYPES or kind.endswith("loss") or gone & set(message.texts("bottom")):
            gone.update(message.texts("top"))
        else:
            _add_layer(network, message, current, tops, weights)
    consumed = {name for layer in network.layers for name in layer.inputs}
    network.inputs = {name: shape for name, shape in network.inputs.items() if name in consumed}
    network.outputs = [name for layer in network.layers for name in layer.outputs if name not in consumed]
    network.layers = _merged(network.layers)
    if not network.outputs:
        raise UserError(f"{file.where} is no network: none of its layers gives a result")
    return network


def ending_at(network: Network, names: Sequence[str]) -> Network:
    """The part of a network that some tensors or layers need; all of it if one of the names is not there.

    So what lies behind them need not be known.
    """
    tensors = {layer.name: layer.output for layer in network.layers}
    tensors |= {name: name for layer in network.layers for name in layer.outputs}
    if not names or any(name not in tensors for name in names):
        return network
    outputs = [tensors[name] for name in names]
    needed, layers = set(outputs), []
    for layer in reversed(network.layers):
        if needed & set(layer.outputs):
            needed.update(layer.inputs)
            layers.append(layer)
    inputs = {name: shape for name, shape in network.inputs.items() if name in needed}
    return replace(network, inputs=inputs, layers=layers[::-1], outputs=outputs)


def _named(message: Message) -> Message:
    """The message with its layer's name in errors."""
    name = message.text("name")
    if "layer" in message:
        raise UserError(
            f"{message.where} is of a Caffe before 2014: convert it with Caffe's upgrade_net_proto_text and "
            "upgrade_net_proto_binary"
        )
    if not name or not message.text("type"):
        raise UserError(f"{message.where}: a layer has no {'type' if name else 'name'}")
    return _relabelled(message, f"layer {name!r}")


def _relabelled(message: Message, where: str) -> Message:
    fields = {
        key: [_relabelled(value, where) if isinstance(value, Message) else value for value in values]
        for key, values in message.fields.items()
    }
    return Message(where, fields)


def _kind(message: Message) -> str:
    return message.text("type").lower().replace("_", "")


def _is_used(message: Message) -> bool:
    """Whether a layer is there when the network is used: phase TEST, level 0, no stages."""
    include, exclude = message.messages("include"), message.messages("exclude")
    return any(map(_holds, include)) if include else not any(map(_holds, exclude))


def _holds(rule: Message) -> bool:
    return (
        rule.text("phase", "TEST") in ("TEST", "1")
        and rule.integer("min_level", 0) <= 0 <= rule.integer("max_level", 0)
        and "stage" not in rule
    )


def _top_inputs(file: Message) -> dict[str, tuple[int, ...] | None]:
    """Inputs that the file names before its layers: with shapes, or four numbers each."""
    names, sizes = file.texts("input"), file.integers("input_dim")
    shapes = [tuple(shape.integers("dim")) for shape in file.messages("input_shape")]
    shapes = shapes or [tuple(sizes[i : i + 4]) for i in range(0, len(sizes), 4)]
    return {name: shapes[i] if i < len(shapes) else None for i, name in enumerate(names)}


def _add_inputs(network: Network, message: Message, kind: str) -> list[str]:
    """Take a data layer's outputs as inputs; gives those that are labels."""
    tops = message.texts("top")
    parameters = message.message("input_param" if kind == "input" else "dummy_data_param")
    shapes = [tuple(shape.integers("dim")) for shape in parameters.messages("shape")]
    if kind in ("input", "dummydata"):
        for i, top in enumerate(tops):
            network.inputs[top] = shapes[min(i, len(shapes) - 1)] if shapes else None
        return []
    crop = message.message("transform_param").integer("crop_size", 0)
    network.inputs[tops[0]] = (1, 3, crop, crop) if crop else None
    return tops[1:]


def _add_layer(
    network: Network,
    message: Message,
    current: dict[str, str],
    tops: set[str],
    weights: Mapping[str, Sequence[NDArray[np.float32]]],
) -> None:
    """Add a layer; a blob that is written in place gets a tensor of its own, named as the layer."""
    name = message.text("name")
    missing = next((blob for blob in message.texts("bottom") if blob not in current), None)
    if missing is not None:
        raise UserError(f"layer {name!r} takes the blob {missing!r}, which no layer before it gives")
    inputs = tuple(current[blob] for blob in message.texts("bottom"))
    kind = _kind(message)
    if kind in ALIASES:
        for blob in message.texts("top"):
            current[blob] = inputs[0]
        network.producers[inputs[0]] = name
        return
    used = set(network.producers) | set(network.inputs)
    outputs = []
    for blob in [f"{blob}{end}" for blob in message.texts("top") for end in PARTS.get(kind, ("",))]:
        tensor = blob if blob not in used else name
        count = 1
        while tensor in used or (tensor != blob and tensor in tops):
            count += 1
            tensor = f"{name}_{count}"
        current[blob] = tensor
        network.producers[tensor] = name
        used.add(tensor)
        outputs.append(tensor)
    blobs = tuple(weights.get(name, ()))
    network.layers.append(Layer(name, kind, message.text("type"), inputs, tuple(outputs), message, blobs))


def _merged(layers: Sequence[Layer]) -> list[Layer]:
    """Put the Scale behind a BatchNorm into it, if nothing else takes its output.

    Caffe has the two halves of a batch norm as two layers.
    """
    consumers: dict[str, int] = {}
    for layer in layers:
        for name in layer.inputs:
            consumers[name] = consumers.get(name, 0) + 1
    merged: list[Layer] = []
    norms: dict[str, int] = {}  # output -> where its BatchNorm is in `merged`
    for layer in layers:
        at = norms.get(layer.inputs[0]) if layer.kind == "scale" and len(layer.inputs) == 1 else None
        if at is not None and consumers[layer.inputs[0]] == 1 and _is_affine(layer):
            norm = merged[at]
            gamma = layer.blobs[0]
            beta = layer.blobs[1] if len(layer.blobs) > 1 else np.zeros_like(gamma)
            merged[at] = replace(norm, outputs=layer.outputs, blobs=(*norm.blobs[:3], gamma, beta))
            continue
        if layer.kind == "batchnorm" and len(layer.blobs) == 3:
            norms[layer.output] = len(merged)
        merged.append(layer)
    return merged


def _is_affine(layer: Layer) -> bool:
    """Whether a Scale has one factor a channel."""
    axis = layer.message.message("scale_param").integer("axis", 1)
    return axis in (1, -3) and bool(layer.blobs) and layer.blobs[0].ndim == 1
