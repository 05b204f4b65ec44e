"""From a PyTorch module to ONNX, and the module's own answers."""

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.export.sources.pytorch.library import brief, import_torch

if TYPE_CHECKING:
    import torch

__all__ = ["reference", "trace"]

TRACED_OPSET = 17  # the TorchScript exporter's newest well-tested opset that vendors' converters still read
CONTROL_FLOW = ("prim::If", "prim::Loop")


def trace(
    module: "torch.nn.Module",
    inputs: Sequence[NDArray[np.float32]],
    names: Sequence[str],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """Trace a module to ONNX.

    The TorchScript exporter is used because it names nodes by their module path (`/_blocks.1/_expand_conv/Conv`),
    which is what tables, skip lists and dumps show.

    Args:
        module: in evaluation mode.
        inputs: one float32 array an input.
        names: the inputs' names.
        outputs: the outputs' names; empty: the exporter's own.

    Raises:
        UserError: if the module cannot be traced.
    """
    torch = import_torch()
    buffer = io.BytesIO()
    arguments = tuple(torch.from_numpy(array) for array in inputs)
    torch._C._jit_set_onnx_log_enabled(False)  # it prints whole graphs where it fails
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                arguments,
                buffer,
                dynamo=False,
                opset_version=TRACED_OPSET,
                input_names=list(names),
                output_names=list(outputs) or None,
            )
    except Exception as error:  # the exporter raises many types
        hint = "; it has branches or loops: save what torch.jit.trace gives of it" if _branches(module) else ""
        name = getattr(module, "original_name", type(module).__name__)
        raise UserError(f"PyTorch cannot export {name} to ONNX: {brief(error)}{hint}") from error
    return onnx.load_from_string(buffer.getvalue())


def _branches(module: Any) -> bool:
    """Whether a TorchScript module has control flow."""
    graph = getattr(module, "inlined_graph", None)
    return graph is not None and any(node.kind() in CONTROL_FLOW for node in graph.nodes())


def reference(module: "torch.nn.Module", inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Run the module itself; gives its outputs, nested ones in order.

    Raises:
        UserError: if it gives something else than tensors.
    """
    torch = import_torch()

    def flatten(value: Any) -> list[NDArray[np.float32]]:
        if isinstance(value, torch.Tensor):
            return [value.numpy()]
        if not isinstance(value, list | tuple | dict):
            raise UserError(f"the network gives a value of type {type(value).__name__}, which is no tensor")
        members = value.values() if isinstance(value, dict) else value
        return [array for member in members for array in flatten(member)]

    with torch.no_grad():
        return flatten(module(*(torch.from_numpy(array) for array in inputs)))
