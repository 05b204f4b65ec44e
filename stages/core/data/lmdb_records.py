"""Samples in an LMDB database, as Caffe's tools and those after it make them: a record is a `Datum`."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from stages.core.base.errors import UserError, one_line
from stages.core.base.sources import SourceFile

__all__ = ["DATUM_SUFFIX", "is_database", "read_datum", "records"]

DATABASE_FILE = "data.mdb"
DATUM_SUFFIX = ".datum"
INSTALL = 'pip install -e ".[lmdb]"'
FIELDS: Mapping[str, tuple[int, int]] = {
    "channels": (1, descriptor_pb2.FieldDescriptorProto.TYPE_INT64),
    "height": (2, descriptor_pb2.FieldDescriptorProto.TYPE_INT64),
    "width": (3, descriptor_pb2.FieldDescriptorProto.TYPE_INT64),
    "data": (4, descriptor_pb2.FieldDescriptorProto.TYPE_BYTES),
    "float_data": (6, descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT),
    "encoded": (7, descriptor_pb2.FieldDescriptorProto.TYPE_BOOL),
}
"""Of caffe.proto's Datum, by number and type; its label is not read."""


def is_database(folder: Path) -> bool:
    """Whether a folder is an LMDB database."""
    return (folder / DATABASE_FILE).is_file()


def records(folder: Path) -> list[SourceFile]:
    """List the records of a database, in the order of their keys; each is a file `KEY.datum`.

    Raises:
        UserError: if the package lmdb is missing, or this is no database.
    """
    with _database(folder).begin() as reading:
        keys = list(reading.cursor().iternext(keys=True, values=False))
    return [SourceFile(f"{_name(key)}{DATUM_SUFFIX}", partial(_record, folder, key)) for key in keys]


def read_datum(content: bytes) -> NDArray[np.generic]:
    """Decode a record.

    Returns:
        uint8 or float32 [channels, height, width], as Caffe lays it out.

    Raises:
        ValueError: if it is no Datum, or a compressed picture.
    """
    datum = _datum_class()()
    try:
        datum.ParseFromString(content)
    except DecodeError as error:
        raise ValueError("it is no Datum of Caffe's") from error
    if datum.encoded:
        raise ValueError("it is a compressed picture: give the pictures themselves, or convert without `--encoded`")
    values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1 or values.size != int(np.prod([int(size) for size in shape], dtype=object)):
        raise ValueError(f"its header says {list(shape)}, and it has {values.size} values")
    return np.asarray(values.reshape(shape))


@cache
def _database(folder: Path) -> Any:
    """The database, opened once: LMDB allows a process no more."""
    try:
        import lmdb  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise UserError(f"{folder} is an LMDB database, which needs the package lmdb: {INSTALL}") from error
    try:
        return lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise UserError(f"{folder} cannot be read as an LMDB database: {one_line(error)}") from error


def _record(folder: Path, key: bytes) -> bytes:
    with _database(folder).begin() as reading:
        content: bytes = reading.get(key) or b""
    return content


def _name(key: bytes) -> str:
    """A key as a name: its text, or its digits where it is none."""
    text = key.decode("utf-8", errors="replace")
    return text.replace("/", "_") if text.isprintable() and "\ufffd" not in text else key.hex()


@cache
def _datum_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="socquant_datum.proto", package="socquant_datum", syntax="proto2")
    message = file.message_type.add(name="Datum")
    for name, (number, kind) in FIELDS.items():
        repeated = name == "float_data"
        field = descriptor_pb2.FieldDescriptorProto
        label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("socquant_datum.Datum"))
