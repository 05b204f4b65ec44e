"""The weights in a file, by name: which copy of them, and under which prefix."""

import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stages.core.base.console import console
from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.export.sources.pytorch.archive import FileKind, Outline, file_kind, outline
from stages.export.sources.pytorch.library import brief, import_torch
from stages.export.sources.pytorch.programs import load_program, load_script

if TYPE_CHECKING:
    import torch

__all__ = ["load_weights", "without_callable"]

Weights = Mapping[str, "torch.Tensor"]

EMA_KEYS = ("ema", "state_dict_ema", "model_ema", "params_ema", "ema_net")
"""Where the moving averages of the weights are, which their owners evaluate: Ultralytics, RT-DETR; timm; BasicSR;
SuperGradients. Not `ema_state_dict`: MMEngine puts the averages into `state_dict` when it saves."""
WEIGHT_KEYS = ("state_dict", "model", "model_state_dict", "params", "net", "network", "weights", "module")
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What DataParallel, Lightning and torch.compile put before names."""
HARMLESS = ("torch._utils.", "torch.Size", "torch.device", "torch.serialization.", "argparse.", "numpy.core.multi")
"""Modules whose objects are values."""
SAFETENSORS_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def load_weights(module: "torch.nn.Module", file: SourceFile) -> None:
    """Load the weights of a file into a module.

    Raises:
        UserError: if the file holds none, would run code, or does not fit.
    """
    weights = _fitted(_weights_of(file), module.state_dict())
    try:
        module.load_state_dict(dict(weights))
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UserError(f"model.source: {file.name} does not fit the module: {brief(error)}") from error


def _weights_of(file: SourceFile) -> Weights:
    content = file.read()
    kind = file_kind(content)
    if kind is FileKind.script:
        return dict(load_script(content, file.name).state_dict())
    if kind is FileKind.program:
        return dict(load_program(content, file.name).state_dict)
    if kind is FileKind.tensors:
        return _safetensors(content, file.name)
    torch = import_torch()
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own
        raise _refusal(content, file.name) from error
    if not isinstance(loaded, Mapping):
        raise UserError(f"model.source: {file.name} holds a {type(loaded).__name__}, not weights by name")
    path = _path_to_weights(loaded, lambda value: isinstance(value, torch.Tensor))
    if path is None:
        raise UserError(f"model.source: {file.name} holds no weights by name; its keys are {_listed(loaded)}")
    if path and path[0] in EMA_KEYS:
        console.print(f"{file.name}: the moving average of the weights is taken ({path[0]!r})")
    weights: Weights = loaded
    for key in path:
        weights = loaded = loaded[key]
    return weights


def _path_to_weights(content: Mapping[Any, Any], is_tensor: Any) -> tuple[str, ...] | None:
    """Keys that lead to the weights, an averaged copy first; empty: they are the content. None: there are none."""
    for key in (*EMA_KEYS, *WEIGHT_KEYS):
        value = content.get(key)
        if isinstance(value, Mapping) and (inner := _path_to_weights(value, is_tensor)) is not None:
            return (key, *inner)
    return () if any(is_tensor(value) for value in content.values()) else None


def _listed(content: Mapping[Any, Any]) -> str:
    return ", ".join(str(key) for key in list(content)[:8])


def _refusal(content: bytes, name: str) -> UserError:
    """Say why a file is not read, and what to write instead."""
    found = outline(content)
    if found is None:
        return _damaged(name)
    objects, expression = _python_objects(found)
    listed = f" ({objects[0].name})" if objects else ""
    line = f'import torch; torch.save(torch.load("{name}", weights_only=False){expression}, "weights.pt")'
    return UserError(
        f"model.source: {name} holds Python objects{listed}, and to read them would run code from the file: where you "
        f"trust it and have its code, save the weights alone with python -c '{line}', and give weights.pt and "
        "model.torch.callable; or give what its own exporter writes, TorchScript or ONNX"
    )


def _damaged(name: str) -> UserError:
    return UserError(
        f"model.source: {name} is not a checkpoint of weights: it is damaged, or of another kind than torch.save writes"
    )


def _python_objects(found: Any) -> tuple[list[Outline], str]:
    """Objects of a checkpoint that have code, and what leads from the whole to the weights, as Python writes it."""
    if not isinstance(found, Mapping):
        return [found] if _is_object(found) else [], ".float().state_dict()"
    for key in (*EMA_KEYS, *WEIGHT_KEYS):
        if _is_object(found.get(key)):
            return [found[key]], f'["{key}"].float().state_dict()'
    path = _path_to_weights(found, _is_array)
    return [value for value in found.values() if _is_object(value)], "".join(f'["{key}"]' for key in path or ())


def without_callable(file: SourceFile) -> UserError:
    """Say what a file of weights needs: code that builds its module."""
    content = file.read()
    if file_kind(content) is FileKind.checkpoint:
        found = outline(content)
        if found is None:
            return _damaged(file.name)
        objects, _ = _python_objects(found)
        if objects:
            return _refusal(content, file.name)
    return UserError(
        f"model.torch.callable is empty: {file.name} holds weights and no layers: give module:function that builds its "
        "module, or a file that holds both, as torch.jit.trace(module, input).save(FILE) writes"
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, Outline) and value.name.startswith("torch._utils._rebuild")


def _is_object(value: Any) -> bool:
    """Whether a value of a pickle is an object with code of its own: no array, and no type or number of a library."""
    return isinstance(value, Outline) and not value.name.startswith(HARMLESS)


def _fitted(weights: Weights, wanted: Mapping[str, Any]) -> Weights:
    """The weights under the prefix with which most names are those that the module wants."""
    return min(_under_prefixes(weights, wanted), key=lambda one: len(set(one) ^ set(wanted)))


def _under_prefixes(weights: Weights, wanted: Mapping[str, Any], depth: int = 2) -> Iterator[Weights]:
    """The weights as they are, and without prefixes that some or all names have; or with one that all wanted have."""
    yield weights
    for prefix in PREFIXES:
        inner = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if inner and depth:
            yield from _under_prefixes(inner, wanted, depth - 1)
        if wanted and all(name.startswith(prefix) for name in wanted):
            yield {f"{prefix}{name}": value for name, value in weights.items()}


def _safetensors(content: bytes, name: str) -> Weights:
    """Read a file of the safetensors format: the length of a JSON header, the header, and the arrays one by one."""
    torch = import_torch()
    weights = {}
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        arrays = bytearray(content[8 + length :])  # a tensor needs memory that can be written
        header.pop("__metadata__", None)
        for key, entry in header.items():
            first, last = entry["data_offsets"]
            kind = getattr(torch, SAFETENSORS_TYPES[entry["dtype"]])
            count = (last - first) // kind.itemsize
            values = torch.frombuffer(arrays, dtype=kind, count=count, offset=first) if count else torch.zeros(0)
            weights[key] = values.to(kind).reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"model.source: {name} is no safetensors file, or damaged: copy it again") from error
    return weights
