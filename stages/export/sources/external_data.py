"""Weights of an ONNX network that lie in files beside it."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import onnx
from onnx import AttributeProto, TensorProto

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile

__all__ = ["load_external_data"]


def load_external_data(model: onnx.ModelProto, main: SourceFile, others: Sequence[SourceFile], source: str) -> None:
    """Read the weights that a network keeps in other files into it, in place.

    Args:
        model: the network.
        main: its file.
        others: the files beside it.
        source: `model.source`, for messages.

    Raises:
        UserError: if a file that it names is not among them, or too short.
    """
    tensors = [tensor for tensor in _tensors(model.graph) if tensor.data_location == TensorProto.EXTERNAL]
    if not tensors:
        return
    folder = PurePosixPath(main.name).parent
    by_name = {file.name: file for file in others}
    needed = sorted({_entries(tensor)["location"] for tensor in tensors})
    missing = [location for location in needed if str(folder / location) not in by_name]
    if missing:
        raise UserError(
            f"model.source: {main.name} keeps weights in {', '.join(missing)}: {_cure(source, main, needed)}"
        )
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


def _cure(source: str, main: SourceFile, locations: Sequence[str]) -> str:
    """How to give a network's file with the files of its weights, quoted for the shell and for Hydra."""
    file = PurePosixPath(main.name).name
    body, mark, digest = source.partition("#")
    folder = body.removesuffix(file)
    if folder == "file:":  # DVC would have to watch the project's own folder
        return "move all of its files into a folder of their own and give model.source=file:FOLDER"
    together = f'model.source="{folder}{{{",".join([file, *locations])}}}{mark}{digest}"'
    return f"give all of its files, as in {shlex.quote(together)}"


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
