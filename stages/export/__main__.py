"""Reads model.source; writes out/export.

It writes model.onnx, inputs.json, detector.json, normalization.json, node_ranges.json, settings.json and check.json.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stages.core.base.artifacts import output_folder, save_model, write_json
from stages.core.base.console import counted, output
from stages.core.base.paths import DETECTOR, EXPORT, FLOAT_MODEL, INPUTS, NODE_RANGES, NORMALIZATION
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import export_settings, save_settings
from stages.core.data.inputs import assign_names, resolve_inputs, to_json
from stages.core.graph.session import Runner
from stages.core.heads import head_file
from stages.core.heads.detector import check_function
from stages.export import normalization, verify
from stages.export.batch import with_batch_one
from stages.export.canonical import canonicalize
from stages.export.cut import find_cut, without_outputs
from stages.export.dequantize.undo import node_ranges
from stages.export.detector import detector_lines, find_head, without_decoding
from stages.export.float_source import float_source
from stages.export.shapes import fix_shapes, graph_shapes, shape_lines
from stages.export.sources.readers import read_source


def export(config: Config) -> None:
    model = config.model
    read, name = read_source(model)
    undone = float_source(read.model, name, [one.shape for one in model.inputs if one.shape])
    for line in undone.lines:
        output.print(line)
    source = undone.model if any(one.shape for one in model.inputs) else with_batch_one(undone.model)

    cut = find_cut(source, [one.name for one in model.inputs], model.outputs)
    if cut.left_out:
        source = without_outputs(source, cut.left_out)
    for tensor in cut.left_out:
        output.print(f"output {tensor!r} is left out: it is an input or a constant, which no layer computes")
    configured = [replace(one, name=name) for one, name in zip(model.inputs, cut.configured, strict=True)]
    source_names = list(graph_shapes(source))
    of_source = [one for one in configured if not one.name or one.name in source_names]
    shapes = {name: one.shape for name, one in assign_names(of_source, source_names).items()}
    static = fix_shapes(source, shapes, cut_off=set(source_names) - set(cut.inputs))
    for line in shape_lines(undone.model, static, name):
        output.print(line)
    exported = canonicalize(static, cut)
    inputs = resolve_inputs(configured, graph_shapes(exported))

    source_inputs = resolve_inputs(of_source, graph_shapes(static))
    feeds = verify.random_feeds(source_inputs) | verify.zeros(static)
    difference = max(read.difference, verify.network_difference(static, exported, cut, feeds))
    verify.check_difference(difference, model.fp32_diff)
    outputs = [info.name for info in exported.graph.output]
    if model.detector.function is not None:
        of_outputs = Runner(exported).run(verify.values_at(static, cut.inputs, feeds))
        check_function(model.detector.function, of_outputs)
    head = find_head(exported, model)
    if head is not None and head.cut:
        exported = without_decoding(exported, head.head)
    norms = normalization.onnx_norms(static, feeds) if read.norms is None else read.norms
    located = normalization.located(norms, exported, verify.values_at(static, cut.inputs, feeds))

    ranges = node_ranges(exported, undone.ranges)

    nodes = len(exported.graph.node)
    with output_folder(EXPORT) as folder:
        save_model(folder / FLOAT_MODEL.name, exported)
        write_json(folder / INPUTS.name, to_json(inputs))
        write_json(folder / DETECTOR.name, head_file.to_json(head))
        write_json(folder / NORMALIZATION.name, normalization.to_json(located))
        write_json(folder / NODE_RANGES.name, ranges)
        save_settings(folder, export_settings(model))
        write_json(folder / "check.json", {"nodes": nodes, "max_difference": difference, "bound": model.fp32_diff})
    listed = ", ".join(f"{network_input.name} {list(network_input.shape)}" for network_input in inputs)
    output.print(
        f"exported {model.name}: {nodes} nodes, inputs {listed}, "
        f"largest difference to the source {difference:.2g} (allowed {model.fp32_diff:g})",
    )
    for line in [*detector_lines(head, outputs), *_range_lines(ranges)]:
        output.print(line)


def _range_lines(ranges: Mapping[str, Any]) -> list[str]:
    """Say that a quantized source had ranges, and how to take them."""
    if not ranges:
        return []
    return [
        f"the source's {counted(len(ranges), 'range')} are in {NODE_RANGES}; to quantize with them: "
        f"python -m stages.compose --keep quant.node_bits=file:{NODE_RANGES}"
    ]


if __name__ == "__main__":
    run_stage(export, __doc__ or "")
