"""Reads model.source; writes out/export: model.onnx, inputs.json, normalization.json, check.json."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from stages.core.base.artifacts import output_folder, save_model, write_json
from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.base.paths import EXPORT, FLOAT_MODEL, INPUTS, NORMALIZATION
from stages.core.base.sources import SourceFile
from stages.core.command import run_stage
from stages.core.config.schema import Config, ModelConfig
from stages.core.data.inputs import assign_names, resolve_inputs, to_json
from stages.core.data.local_files import model_file
from stages.core.graph.onnx_graph import parse_model
from stages.core.graph.session import Runner
from stages.export import canonical, normalization, torch_source, verify


def export(config: Config) -> None:
    model = config.model
    file = model_file(model)
    if file and Path(file.name).suffix.lower() == ".onnx":
        source, torch_difference, norms = _load_onnx(file), 0.0, None
    else:
        source, torch_difference, norms = _from_torch(model, file)

    cut = canonical.find_cut(source, [entry.name for entry in model.inputs], model.outputs)
    configured = [replace(entry, name=name) for entry, name in zip(model.inputs, cut.configured, strict=True)]
    own = list(canonical.graph_shapes(source))
    fed = [entry for entry in configured if not entry.name or entry.name in own]
    shapes = {name: entry.shape for name, entry in assign_names(fed, own).items()}
    static = canonical.fix_shapes(source, shapes, cut_off=set(own) - set(cut.inputs))
    exported = canonical.canonicalize(static, cut)
    inputs = resolve_inputs(configured, canonical.graph_shapes(exported))

    source_inputs = resolve_inputs(fed, canonical.graph_shapes(static))
    feeds = verify.random_feeds(source_inputs) | verify.zeros(static)
    difference = max(torch_difference, verify.network_difference(static, exported, cut, feeds))
    verify.check_difference(difference, model.fp32_diff)
    if norms is None:
        norms = normalization.onnx_norms(static, feeds)
    found = normalization.located(norms, exported, verify.values_at(static, cut.inputs, feeds))

    with output_folder(EXPORT) as folder:
        save_model(folder / FLOAT_MODEL.name, exported)
        write_json(folder / INPUTS.name, to_json(inputs))
        write_json(folder / NORMALIZATION.name, normalization.to_json(found))
        write_json(
            folder / "check.json",
            {"nodes": len(exported.graph.node), "max_difference": difference, "bound": model.fp32_diff},
        )
    listed = ", ".join(f"{entry.name} {list(entry.shape)}" for entry in inputs)
    output.print(
        f"exported {model.name}: {len(exported.graph.node)} nodes, inputs {listed}, "
        f"largest difference to the source {difference:.2g} (allowed {model.fp32_diff:g})",
    )


def _load_onnx(file: SourceFile) -> onnx.ModelProto:
    model = parse_model(file.read(), file.name)
    outside = sorted(
        {entry.value for t in model.graph.initializer for entry in t.external_data if entry.key == "location"}
    )
    if outside:
        raise UserError(
            f"model.source: {file.name} keeps weights in other files ({', '.join(outside)}), which the cache cannot "
            "watch: save it as one, with onnx.save(onnx.load(...), ...)"
        )
    return model


def _from_torch(model: ModelConfig, file: SourceFile | None) -> tuple[onnx.ModelProto, float, list[normalization.Norm]]:
    """Trace the module; gives the network, its largest difference to the module, and the module's batch norms."""
    shapes = {entry.name or f"input_{i}": entry.shape for i, entry in enumerate(model.inputs)}
    unknown = next((name for name, shape in shapes.items() if not shape), None)
    if unknown:
        raise UserError(
            f"model.inputs: {unknown!r} has no shape; a PyTorch module is traced with one, as [1,3,224,224]"
        )
    module = torch_source.build_module(model, file)
    inputs = resolve_inputs(model.inputs, {name: shape or [] for name, shape in shapes.items()})
    feeds = verify.random_feeds(inputs)
    arrays = list(feeds.values())
    traced = torch_source.trace(module, arrays, list(feeds), model.torch.output_names)
    expected = torch_source.reference(module, arrays)
    found = Runner(traced, optimize="none").run(feeds)
    pairs = zip(expected, found.values(), strict=True)
    difference = max(verify.largest_difference(np.asarray(a), b) for a, b in pairs)
    return traced, difference, normalization.torch_norms(module, arrays)


if __name__ == "__main__":
    run_stage(export, __doc__ or "")
