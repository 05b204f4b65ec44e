"""Changes that keep what holds a file together, so that the reader behind the parser is reached.

Bytes changed at random break a zip's checksums or a JSON's brackets, and nothing but the parser is tried. These change
a value, a field or a member, and write the file anew.
"""

import copy
import io
import json
import lzma
import random
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

__all__ = ["MUTATORS", "Mutator"]

Mutator = Callable[[bytes, random.Random, Callable[[bytes], bytes]], bytes]
"""Takes a content, the source of chance, and the fuzzer's own change of bytes."""

VALUES: tuple[Any, ...] = (
    *(None, True, {}, [], "", "x" * 300, "../x", "\x00", "\u202e", 0, -1, 1, 2, 3, 255, 2**31, 2**63, -(2**63), 10**30),
    *(0.5, 1e308, float("nan"), float("inf"), [[]], [None], [1, 2, 3], {"": None}),
)
REALS = (0.0, 1.0, -1.0, 1e30, float("nan"), float("inf"))
KINDS = ("Conv", "Gemm", "Reshape", "Resize", "Slice", "Concat", "Pad", "Loop", "If", "QuantizeLinear")
BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
"""Of the integers in an ONNX file."""
NUMBERS = (0, 1, 2, 3, 4, 8, 255, 65536, 2**31 - 1, -1, -2, -(2**31), 2**40, 2**63 - 1, -(2**63))


def changed_json(content: bytes, rng: random.Random, bytes_changed: Callable[[bytes], bytes]) -> bytes:
    """A value, a key or an entry of a JSON file is another, is there twice, or is gone."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return bytes_changed(content)
    root = [tree]
    places = _places(root)
    holder, key = rng.choice(places)
    elsewhere, there = rng.choice(places)
    found = copy.deepcopy(rng.choice([*VALUES, elsewhere[there]]))
    how = rng.random()
    if how < 0.2 and isinstance(holder, dict):
        holder[rng.choice(["", f"{key}x", *map(str, holder)])] = holder.pop(key)
    elif how < 0.4 and holder is not root:
        del holder[key]
    elif how < 0.6 and isinstance(holder, list) and holder is not root:
        holder.insert(rng.randrange(len(holder) + 1), found)
    else:
        holder[key] = found
    return json.dumps(root[0]).encode()


def _places(tree: list[Any]) -> list[tuple[Any, Any]]:
    """Each holder and key of a tree."""
    found: list[tuple[Any, Any]] = []
    left: list[Any] = [tree]
    while left:
        holder = left.pop()
        for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            found.append((holder, key))
            if isinstance(value, dict | list):
                left.append(value)
    return found


def changed_archive(content: bytes, rng: random.Random, bytes_changed: Callable[[bytes], bytes]) -> bytes:
    """A member of a zip has other bytes or another name, is gone, or is there twice; its checksums are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, EOFError, OSError, RuntimeError):  # damaged
        return bytes_changed(content)
    if not members:
        return bytes_changed(content)
    index, how = rng.randrange(len(members)), rng.random()
    name, held = members[index]
    if how < 0.1:
        del members[index]
    elif how < 0.2:
        members[index] = (rng.choice(["", "../x.npy", name + "x", rng.choice(members)[0]]), held)
    elif how < 0.3:
        members[index] = (name, rng.choice(members)[1])
    else:
        members[index] = (name, bytes_changed(held))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice is meant
        for name, held in members:
            archive.writestr(zipfile.ZipInfo(name), held)
    return made.getvalue()


def changed_network(content: bytes, rng: random.Random, bytes_changed: Callable[[bytes], bytes]) -> bytes:
    """A field of an ONNX file has another value, is gone, or an entry is there twice."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        return bytes_changed(content)
    try:
        for _ in range(rng.randint(1, 3)):
            _change_field(model, rng, bytes_changed)
        return bytes(model.SerializeToString())
    except ValueError:  # a text that is no UTF-8
        return content


def _change_field(model: Message, rng: random.Random, bytes_changed: Callable[[bytes], bytes]) -> None:
    message, texts = _some_message(model, rng)
    field = rng.choice(message.DESCRIPTOR.fields)
    repeated = field.is_repeated
    if field.message_type is not None:
        if rng.random() < 0.3:
            message.ClearField(field.name)
        elif repeated:
            entries = getattr(message, field.name)
            if entries and rng.random() < 0.5:
                entries.add().CopyFrom(rng.choice(list(entries)))
            elif entries:
                del entries[rng.randrange(len(entries))]
        else:
            getattr(message, field.name).SetInParent()
        return
    held = list(getattr(message, field.name)) if repeated else [getattr(message, field.name)]
    index = rng.randrange(len(held) + repeated)
    held[index : index + 1] = [_value(held[index] if index < len(held) else None, field, texts, rng, bytes_changed)]
    message.ClearField(field.name)
    if repeated:
        getattr(message, field.name).extend(held if rng.random() < 0.8 else held[:-1])
    else:
        setattr(message, field.name, held[0])


def _some_message(model: Message, rng: random.Random) -> tuple[Message, list[str]]:
    """One of all messages in a model, and the texts in it."""
    left, found, texts = [model], [], []
    while left:
        message = left.pop()
        found.append(message)
        for field, value in message.ListFields():
            values = list(value) if field.is_repeated else [value]
            if field.message_type is not None:
                left += values
            elif field.type == field.TYPE_STRING:
                texts += [text for text in values if isinstance(text, str)]  # bytes where it is no UTF-8
    return rng.choice(found), texts


def _value(
    old: Any, field: Any, texts: list[str], rng: random.Random, bytes_changed: Callable[[bytes], bytes]
) -> object:
    """A value for a field of numbers, bytes or text."""
    if field.enum_type is not None:
        return rng.choice(field.enum_type.values).number
    if field.type == field.TYPE_STRING:
        return rng.choice([*texts, "", "x\n", *KINDS])
    if field.type == field.TYPE_BYTES:
        return bytes_changed(old or b"\x00")
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice(REALS)
    near = [int(old) + step for step in (-1, 1)] if old is not None else []
    low, high = BOUNDS[field.cpp_type]
    return max(low, min(rng.choice([*NUMBERS, *near]), high))


MUTATORS: dict[str, Mutator] = {
    ".onnx": changed_network,
    ".npz": changed_archive,
    ".json": changed_json,
    "": changed_json,
}
"""By the suffix of a target's file; others have the fuzzer's own changes only."""
