"""Faults to plant in EfficientNet-Lite0."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import numpy_helper

from stages.core.base.artifacts import read_json, write_json
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, NODE_BITS
from stages.core.graph.onnx_graph import Graph, attribute, load_model

__all__ = ["SOUND", "Fault", "plant", "scalable_pair", "scaled_channel"]

FACTOR = 64.0
GREYS = range(96, 160, 2)  # of flat pictures
TIMES_AS_WIDE = 20.0
NARROW = 4
STEM, RANGED = "/_conv_stem/Conv", "/_blocks.1/_project_conv/Conv"
IMAGENET = "mean: [123.675, 116.28, 103.53], normal: [58.395, 57.12, 57.375]"
INPUT = "name: images, shape: [1, 3, 224, 224]"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        name: for the table.
        kind: of the finding that names it; None: nothing is wrong.
        node: the node that the finding has to name; None: it is about the whole network.
        overrides: that plant it.
        own_reference: it makes another float network, which its quantized one is held against.
    """

    name: str
    kind: str | None
    node: str | None
    overrides: tuple[str, ...]
    own_reference: bool = False


SOUND = [
    Fault(f"sound {overrides[0].rpartition('=')[2]}", None, None, overrides)
    for overrides in (
        *((f"soc={soc}",) for soc in ("t41", "x2500", "a1", "bm1684x", "cv186x")),
        *((f"quant={name}",) for name in ("a10w8", "a12w8", "best")),
        *((f"quant.feature_method={method}",) for method in ("MSE", "ADMM", "PERCENTILE", "OUTPUT")),
        ("quant.equalization=cross_layer",),
    )
]
"""Experiments that nothing is wrong with either."""


def plant() -> list[Fault]:
    """Write the files that faults need into the current folder, in which the sound experiment has run; list all."""
    Path("grey").mkdir()
    for level in GREYS:
        cv2.imwrite(f"grey/{level}.png", np.full((256, 256, 3), level, dtype=np.uint8))
    network = load_model(FLOAT_MODEL)
    producer, consumer = scalable_pair(Graph(network))
    onnx.save(scaled_channel(network, producer, None), "plain.onnx")
    onnx.save(scaled_channel(network, producer, consumer), "undone.onnx")
    given = ("model.torch.callable=null", "model.torch.code=null")
    ranges = read_json(NODE_BITS)[RANGED]
    write_json(Path("range.json"), {RANGED: {key: TIMES_AS_WIDE * ranges[key] for key in ("MIN", "MAX")}})
    write_json(
        Path("width.json"), {STEM: {"QUANT_WEIGHT_BIT": NARROW}, "/_blocks.3/_swish/Clip": {"QUANT_FEATURE_BIT": 10}}
    )
    return [
        Fault("BGR for RGB", "input", None, (f"model.inputs=[{{{INPUT}, mean: [127], normal: [128], color: BGR}}]",)),
        Fault("ImageNet mean and normal", "input", None, (f"model.inputs=[{{{INPUT}, {IMAGENET}, color: RGB}}]",)),
        Fault("channel x64 and back", "channel_imbalance", producer, (*given, "model.source=file:undone.onnx")),
        Fault(
            "channel x64", "channel_imbalance", producer, (*given, "model.source=file:plain.onnx"), own_reference=True
        ),
        Fault("flat grey calibration", "calibration", None, ("data.calibration.source=file:grey",)),
        Fault("range 20 times too wide", "range", RANGED, ("quant.node_bits=file:range.json",)),
        Fault("4 bits in the first layer", "bit_width", STEM, ("quant.node_bits=file:width.json",)),
    ]


def scalable_pair(graph: Graph) -> tuple[str, str]:
    """The first convolution that nothing but another, ungrouped convolution takes, and that other: their names.

    Between them a channel may be scaled and scaled back without changing what the network computes.

    Raises:
        UserError: if there is none.
    """
    for node in graph.nodes:
        consumers = graph.consumers.get(node.output[0], [])
        alone = node.op_type == "Conv" and len(consumers) == 1 and node.output[0] not in graph.outputs
        if alone and consumers[0].op_type == "Conv" and attribute(consumers[0], "group", 1) == 1:
            return node.name, consumers[0].name
    raise UserError("the network has no convolution that only another, ungrouped one takes")


def scaled_channel(network: onnx.ModelProto, producer: str, consumer: str | None) -> onnx.ModelProto:
    """Multiply a convolution's first output channel by 64.

    Args:
        network: where; it is not changed.
        producer: the convolution's name.
        consumer: the convolution whose weights for this channel are divided by 64; None: the network computes
            something else.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(network)
    nodes = {node.name: node for node in changed.graph.node}
    factors = dict.fromkeys(nodes[producer].input[1:], (0, FACTOR))
    if consumer:
        factors[nodes[consumer].input[1]] = (1, 1 / FACTOR)
    for tensor in changed.graph.initializer:
        if tensor.name in factors:
            axis, factor = factors[tensor.name]
            value = numpy_helper.to_array(tensor).copy()
            value[(slice(None),) * axis + (0,)] *= factor
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return changed
