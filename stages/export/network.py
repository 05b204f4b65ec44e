"""From `model` to the network that all stages work on, in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.console import counted
from stages.core.base.paths import NODE_RANGES
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.data.inputs import NetworkInput, assign_names, resolve_inputs
from stages.core.graph.session import Runner
from stages.core.heads.detector import check_function
from stages.core.heads.head_file import ExportedHead
from stages.export import normalization, verify
from stages.export.batch import with_batch_one
from stages.export.canonical import canonicalize
from stages.export.cut import Cut, find_cut, without_outputs
from stages.export.dequantize.undo import node_ranges
from stages.export.detector import detector_lines, find_head, without_decoding
from stages.export.float_source import float_source
from stages.export.shapes import fix_shapes, graph_shapes, noted_shapes, shape_lines
from stages.export.sources.readers import read_source

__all__ = ["ExportedNetwork", "StaticSource", "described", "exported_network"]


@dataclass(frozen=True)
class ExportedNetwork:
    """A network as export writes it.

    Attributes:
        model: the canonical float network.
        inputs: its inputs.
        head: a detector's; None of another network.
        outputs: of the network before its decoding was cut off.
        ranges: of a quantized source, as `quant.node_bits` reads them.
        difference: the largest to the source on random input, see `verify.largest_difference`.
        source: what it was made of.
    """

    model: onnx.ModelProto
    inputs: list[NetworkInput]
    head: ExportedHead | None
    outputs: list[str]
    ranges: Mapping[str, Any]
    difference: float
    source: "StaticSource"

    def norms(self) -> dict[str, normalization.Norm]:
        """Find the tensors that hold the outputs of the source's first batch norms; runs both networks."""
        source = self.source
        norms = normalization.onnx_norms(source.model, source.feeds) if source.norms is None else source.norms
        return normalization.located(norms, self.model, source.at_inputs())


@dataclass(frozen=True)
class StaticSource:
    """A float source with static shapes, and random input for it.

    Attributes:
        model: the source.
        cut: where the network starts and ends.
        configured: `model.inputs`, a tensor's name where one is given.
        feeds: its inputs -> random values.
        norms: its first batch norms, where its reader knows them better than the graph does.
    """

    model: onnx.ModelProto
    cut: Cut
    configured: Sequence[InputConfig]
    feeds: Mapping[str, NDArray[Any]]
    norms: Sequence[normalization.Norm] | None = None

    def at_inputs(self) -> dict[str, NDArray[np.float32]]:
        """The values of the network's inputs."""
        return verify.values_at(self.model, self.cut.inputs, self.feeds)


def exported_network(config: ModelConfig, say: Callable[[str], object]) -> ExportedNetwork:
    """Read a network, bring it into the canonical form, and check it against its source.

    Args:
        config: names the source, and says how it is fed.
        say: takes lines on what a source was turned into, as soon as they are known.

    Raises:
        UserError: if it cannot be read or simplified, or computes something else than its source.
    """
    read, name = read_source(config)
    undone = float_source(read.model, name, [one.shape for one in config.inputs if one.shape])
    for line in undone.lines:
        say(line)
    source = replace(_static(undone.model, config, say), norms=read.norms)
    for line in shape_lines(undone.model, source.model, name):
        say(line)
    exported = canonicalize(source.model, source.cut)
    inputs = resolve_inputs(source.configured, graph_shapes(exported))
    difference = max(read.difference, verify.network_difference(source.model, exported, source.cut, source.feeds))
    verify.check_difference(difference, config.fp32_diff)
    outputs = [info.name for info in exported.graph.output]
    if config.detector.function is not None:
        check_function(config.detector.function, Runner(exported).run(source.at_inputs()))
    head = find_head(exported, config)
    if head is not None and head.cut:
        exported = without_decoding(exported, head.head)
    ranges = node_ranges(exported, undone.ranges)
    return ExportedNetwork(exported, inputs, head, outputs, ranges, difference, source)


def _static(source: onnx.ModelProto, config: ModelConfig, say: Callable[[str], object]) -> StaticSource:
    """Find where the network starts and ends, and give every input of the source a static shape."""
    if not any(one.shape for one in config.inputs):
        source = with_batch_one(source)
    cut = find_cut(source, [one.name for one in config.inputs], config.outputs)
    if cut.left_out:
        source = without_outputs(source, cut.left_out)
    for tensor in cut.left_out:
        say(f"output {tensor!r} is left out: it is an input or a constant, which no layer computes")
    configured = [replace(one, name=name) for one, name in zip(config.inputs, cut.configured, strict=True)]
    source_names = list(graph_shapes(source))
    of_source = [one for one in configured if not one.name or one.name in source_names]
    shapes = {name: one.shape for name, one in assign_names(of_source, source_names).items()}
    for name, shape in noted_shapes(source).items():
        if shapes.get(name) is None:
            say(f"input {name!r} is {shape}, as the exporter's metadata says (imgsz); model.inputs may say otherwise")
            shapes[name] = shape
    static = fix_shapes(source, shapes, cut_off=set(source_names) - set(cut.inputs))
    feeds = verify.random_feeds(resolve_inputs(of_source, graph_shapes(static))) | verify.zeros(static)
    return StaticSource(static, cut, configured, feeds)


def described(network: ExportedNetwork, config: ModelConfig) -> list[str]:
    """What export says of a network in the end: its size and inputs, its head, the ranges of a quantized source."""
    listed = ", ".join(f"{each.name} {list(each.shape)}" for each in network.inputs)
    lines = [
        f"exported {config.name}: {len(network.model.graph.node)} nodes, inputs {listed}, "
        f"largest difference to the source {network.difference:.2g} (allowed {config.fp32_diff:g})",
        *detector_lines(network.head, network.outputs),
    ]
    if network.ranges:
        lines.append(
            f"the source's {counted(len(network.ranges), 'range')} are in {NODE_RANGES}; to quantize with them: "
            f"python -m stages.compose --keep quant.node_bits=file:{NODE_RANGES}"
        )
    return lines
