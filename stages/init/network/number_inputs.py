"""Inputs that are one number, such as a sampling rate: constants, where the samples always have the same."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto

from stages.core.base.errors import UserError
from stages.core.base.file_names import file_names
from stages.core.base.sources import files_below
from stages.init.guess.guess import Guess, Sure
from stages.init.network.array_shapes import array_in

__all__ = ["number_inputs"]


def number_inputs(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], samples: Path | None
) -> tuple[dict[str, float | int], Guess | None]:
    """Find the inputs that are one number in the graph and the same number in all samples.

    Args:
        model: the source.
        shapes: of its inputs, 0 for a size that is not static.
        samples: folder of samples, or None.

    Returns:
        Input -> its number, and a guess on them; none where the graph has no such inputs, or the samples vary.

    Raises:
        UserError: for such an input that the samples do not have, or without samples.
    """
    types = {info.name: info.type.tensor_type.elem_type for info in model.graph.input}
    numbers = [name for name, shape in shapes.items() if _is_number(shape, types[name])]
    if not numbers or len(numbers) == len(shapes):
        return {}, None
    found: dict[str, float | int] = {}
    for name, file in zip(numbers, file_names(numbers), strict=True):
        seen = set(_numbers(samples, name, Path(file).stem)) if samples is not None else set()
        if not seen:
            lacking = "" if samples is None else ", which the samples lack"
            raise UserError(f"input {name!r} is one number{lacking}: give it, as in model.constants.{name}=VALUE")
        if len(seen) == 1:
            found[name] = seen.pop()
    shown = ", ".join(f"{name} {value:g}" for name, value in found.items())
    return found, Guess("constants", shown, "the samples have no other value", Sure.high) if found else None


def _is_number(shape: Sequence[int], kind: int) -> bool:
    """Whether an input is one number: a scalar, or an integer that may have axes of size 1."""
    return not shape or (kind != TensorProto.FLOAT and all(size == 1 for size in shape))


def _numbers(samples: Path, name: str, stem: str) -> Iterator[float | int]:
    """The values of an input in the samples."""
    for file in sorted(files_below(samples)):
        suffix = file.suffix.lower()
        own = suffix == ".npz" or (suffix == ".npy" and file.stem == stem)
        value = array_in(file, name) if own else None
        if value is not None and value.size == 1:
            number: float | int = value.item()
            yield number
