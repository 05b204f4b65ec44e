"""Reading a network that is an ONNX file already."""

from stages.core.base.console import console
from stages.core.config.schema import ModelConfig
from stages.core.data.model_files import ModelFiles
from stages.core.graph.onnx_graph import parse_model
from stages.export.float16 import in_float32, other_precision
from stages.export.sources.external_data import load_external_data
from stages.export.sources.source_network import SourceNetwork
from stages.export.standard_form.standard_form import standard_form

__all__ = ["read_onnx"]


def read_onnx(config: ModelConfig, files: ModelFiles) -> SourceNetwork:
    """Read the file of `model.source` and the weights beside it; a network in half precision is read as float32.

    Raises:
        UserError: if it is not ONNX, lacks a file of its weights, or has an operator that never was in the standard.
    """
    file = files.main
    model = parse_model(file.read(), file.name)
    load_external_data(model, file, files.others, config.source or "")
    model = standard_form(model, file.name)
    precision = other_precision(model)
    if precision is not None:
        console.print(f"{file.name} is {precision}: read as float32")
        model = in_float32(model)
    return SourceNetwork(model)
