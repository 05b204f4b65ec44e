"""ONNX Runtime sessions, all made the same way."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Timer
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
SILENT = 4
"""Below fatal nothing is printed: what is wrong is raised, and said in a line."""
MOST_SECONDS = 60
"""A network with loops that takes longer for one sample is taken for one that does not end."""
MOST_LETTERS = 300
"""Of ONNX Runtime's words."""
ELEMENT_BYTES = 4
LARGE_BYTES = 64 * 2**20
"""Of an input, above which memory is given back after each tensor: ONNX Runtime's arena would keep twice as much."""

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
        options.log_severity_level = SILENT
        options.intra_op_num_threads = 1
        level = onnxruntime.GraphOptimizationLevel
        if isinstance(model, onnx.ModelProto) and _input_bytes(model) > LARGE_BYTES:
            options.enable_cpu_mem_arena = options.enable_mem_pattern = False
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
            raise UserError(f"ONNX Runtime cannot load the network: {_plain(error)}") from error
        nodes = model.graph.node if isinstance(model, onnx.ModelProto) else ()
        self._loops = [node.name or node.output[0] for node in nodes if node.op_type in ("Loop", "Scan")]
        self.inputs: dict[str, list[int | str]] = _shapes(self._session.get_inputs())
        self.outputs: dict[str, list[int | str]] = _shapes(self._session.get_outputs())

    @property
    def output_bytes(self) -> int:
        """What the outputs of static shape take, 4 bytes an element."""
        shapes = [[size for size in shape if isinstance(size, int)] for shape in self.outputs.values()]
        return ELEMENT_BYTES * sum(map(math.prod, shapes))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run once; gives every output by name.

        Raises:
            UserError: if a node cannot run, or a Loop does not end.
        """
        options = onnxruntime.RunOptions()
        options.log_severity_level = SILENT
        timer = Timer(MOST_SECONDS, lambda: setattr(options, "terminate", True)) if self._loops else None
        if timer:
            timer.start()
        try:
            return dict(zip(self.outputs, self._session.run(list(self.outputs), dict(feeds), options), strict=True))
        except Exception as error:  # ONNX Runtime's own exception types share no base
            if options.terminate:
                listed = ", ".join(self._loops)
                raise UserError(f"the network does not end within {MOST_SECONDS} s: its loops are {listed}") from error
            raise UserError(_reason(error)) from error
        finally:
            if timer:
                timer.cancel()


def _input_bytes(model: onnx.ModelProto) -> int:
    """Of the largest input."""
    shapes = ([dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in model.graph.input)
    return ELEMENT_BYTES * max(map(math.prod, shapes), default=0)


def _reason(error: Exception) -> str:
    """What ONNX Runtime says, in one line, with the node first and without colours and the places in its own code."""
    text = _plain(error)
    node = re.search(r"running (\S+) node\. Name:'(.*?)' Status Message: (.*)", text)
    if node is None:
        return f"ONNX Runtime cannot run the network: {text[:MOST_LETTERS]}"
    return f"node {node[2]!r} ({node[1]}) cannot run: {node[3][:MOST_LETTERS]}"


def _plain(error: Exception) -> str:
    return re.sub(r"\x1b\[[0-9;]*m|\S*/onnxruntime/\S*", "", one_line(error))


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
