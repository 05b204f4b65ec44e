"""Reading a network that is an ONNX file already."""

from stages.core.base.console import console
from stages.core.base.errors import UserError
from stages.core.data.model_files import ModelFiles
from stages.core.graph.onnx_graph import parse_model
from stages.export.float16 import has_float16, in_float32
from stages.export.sources.source_network import SourceNetwork

__all__ = ["read_onnx"]


def read_onnx(files: ModelFiles) -> SourceNetwork:
    """Read the file of `model.source`; a network in half precision is read as float32.

    Raises:
        UserError: if it is not ONNX, or keeps its weights in other files.
    """
    file = files.main
    model = parse_model(file.read(), file.name)
    external = sorted(
        {item.value for tensor in model.graph.initializer for item in tensor.external_data if item.key == "location"}
    )
    if external:
        raise UserError(
            f"model.source: {file.name} keeps weights in other files ({', '.join(external)}), which the cache cannot "
            "watch: save it as one, with onnx.save(onnx.load(...), ...)"
        )
    if has_float16(model):
        console.print(f"{file.name} is float16: read as float32")
        model = in_float32(model)
    return SourceNetwork(model)
