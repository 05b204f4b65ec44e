"""Reads model.source; writes out/export.

It writes model.onnx, inputs.json, detector.json, normalization.json, node_ranges.json, settings.json, check.json and
checksums.json.
"""

from stages.core.base.artifacts import save_model, stage_output, write_json
from stages.core.base.console import output
from stages.core.base.paths import DETECTOR, EXPORT, FLOAT_MODEL, INPUTS, NODE_RANGES, NORMALIZATION
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import export_settings, save_settings
from stages.core.data.inputs import to_json
from stages.core.heads import head_file
from stages.export import normalization
from stages.export.network import described, exported_network


def export(config: Config) -> None:
    model = config.model
    network = exported_network(model, output.print)
    norms = network.norms()
    check = {"nodes": len(network.model.graph.node), "max_difference": network.difference, "bound": model.fp32_diff}
    with stage_output(EXPORT) as folder:
        save_model(folder / FLOAT_MODEL.name, network.model)
        write_json(folder / INPUTS.name, to_json(network.inputs))
        write_json(folder / DETECTOR.name, head_file.to_json(network.head))
        write_json(folder / NORMALIZATION.name, normalization.to_json(norms))
        write_json(folder / NODE_RANGES.name, network.ranges)
        save_settings(folder, export_settings(model))
        write_json(folder / "check.json", check)
    for line in described(network, model):
        output.print(line)


if __name__ == "__main__":
    run_stage(export, __doc__ or "")
