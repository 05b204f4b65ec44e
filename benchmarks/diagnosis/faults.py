"""Faults that are planted in EfficientNet-Lite0."""

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

__all__ = [
    "RANGE_FACTOR", "SOUND_EXPERIMENTS", "Fault", "plant_faults", "scalable_pair", "scale_channel", "write_grey",
]  # fmt: skip

CHANNEL_FACTOR = 64.0
GREY_LEVELS = range(96, 160, 2)
"""Of flat calibration pictures."""
RANGE_FACTOR = 20.0
FEW_BITS = 4
FEW_BITS_NODE, WIDE_RANGE_NODE = "/_conv_stem/Conv", "/_blocks.1/_project_conv/Conv"
IMAGENET_NORMALIZATION = "mean: [123.675, 116.28, 103.53], normal: [58.395, 57.12, 57.375]"
INPUT_FIELDS = "name: images, shape: [1, 3, 224, 224]"


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Attributes:
        name: for the table.
        kind: of the finding that must name it; None: nothing is wrong.
        node: the node that the finding must name; None: it is about the whole network.
        overrides: that plant it.
        own_reference: whether it changes the float network, which is the reference of the quantized one then.
    """

    name: str
    kind: str | None
    node: str | None
    overrides: tuple[str, ...]
    own_reference: bool = False


SOUND_EXPERIMENTS = [
    Fault(f"sound {overrides[0].rpartition('=')[2]}", None, None, overrides)
    for overrides in (
        *((f"soc={soc}",) for soc in ("t41", "x2500", "a1", "bm1684x", "cv186x")),
        *((f"quant={name}",) for name in ("a10w8", "a12w8", "best")),
        *((f"quant.feature_method={method}",) for method in ("MSE", "ADMM", "PERCENTILE", "OUTPUT")),
        ("quant.equalization=cross_layer",),
    )
]
"""Other experiments without a fault."""


def plant_faults() -> list[Fault]:
    """Write the faults' files into the current folder, where the sound experiment has run; gives all faults."""
    write_grey(Path("grey"))
    network = load_model(FLOAT_MODEL)
    producer, consumer = scalable_pair(Graph(network))
    onnx.save(scale_channel(network, producer, None), "plain.onnx")
    onnx.save(scale_channel(network, producer, consumer), "undone.onnx")
    no_torch = ("model.torch.callable=null", "model.torch.code=null")
    ranges = read_json(NODE_BITS)[WIDE_RANGE_NODE]
    write_json(Path("range.json"), {WIDE_RANGE_NODE: {key: RANGE_FACTOR * ranges[key] for key in ("MIN", "MAX")}})
    few_bits = {FEW_BITS_NODE: {"QUANT_WEIGHT_BIT": FEW_BITS}, "/_blocks.3/_swish/Clip": {"QUANT_FEATURE_BIT": 10}}
    write_json(Path("width.json"), few_bits)
    bgr = f"model.inputs=[{{{INPUT_FIELDS}, mean: [127], normal: [128], color: BGR}}]"
    imagenet = f"model.inputs=[{{{INPUT_FIELDS}, {IMAGENET_NORMALIZATION}, color: RGB}}]"
    return [
        Fault("BGR for RGB", "input", None, (bgr,)),
        Fault("ImageNet mean and normal", "input", None, (imagenet,)),
        Fault("channel x64 and back", "channel_imbalance", producer, (*no_torch, "model.source=file:undone.onnx")),
        Fault(
            "channel x64",
            "channel_imbalance",
            producer,
            (*no_torch, "model.source=file:plain.onnx"),
            own_reference=True,
        ),
        Fault("flat grey calibration", "calibration", None, ("data.calibration.source=file:grey",)),
        Fault("range 20 times too wide", "range", WIDE_RANGE_NODE, ("quant.node_bits=file:range.json",)),
        Fault("4 bits in the first layer", "bit_width", FEW_BITS_NODE, ("quant.node_bits=file:width.json",)),
    ]


def write_grey(folder: Path) -> None:
    """Write pictures of one grey level each into a new folder."""
    folder.mkdir()
    for level in GREY_LEVELS:
        cv2.imwrite(str(folder / f"{level}.png"), np.full((256, 256, 3), level, dtype=np.uint8))


def scalable_pair(graph: Graph) -> tuple[str, str]:
    """The names of the first convolution whose only consumer is another, ungrouped convolution, and of that consumer.

    Between them a channel may be scaled and scaled back without changing what the network computes.

    Raises:
        UserError: if there is none.
    """
    for node in graph.nodes:
        consumers = graph.consumers.get(node.output[0], [])
        one_consumer = node.op_type == "Conv" and len(consumers) == 1 and node.output[0] not in graph.outputs
        if one_consumer and consumers[0].op_type == "Conv" and attribute(consumers[0], "group", 1) == 1:
            return node.name, consumers[0].name
    raise UserError("the network has no convolution whose only consumer is another, ungrouped one")


def scale_channel(network: onnx.ModelProto, producer: str, consumer: str | None) -> onnx.ModelProto:
    """Multiply a convolution's first output channel by 64.

    Args:
        network: not changed; a copy is returned.
        producer: the convolution's name.
        consumer: the convolution whose weights for this channel are divided by 64; None: none, so the network
            computes something else.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(network)
    nodes = {node.name: node for node in changed.graph.node}
    factors = dict.fromkeys(nodes[producer].input[1:], (0, CHANNEL_FACTOR))
    if consumer:
        factors[nodes[consumer].input[1]] = (1, 1 / CHANNEL_FACTOR)
    for tensor in changed.graph.initializer:
        if tensor.name in factors:
            axis, factor = factors[tensor.name]
            value = numpy_helper.to_array(tensor).copy()
            value[(slice(None),) * axis + (0,)] *= factor
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return changed
