"""The float network whose tensors quantize gave codes to."""

import onnx

from stages.core.base.paths import FLOAT_MODEL, STRUCTURED_MODEL
from stages.core.graph.onnx_graph import load_model

__all__ = ["load_structured"]


def load_structured() -> onnx.ModelProto:
    """Load the float network as the SOC's converter structures it; where quantize wrote none, it is export's.

    Raises:
        UserError: if it is missing or damaged.
    """
    return load_model(STRUCTURED_MODEL if STRUCTURED_MODEL.exists() else FLOAT_MODEL)
