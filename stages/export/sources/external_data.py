"""Weights of an ONNX network that lie in files beside it."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import onnx
from onnx import AttributeProto, TensorProto

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.data.model_files import IncompleteSourceError

__all__ = ["load_external_data"]


def load_external_data(model: onnx.ModelProto, main: SourceFile, others: Sequence[SourceFile], source: str) -> None:
    """Read the weights that a network keeps in other files into it, in place.

    Args:
        model: the network.
        main: its file.
        others: the files beside it.
        source: `model.source`, for messages.

    Raises:
        IncompleteSourceError: if a file that it names is not among them.
        UserError: if one is too short.
    """
    tensors = [tensor for tensor in _tensors(model.graph) if tensor.data_location == TensorProto.EXTERNAL]
    if not tensors:
        return
    folder = PurePosixPath(main.name).parent
    by_name = {file.name: file for file in others}
    needed = sorted({_entries(tensor)["location"] for tensor in tensors})
    missing = [location for location in needed if str(folder / location) not in by_name]
    if missing:
        wanted = f"{main.name} keeps weights in {', '.join(missing)}"
        raise IncompleteSourceError(wanted, _whole(source, main, needed))
    contents = {location: by_name[str(folder / location)].read() for location in needed}
    for tensor in tensors:
        entries = _entries(tensor)
        start = int(entries.get("offset", 0))
        content = contents[entries["location"]]
        stop = start + int(entries["length"]) if "length" in entries else len(content)
        if stop > len(content):
            raise UserError(
                f"model.source: {entries['location']} ends before the weight {tensor.name!r}: it is not the file that "
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


def _entries(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


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
