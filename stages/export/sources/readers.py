"""Which reader takes which format."""

from collections.abc import Mapping

from stages.core.config.schema import ModelConfig
from stages.core.data.model_files import SourceFormat, model_files
from stages.export.sources.onnx_file import read_onnx
from stages.export.sources.source_network import Reader, SourceNetwork
from stages.export.sources.tensorflow_files import KINDS, read_tensorflow
from stages.export.sources.torch_module import read_module

__all__ = ["READERS", "read_source"]

READERS: Mapping[SourceFormat, Reader] = {
    SourceFormat.onnx: lambda _, files: read_onnx(files),
    SourceFormat.checkpoint: lambda config, files: read_module(config, files.main),
    **dict.fromkeys(KINDS, read_tensorflow),
}


def read_source(config: ModelConfig) -> tuple[SourceNetwork, str]:
    """Read the network that `model` names.

    Returns:
        The network, and what messages call it.

    Raises:
        UserError: if it cannot be read.
    """
    files = model_files(config.source)
    if files is None:
        return read_module(config, None), config.name
    return READERS[files.format](config, files), files.name
