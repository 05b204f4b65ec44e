"""The weights in a caffemodel file: protocol buffers of which a few fields are read.

The description of these fields is made here, so that neither Caffe nor a compiled schema is needed. Lists of numbers
are described as bytes: packed numbers are their bytes, which NumPy takes as they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from stages.core.base.errors import UserError

__all__ = ["read_weights"]

FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Net": {"layers": (2, "Layers"), "layer": (100, "Layer")},
    "Layer": {"name": (1, "string"), "blobs": (7, "Blob")},
    "Layers": {"name": (4, "string"), "blobs": (6, "Blob")},  # before 2014
    "Blob": {
        "legacy_1": (1, "int64"),
        "legacy_2": (2, "int64"),
        "legacy_3": (3, "int64"),
        "legacy_4": (4, "int64"),
        "data": (5, "bytes"),
        "shape": (7, "Shape"),
        "double_data": (8, "bytes"),
        "raw_data_type": (10, "int64"),  # NVCaffe and OpenCV: half precision
        "raw_data": (12, "bytes"),
    },
    "Shape": {"dim": (1, "int64")},
}
"""Message -> field -> number and type: another message, or a type of protocol buffers."""
RAW_TYPES = {0: np.float64, 1: np.float32, 2: np.float16}


def read_weights(content: bytes, name: str) -> dict[str, list[NDArray[np.float32]]]:
    """Read a caffemodel file.

    Args:
        content: the file.
        name: what errors call it.

    Returns:
        Layer -> its arrays in Caffe's order, float32. Layers without arrays are left out.

    Raises:
        UserError: if it is no such file, or damaged.
    """
    if content.startswith(b"\x89HDF"):
        raise UserError(f"{name} is HDF5: save it as binary protocol buffers (snapshot_format: BINARYPROTO)")
    net = _message_class()()
    try:
        net.ParseFromString(content)
        layers = [*net.layer, *net.layers]
        weights = {layer.name: [_array(blob) for blob in layer.blobs] for layer in layers if layer.blobs}
    except (DecodeError, ValueError, KeyError):
        raise UserError(f"{name} is no caffemodel, or damaged: copy it again") from None
    if not weights:
        raise UserError(f"{name} is no caffemodel: no layer in it has weights")
    return weights


def _array(blob: Any) -> NDArray[np.float32]:
    """An array in its shape; before 2014 all had four axes."""
    if blob.raw_data:
        values = np.frombuffer(b"".join(blob.raw_data), RAW_TYPES[blob.raw_data_type])
    elif blob.double_data:
        values = np.frombuffer(b"".join(blob.double_data), np.float64)
    else:
        values = np.frombuffer(b"".join(blob.data), np.float32)
    legacy = (blob.legacy_1, blob.legacy_2, blob.legacy_3, blob.legacy_4)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else legacy
    return values.astype(np.float32).reshape(shape)


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="caffemodel.proto", package="caffemodel", syntax="proto2")
    for message, fields in FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            repeated = kind in ("bytes", "Layer", "Layers", "Blob") or name == "dim"
            one = described.field.add(name=name, number=number)
            one.label = one.LABEL_REPEATED if repeated else one.LABEL_OPTIONAL
            if kind in FIELDS:
                one.type, one.type_name = one.TYPE_MESSAGE, f".caffemodel.{kind}"
            else:
                one.type = getattr(one, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffemodel.Net"))
