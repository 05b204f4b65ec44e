"""Which reader takes which format."""

from collections.abc import Mapping
from dataclasses import replace

from stages.core.config.schema import ModelConfig
from stages.core.data.model_files import SourceFormat, model_files
from stages.export.sources.caffe.reader import read_caffe
from stages.export.sources.constant_inputs import with_constants
from stages.export.sources.mxnet.reader import read_mxnet
from stages.export.sources.onnx_file import read_onnx
from stages.export.sources.pytorch.reader import read_pytorch
from stages.export.sources.source_network import Reader, SourceNetwork
from stages.export.sources.tensorflow_files import KINDS, read_tensorflow

__all__ = ["READERS", "read_source"]

READERS: Mapping[SourceFormat, Reader] = {
    SourceFormat.onnx: read_onnx,
    SourceFormat.caffe: read_caffe,
    SourceFormat.mxnet: read_mxnet,
    SourceFormat.checkpoint: lambda config, files: read_pytorch(config, files.main),
    **dict.fromkeys(KINDS, read_tensorflow),
}


def read_source(config: ModelConfig) -> tuple[SourceNetwork, str]:
    """Read the network that `model` names; `model.constants` are no inputs of it.

    Returns:
        The network, and what messages call it.

    Raises:
        UserError: if it cannot be read.
    """
    read, name = _read(config)
    return replace(read, model=with_constants(read.model, config.constants, config.inputs)), name


def _read(config: ModelConfig) -> tuple[SourceNetwork, str]:
    files = model_files(config.source)
    if files is None:
        return read_pytorch(config, None), config.name
    return READERS[files.format](config, files), files.name
