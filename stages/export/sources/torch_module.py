"""Reading a network that is a PyTorch module: built from a callable and a checkpoint, and traced to ONNX."""

import importlib
import io
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.console import console
from stages.core.base.errors import UserError, one_line
from stages.core.base.sources import SourceFile, import_path
from stages.core.base.user_code import import_callable
from stages.core.config.schema import ModelConfig
from stages.core.data.inputs import resolve_inputs
from stages.core.graph.session import Runner
from stages.export.normalization import torch_norms
from stages.export.sources.source_network import SourceNetwork
from stages.export.verify import largest_difference, random_feeds

if TYPE_CHECKING:
    import torch

__all__ = ["build_module", "read_module", "reference", "trace"]

TRACED_OPSET = 17  # the TorchScript exporter's newest well-tested opset that vendors' converters still read
NESTED_KEYS = ("state_dict", "model", "model_state_dict", "ema")
"""Keys under which checkpoints keep their weights."""


def read_module(config: ModelConfig, checkpoint: SourceFile | None) -> SourceNetwork:
    """Build the configured module, trace it, and compare the trace with it.

    Raises:
        UserError: if the module cannot be built or traced, or an input has no shape to trace it with.
    """
    shapes = {network_input.name or f"input_{i}": network_input.shape for i, network_input in enumerate(config.inputs)}
    unknown = next((name for name, shape in shapes.items() if not shape), None)
    if unknown:
        raise UserError(
            f"model.inputs: {unknown!r} has no shape; a PyTorch module is traced with one, as [1,3,224,224]"
        )
    module = build_module(config, checkpoint)
    feeds = random_feeds(resolve_inputs(config.inputs, {name: shape or [] for name, shape in shapes.items()}))
    arrays = list(feeds.values())
    traced = trace(module, arrays, list(feeds), config.torch.output_names)
    outputs = Runner(traced, optimize="none").run(feeds)
    pairs = zip(reference(module, arrays), outputs.values(), strict=True)
    difference = max(largest_difference(np.asarray(expected), output) for expected, output in pairs)
    return SourceNetwork(traced, difference, torch_norms(module, arrays))


def build_module(config: ModelConfig, checkpoint: SourceFile | None) -> "torch.nn.Module":
    """Call the configured callable and load the checkpoint into its module.

    Raises:
        UserError: if PyTorch, the callable or the checkpoint is missing or does not fit.
    """
    torch = _import_torch()
    if not config.torch.callable:
        raise UserError("model.torch.callable is empty: a checkpoint needs module:function that builds its module")
    if config.torch.code:
        sys.path.insert(0, import_path(config.torch.code))
    factory = import_callable(config.torch.callable, "model.torch.callable", "model.torch.code can add a path")
    torch.manual_seed(0)  # a module without a checkpoint has the same weights each time
    if checkpoint is None:
        console.print(f"no model.source: the weights are those that {config.torch.callable} gives")
    try:
        module = factory(**config.torch.arguments)
    except Exception as error:  # the user's own code may raise anything
        raise UserError(f"model.torch.callable={config.torch.callable} failed: {one_line(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"model.torch.callable={config.torch.callable} gave {type(module).__name__}, not an nn.Module")
    if checkpoint:
        _load_weights(module, checkpoint)
    return module.eval()


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
    torch = _import_torch()
    buffer = io.BytesIO()
    arguments = tuple(torch.from_numpy(array) for array in inputs)
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
        raise UserError(f"PyTorch cannot export {type(module).__name__} to ONNX: {one_line(error)}") from error
    return onnx.load_from_string(buffer.getvalue())


def reference(module: "torch.nn.Module", inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Run the module itself; gives its outputs, nested ones in order."""
    torch = _import_torch()

    def flatten(value: Any) -> list[NDArray[np.float32]]:
        if isinstance(value, torch.Tensor):
            return [value.numpy()]
        members = value.values() if isinstance(value, dict) else value
        return [array for member in members for array in flatten(member)]

    with torch.no_grad():
        return flatten(module(*(torch.from_numpy(array) for array in inputs)))


def _import_torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise UserError('PyTorch is not installed: pip install -e ".[torch]"') from error


def _load_weights(module: "torch.nn.Module", checkpoint: SourceFile) -> None:
    torch = _import_torch()
    try:
        content = torch.load(io.BytesIO(checkpoint.read()), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own
        raise UserError(f"model.source: {checkpoint.name} is not a checkpoint of weights: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"model.source: {checkpoint.name} holds a {type(content).__name__}, not weights by name")
    weights = next((content[key] for key in NESTED_KEYS if isinstance(content.get(key), dict)), content)
    try:
        module.load_state_dict(weights)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UserError(f"model.source: {checkpoint.name} does not fit the module: {one_line(error)}") from error
