"""Networks that a file holds whole: TorchScript, and programs of torch.export. No code is needed beside them."""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.core.base.errors import UserError, did_you_mean
from stages.export.sources.pytorch.archive import FileKind, traced_shapes
from stages.export.sources.pytorch.library import brief, import_torch

if TYPE_CHECKING:
    import torch

__all__ = ["Program", "load_program", "load_script", "read_program"]

SAFE_LOADING = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""PyTorch reads example inputs of a program unsafely if it cannot read them safely; with this it never does."""


@dataclass(frozen=True)
class Program:
    """A network of a file.

    Attributes:
        module: computes it.
        exported: the form that is exported to ONNX, whose parts have names; computes the same.
        inputs: the tensors that it takes, with their shapes where the file has them.
    """

    module: "torch.nn.Module"
    exported: "torch.nn.Module"
    inputs: dict[str, list[int] | None]


def read_program(kind: FileKind, content: bytes, name: str, part: str | None) -> Program:
    """Read a TorchScript file or a program of torch.export.

    Args:
        kind: which of the two.
        content: the file.
        name: what errors call it.
        part: the submodule to read; None: all of it.

    Raises:
        UserError: if it is damaged, has no such part, or takes something else than tensors.
    """
    if kind is FileKind.script:
        script = _part(load_script(content, name), part, name)
        inputs = _script_inputs(script, name)
        if not part:
            shapes = traced_shapes(content)
            inputs |= dict(zip(inputs, shapes, strict=False))
        return Program(script, script, inputs)
    program = load_program(content, name)
    if part:
        raise UserError(f"model.torch.submodule={part}: {name} is a program of torch.export, which is read whole")
    torch = import_torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module, exported = program.module(), torch.export.unflatten(program)
    except Exception as error:  # as of torch.load
        raise UserError(f"model.source: {name} cannot be run: {brief(error)}") from error
    for parameter in exported.parameters():
        parameter.requires_grad_(False)
    return Program(module, exported, _program_inputs(program))


def load_script(content: bytes, name: str) -> "torch.jit.ScriptModule":
    """Load a TorchScript file on the CPU.

    Raises:
        UserError: if it is damaged.
    """
    torch = import_torch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
    except Exception as error:  # RuntimeError mostly; what a damaged file raises is not said anywhere
        raise UserError(f"model.source: {name} cannot be read as TorchScript: {brief(error)}") from error


def load_program(content: bytes, name: str) -> Any:
    """Load a program of torch.export.

    Raises:
        UserError: if it is damaged, or holds Python objects.
    """
    torch = import_torch()
    try:
        with warnings.catch_warnings(), _safe_loading():
            warnings.simplefilter("ignore")
            return torch.export.load(io.BytesIO(content))
    except Exception as error:  # as above
        raise UserError(f"model.source: {name} cannot be read as a torch.export program: {brief(error)}") from error


@contextmanager
def _safe_loading() -> Iterator[None]:
    before = os.environ.get(SAFE_LOADING)
    os.environ[SAFE_LOADING] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_LOADING]
        else:
            os.environ[SAFE_LOADING] = before


def _part(script: "torch.jit.ScriptModule", part: str | None, name: str) -> "torch.jit.ScriptModule":
    if not part:
        return script
    parts = {label: module for label, module in script.named_modules() if label}
    if part not in parts:
        raise UserError(f"model.torch.submodule={part}: {name} has no such part; {did_you_mean(part, parts)}")
    return parts[part]


def _script_inputs(script: "torch.jit.ScriptModule", name: str) -> dict[str, list[int] | None]:
    """Tensors that a TorchScript module takes, those with a default among them: a trace has all of them."""
    arguments = _arguments(script)
    wrong = next((one for one in arguments if not _is_tensor(one) and not one.has_default_value()), None)
    tensors = [one for one in arguments if _is_tensor(one)]
    if wrong is not None or not tensors:
        parts = [label for label, part in script.named_modules() if label and _takes_tensors(part)]
        what = f"takes {wrong.name!r} ({wrong.type}), which is no tensor" if wrong is not None else "takes no tensor"
        listed = ", ".join(parts[:4]) or "it has none"
        raise UserError(
            f"model.source: {name} {what}: give model.torch.submodule, a part that takes tensors ({listed})"
        )
    return {one.name: None for one in tensors}


def _arguments(script: Any) -> Sequence[Any]:
    """What forward takes, without the module itself; nothing if it has no forward."""
    return script.forward.schema.arguments[1:] if script._c._has_method("forward") else ()


def _is_tensor(argument: Any) -> bool:
    return str(argument.type) == "Tensor"


def _takes_tensors(script: Any) -> bool:
    arguments = _arguments(script)
    return any(map(_is_tensor, arguments)) and all(_is_tensor(one) or one.has_default_value() for one in arguments)


def _program_inputs(program: Any) -> dict[str, list[int] | None]:
    """Tensors that a program takes; a size that may vary is 0."""
    wanted = set(program.graph_signature.user_inputs)
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in wanted]
    return {
        node.name: [size if isinstance(size, int) else 0 for size in node.meta["val"].shape] for node in placeholders
    }
