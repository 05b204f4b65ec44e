"""Caffe networks as files: the binary form is written here byte by byte, without protocol buffers."""

import struct

import numpy as np

from stages.core.base.sources import SourceFile
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.data.model_files import with_format
from stages.export.sources.caffe.reader import read_caffe

__all__ = ["caffemodel", "convolution", "files", "net", "read"]


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, content):
    """A field of bytes, or of a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array, form="shape"):
    array = np.asarray(array, np.float32)
    if form == "legacy":
        sizes = [1] * (4 - array.ndim) + list(array.shape)
        return b"".join(field(i, size) for i, size in enumerate(sizes, 1)) + field(5, array.astype("<f4").tobytes())
    shape = field(7, field(1, b"".join(map(varint, array.shape))))
    if form == "half":
        return shape + field(10, 2) + field(12, array.astype("<f2").tobytes())
    if form == "double":
        return shape + field(8, array.astype("<f8").tobytes())
    if form == "loose":  # numbers one by one, not packed
        return shape + b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in array.ravel())
    return shape + field(5, array.astype("<f4").tobytes())


def caffemodel(weights, form="shape", old=False):
    """The bytes of a caffemodel: layer -> arrays; `old`: as Caffe wrote it before 2014."""
    layers = b""
    for name, arrays in weights.items():
        label = field(4 if old else 1, name.encode())
        content = label + b"".join(field(6 if old else 7, blob(array, form)) for array in arrays)
        layers += field(2 if old else 100, content)
    return field(1, b"net") + layers


def net(layers, shape=(1, 3, 6, 7)):
    """A prototxt with one input `data`."""
    sizes = "".join(f"input_dim: {size}\n" for size in shape)
    return f'name: "net"\ninput: "data"\n{sizes}{layers}'


def convolution(name="conv", bottom="data", rest=""):
    """A 1x1 convolution of 3 channels into 4, which any weight of [4, 3, 1, 1] and [4] fits."""
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" {rest} '
        "convolution_param { num_output: 4 kernel_size: 1 } }\n"
    )


def files(prototxt, weights):
    content = weights if isinstance(weights, bytes) else caffemodel(weights)
    return with_format([SourceFile("net.caffemodel", lambda: content), SourceFile("net.prototxt", prototxt.encode)])


def read(prototxt, weights, **settings):
    """Read a network; settings are those of its input."""
    config = ModelConfig(name="net", inputs=[InputConfig(**settings)])
    return read_caffe(config, files(prototxt, weights))
