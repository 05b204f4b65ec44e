"""What a reader gives."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from stages.core.config.schema import ModelConfig
from stages.core.data.model_files import ModelFiles
from stages.export.normalization import Norm

__all__ = ["Reader", "SourceNetwork"]


@dataclass(frozen=True)
class SourceNetwork:
    """A network as ONNX.

    Attributes:
        model: what the files compute.
        difference: its largest absolute difference to the format's own runtime, over all outputs on random input; 0
            where the file is ONNX.
        norms: its first batch norms, where the reader knows them better than the graph does; None: as in the graph.
    """

    model: onnx.ModelProto
    difference: float = 0.0
    norms: list[Norm] | None = None


Reader = Callable[[ModelConfig, ModelFiles], SourceNetwork]
