"""ONNX Runtime sessions, all made the same way."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from stages.core.base.checksums import checked_file
from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import used_names

__all__ = ["Runner", "with_outputs"]


Optimize = Literal["all", "safe", "none"]

REARRANGING_OPTIMIZERS = [
    "ConvAddFusion",
    "ConvBNFusion",
    "ConvMulFusion",
    "DivMulFusion",
    "GemmSumFusion",
    "MatMulAddFusion",
    "MatMulBNFusion",
    "MatMulScaleFusion",
]
"""ONNX Runtime's optimizers that fold one constant into another, or a sum into a product."""


class Runner:
    """A network ready to run on the CPU.

    `optimize` says how far ONNX Runtime may rewrite the graph: "all" for float networks; "safe" for a simulator, whose
    constants must stay the integers that they are; "none" for a network of QuantizeLinear and DequantizeLinear, so that
    each acts as the standard says and none is fused into a kernel that rounds otherwise.

    It runs in the caller's thread: shared out to several, a sum would depend on their number. Several threads may run
    it at once, see `in_order`.
    """

    def __init__(
        self,
        model: onnx.ModelProto | Path,
        *,
        optimize: Optimize = "all",
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_DISABLE_ALL if optimize == "none" else level.ORT_ENABLE_ALL
        source = str(checked_file(model)) if isinstance(model, Path) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(
                source,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=REARRANGING_OPTIMIZERS if optimize == "safe" else [],
            )
        except Exception as error:  # ONNX Runtime's own exception types share no base
            raise UserError(f"ONNX Runtime cannot load the network: {one_line(error)}") from error
        self.inputs: dict[str, list[int | str]] = _shapes(self._session.get_inputs())
        self.outputs: dict[str, list[int | str]] = _shapes(self._session.get_outputs())

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run once; gives every output by name."""
        return dict(zip(self.outputs, self._session.run(list(self.outputs), dict(feeds)), strict=True))


def _shapes(tensors: Sequence[Any]) -> dict[str, list[int | str]]:
    return {tensor.name: list(tensor.shape) for tensor in tensors}


def with_outputs(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """Copy a model so that it returns just these tensors, in this order, and runs no node that they do not need."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    needed, kept = set(tensors), []
    for node in reversed(shown.graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= used_names([node])
    del shown.graph.node[:]
    shown.graph.node.extend(kept[::-1])
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    return shown
