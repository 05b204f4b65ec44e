"""Weights of an ONNX network that lie in files beside it."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import onnx
from onnx import AttributeProto, TensorProto

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.data.model_files import IncompleteSourceError

__all__ = ["load_external_data"]

MOST_DIGITS = 18
"""Of a number of bytes."""


def load_external_data(model: onnx.ModelProto, main: SourceFile, others: Sequence[SourceFile], source: str) -> None:
    """Read the weights that a network keeps in other files into it, in place.

    Args:
        model: the network.
        main: its file.
        others: the files beside it.
        source: `model.source`, for messages.

    Raises:
        IncompleteSourceError: if a file that it names is not among them.
        UserError: if one is too short, or a weight does not say where it lies.
    """
    tensors = [tensor for tensor in _tensors(model.graph) if tensor.data_location == TensorProto.EXTERNAL]
    if not tensors:
        return
    folder = PurePosixPath(main.name).parent
    by_name = {file.name: file for file in others}
    needed = sorted({_place(tensor, main)[0] for tensor in tensors})
    missing = [location for location in needed if str(folder / location) not in by_name]
    if missing:
        wanted = f"{main.name} keeps weights in {', '.join(missing)}"
        raise IncompleteSourceError(wanted, _whole(source, main, needed))
    contents = {location: by_name[str(folder / location)].read() for location in needed}
    for tensor in tensors:
        location, start, length = _place(tensor, main)
        content = contents[location]
        stop = len(content) if length is None else start + length
        if stop > len(content):
            raise UserError(
                f"model.source: {location} ends before the weight {tensor.name!r}: it is not the file that "
                f"{main.name} was saved with"
            )
        tensor.raw_data = content[start:stop]
        tensor.ClearField("data_location")
        del tensor.external_data[:]


def _whole(source: str, main: SourceFile, locations: Sequence[str]) -> str:
    """A source of a network's file and of the files of its weights."""
    file = PurePosixPath(main.name).name
    body, mark, digest = source.partition("#")
    return f"{body.removesuffix(file)}{{{','.join([file, *locations])}}}{mark}{digest}"


def _place(tensor: TensorProto, main: SourceFile) -> tuple[str, int, int | None]:
    """The file of a weight, where in it the weight begins, and its bytes; None: all that follow."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    numbers = [entries.get("offset", "0"), entries.get("length", "0")]
    if not entries.get("location") or not all(text.isascii() and text.isdigit() for text in numbers):
        raise UserError(
            f"model.source: {main.name} is damaged: it does not say where in another file the weight {tensor.name!r} "
            "lies"
        )
    start, length = (int(text[:MOST_DIGITS]) for text in numbers)
    return entries["location"], start, length if "length" in entries else None


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Every constant of a graph and of the bodies of its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            for inner in (*attribute.graphs, *([attribute.g] if attribute.type == AttributeProto.GRAPH else [])):
                yield from _tensors(inner)
