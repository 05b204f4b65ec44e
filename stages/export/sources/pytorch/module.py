"""Building a PyTorch module: from a callable, and a file of weights."""

import sys
from functools import cache
from typing import TYPE_CHECKING

from stages.core.base.console import console
from stages.core.base.errors import UserError, one_line
from stages.core.base.sources import SourceFile, import_path
from stages.core.base.user_code import import_callable
from stages.core.config.schema import ModelConfig
from stages.export.sources.pytorch.library import import_torch
from stages.export.sources.pytorch.weights import load_weights, without_callable

if TYPE_CHECKING:
    import torch

__all__ = ["build_module"]


def build_module(config: ModelConfig, checkpoint: SourceFile | None) -> "torch.nn.Module":
    """Call the configured callable and load the checkpoint into its module.

    Raises:
        UserError: if PyTorch, the callable or the checkpoint is missing or does not fit.
    """
    if not config.torch.callable:
        raise without_callable(checkpoint) if checkpoint else UserError("model.torch.callable is empty")
    torch = import_torch()
    if config.torch.code:
        path = import_path(config.torch.code)
        if path not in sys.path:
            sys.path.insert(0, path)
    factory = import_callable(config.torch.callable, "model.torch.callable", "model.torch.code can add a path")
    torch.manual_seed(0)  # a module without a checkpoint has the same weights each time
    if checkpoint is None:
        _say_whose_weights(config.torch.callable)
    try:
        module = factory(**config.torch.arguments)
    except Exception as error:  # the user's own code may raise anything
        raise UserError(f"model.torch.callable={config.torch.callable} failed: {one_line(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"model.torch.callable={config.torch.callable} gave {type(module).__name__}, not an nn.Module")
    if checkpoint:
        load_weights(module, checkpoint)
    return module.eval()


@cache
def _say_whose_weights(callable_name: str) -> None:
    """Say once where weights come from; `init` builds a module several times."""
    console.print(f"no model.source: the weights are those that {callable_name} gives")
