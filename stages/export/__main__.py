"""Reads model.source; writes out/export.

It writes model.onnx, inputs.json, detector.json, normalization.json, node_ranges.json, settings.json and check.json.
"""

from collections.abc import Mapping
from typing import Any

from stages.core.base.artifacts import output_folder, save_model, write_json
from stages.core.base.console import counted, output
from stages.core.base.paths import DETECTOR, EXPORT, FLOAT_MODEL, INPUTS, NODE_RANGES, NORMALIZATION
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import export_settings, save_settings
from stages.core.data.inputs import to_json
from stages.core.heads import head_file
from stages.export import normalization
from stages.export.detector import detector_lines
from stages.export.network import exported_network


def export(config: Config) -> None:
    model = config.model
    network = exported_network(model, output.print)
    nodes, norms = len(network.model.graph.node), network.norms()
    check = {"nodes": nodes, "max_difference": network.difference, "bound": model.fp32_diff}
    with output_folder(EXPORT) as folder:
        save_model(folder / FLOAT_MODEL.name, network.model)
        write_json(folder / INPUTS.name, to_json(network.inputs))
        write_json(folder / DETECTOR.name, head_file.to_json(network.head))
        write_json(folder / NORMALIZATION.name, normalization.to_json(norms))
        write_json(folder / NODE_RANGES.name, network.ranges)
        save_settings(folder, export_settings(model))
        write_json(folder / "check.json", check)
    listed = ", ".join(f"{network_input.name} {list(network_input.shape)}" for network_input in network.inputs)
    output.print(
        f"exported {model.name}: {nodes} nodes, inputs {listed}, "
        f"largest difference to the source {network.difference:.2g} (allowed {model.fp32_diff:g})",
    )
    for line in [*detector_lines(network.head, network.outputs), *_range_lines(network.ranges)]:
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
