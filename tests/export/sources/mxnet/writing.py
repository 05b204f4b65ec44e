"""MXNet networks as files, written here."""

import json
import struct

import numpy as np

from stages.core.base.sources import SourceFile
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.data.model_files import with_format
from stages.export.sources.mxnet.reader import read_mxnet

__all__ = ["Net", "files", "params", "read"]

TYPES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
MAGICS = {"v1": 0xF993FAC8, "v2": 0xF993FAC9, "v3": 0xF993FACA}


def array_bytes(array, form):
    device = struct.pack("<iii", 1, 0, TYPES[str(array.dtype)])
    if form == "legacy":
        return struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape) + device + array.tobytes()
    stored = b"" if form == "v1" else struct.pack("<i", 0)
    shape = struct.pack(f"<I{array.ndim}q", array.ndim, *array.shape)
    return struct.pack("<I", MAGICS[form]) + stored + shape + device + array.tobytes()


def params(arrays, form="v2"):
    """The bytes of a params file: name with `arg:` or `aux:` -> array."""
    named = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)
    content = b"".join(array_bytes(np.ascontiguousarray(array), form) for array in arrays.values())
    return struct.pack("<QQQ", 0x112, 0, len(arrays)) + content + struct.pack("<Q", len(arrays)) + named


class Net:
    """A symbol that grows, with its arrays."""

    def __init__(self, key="attrs"):
        self.nodes, self.arrays, self.key = [], {}, key

    def variable(self, name, array=None, kind="arg", **attributes):
        """An input, or an array."""
        if array is not None:
            self.arrays[f"{kind}:{name}"] = (
                np.asarray(array, np.float32) if np.asarray(array).dtype.kind == "f" else array
            )
        self.nodes.append({"op": "null", "name": name, "inputs": [], self.key: attributes})
        return [len(self.nodes) - 1, 0, 0]

    def add(self, kind, name, *inputs, output=0, **attributes):
        """An operator; gives one of its outputs."""
        texts = {key: str(value) for key, value in attributes.items()}
        self.nodes.append({"op": kind, "name": name, "inputs": list(inputs), self.key: texts})
        return [len(self.nodes) - 1, output, 0]

    def weighted(self, kind, name, value, *arrays, labels=("weight", "bias"), **attributes):
        """An operator with arrays of its own."""
        variables = [self.variable(f"{name}_{label}", array) for label, array in zip(labels, arrays, strict=False)]
        return self.add(kind, name, value, *variables, **attributes)

    def batch_norm(self, name, value, gamma, beta, mean, variance, **attributes):
        variables = [self.variable(f"{name}_{label}", array) for label, array in (("gamma", gamma), ("beta", beta))]
        states = (("moving_mean", mean), ("moving_var", variance))
        variables += [self.variable(f"{name}_{label}", array, "aux") for label, array in states]
        return self.add("BatchNorm", name, value, *variables, **attributes)

    def symbol(self, *heads):
        return json.dumps({"nodes": self.nodes, "arg_nodes": [], "heads": list(heads)}).encode()


def files(net, *heads, form="v2"):
    content = params(net.arrays or {"arg:unused": np.zeros(1, np.float32)}, form)
    return with_format(
        [SourceFile("net-0000.params", lambda: content), SourceFile("net-symbol.json", lambda: net.symbol(*heads))]
    )


def read(net, *heads, shape=None, outputs=(), form="v2"):
    config = ModelConfig(name="net", inputs=[InputConfig(shape=shape)], outputs=list(outputs))
    return read_mxnet(config, files(net, *heads, form=form)).model
