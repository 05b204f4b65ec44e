"""What is fuzzed: readers of files, each with files that it takes, to begin with.

A reader may refuse a file in one line, with `UserError`. Anything else that it raises is a finding.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.check.dump_comparison import compare_dumps
from stages.check.dump_folders import read_dump
from stages.check.versions import parse_versions
from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.load import load_params
from stages.core.config.schema import Color
from stages.core.data.arrays import read_array
from stages.core.data.inputs import NetworkInput, load_inputs
from stages.core.data.labels import read_table
from stages.core.data.object_labels import read_object_labels
from stages.core.data.sample_store import SampleReader
from stages.core.graph.onnx_graph import Graph, parse_model
from stages.core.heads.head_file import load_head
from stages.core.statistics.tensor_statistics import TensorStatistics, load_statistics, save_statistics
from stages.export.memory import check_memory
from stages.export.sources.external_data import load_external_data
from stages.export.standard_form.standard_form import standard_form
from stages.init.vendor.config_reader import read_vendor_config
from stages.profile.board_log import read_log
from stages.profile.nmem import read_nmem
from stages.quantize.quantizers.node_bits import read_node_bits

__all__ = ["TARGETS", "Target"]

PICTURE = NetworkInput("x", (1, 3, 4, 5), (0.0,) * 3, (1.0,) * 3, Color.RGB)
BOARD_LOG = b"""layer(0) conv1 Convolution
Layer Type  Name  min max avg
0 Convolution conv1 0.1 0.2 0.15
"""


NODE_LIST = b"""{"files": {"conv": {"file": "conv_Quantize.bin", "shape": [1, 4, 6, 4], "takes": [],
 "type": "uint8", "bits": 8, "scale": 0.5, "zero_point": 3, "channel_scales": []}}}"""


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        read: takes the file's path.
        seeds: contents that it takes, or nearly.
        suffix: of the file's name.
    """

    read: Callable[[Path], object]
    seeds: Sequence[bytes]
    suffix: str = ""

    def tried(self, content: bytes, folder: Path) -> None:
        """Give it a content; a refusal is no finding.

        Args:
            content: of the file.
            folder: for the file.
        """
        path = folder / f"fuzzed{self.suffix}"
        path.write_bytes(content)
        with suppress(UserError):
            self.read(path)


def _network() -> bytes:
    """A convolution, an activation and a reshape."""
    weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    shape = numpy_helper.from_array(np.array([1, -1]), "s")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[0, 0, 0, 0]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Reshape", ["r", "s"], ["y"], "reshape"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [weight, shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def _statistics() -> bytes:
    one = np.ones(1, np.float32)
    tensor = TensorStatistics(0.0, 1.0, np.ones(4096, np.int64), -12, 0, one, one, one.astype(np.float64))
    with tempfile.TemporaryDirectory() as folder:
        save_statistics(Path(folder) / "statistics.npz", {"x": tensor}, 1)
        return (Path(folder) / "statistics.npz").read_bytes()


def _npy() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "a.npy", np.ones((4, 5, 3), np.float32))
        return (Path(folder) / "a.npy").read_bytes()


def _read_network(path: Path) -> None:
    model: onnx.ModelProto = parse_model(path.read_bytes(), path.name)
    load_external_data(model, SourceFile(path.name, path.read_bytes), [], f"file:{path.name}")
    model = standard_form(model, path.name)
    check_memory(model)
    Graph(model)


def _read_samples(path: Path) -> None:
    (path.parent / "index.json").write_bytes(path.read_bytes())
    if not (path.parent / "0.npy").exists():
        np.save(path.parent / "0.npy", np.zeros((1, 4, 5, 3), np.uint8))
    SampleReader.open(path.parent)


def _read_array(path: Path) -> None:
    read_array(SourceFile(path.name, path.read_bytes), path.suffix, PICTURE, "data.calibration")


def _compare_dumps(path: Path) -> None:
    """Take a content as a board's dump of a layer, and as the list beside the PC's."""
    pc, board = path.parent / "pc", path.parent / "board"
    for folder in (pc, board):
        folder.mkdir(exist_ok=True)
    content = path.read_bytes()
    (pc / "conv_Quantize.bin").write_bytes(bytes(range(96)))
    (pc / "model_node_info.json").write_bytes(content)
    (board / "conv_Quantize_out.bin").write_bytes(content)
    try:
        compare_dumps("", read_dump(pc), read_dump(board), "", [], [])
    finally:
        (pc / "model_node_info.json").write_bytes(NODE_LIST)
    compare_dumps("", read_dump(pc), read_dump(board), "", [], [])


def _read_console_log(path: Path) -> None:
    pc = path.parent / "pc"
    pc.mkdir(exist_ok=True)
    (pc / "conv_Quantize.bin").write_bytes(bytes(96))
    text = path.read_bytes().decode("utf-8", "replace")
    parse_versions(text)
    compare_dumps("", read_dump(pc), read_dump(pc), text, [], [])


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


TARGETS = {
    "network": Target(_read_network, [_network()], ".onnx"),
    "statistics": Target(load_statistics, [_statistics()], ".npz"),
    "inputs": Target(
        load_inputs,
        [_json([{"name": "x", "shape": [1, 3, 4, 4], "mean": [0, 0, 0], "normal": [1, 1, 1], "color": "RGB"}])],
    ),
    "detector": Target(load_head, [_json({"head": None}), _json({"head": "YOLOX", "family": "CellHead"})]),
    "samples": Target(
        _read_samples, [_json({"inputs": ["x"], "names": ["a"], "digests": ["0"], "warnings": [], "flat": []})]
    ),
    "node_bits": Target(
        lambda path: read_node_bits(f"file:{path}", True),
        [_json({"conv": {"QUANT_FEATURE_BIT": 8, "MIN": -1.5, "MAX": 2}})],
        ".json",
    ),
    "params": Target(load_params, [b"soc:\n  name: T40\nmodel: {name: net, inputs: []}\n"], ".yaml"),
    "vendor_config": Target(
        lambda path: read_vendor_config([path]),
        [b'{"SOC": "T40", "INPUT": ["x"], "MEAN": [0, 0, 0], // a comment\n "QUANT_FEATURE_BIT": 8,}'],
        ".cfg",
    ),
    "vendor_script": Target(
        lambda path: read_vendor_config([path]),
        [b"./magik-transform-tools --framework onnx \\\n --target_device T40 --inputpath net.onnx --mean 0,0,0\n"],
        ".sh",
    ),
    "profile_log": Target(read_log, [BOARD_LOG]),
    "nmem": Target(read_nmem, [b"total : 1000 used : 10 max used : 20 free : 990\n"]),
    "dump": Target(_compare_dumps, [NODE_LIST, bytes(range(96)), bytes(96)]),
    "console_log": Target(
        _read_console_log,
        [b"venus version: 0.9.0(1a2b)\nmodel version: 1.2.NNA1\n./MAGIK/conv_Quantize.bin--->shape:[1,4,6,4]\n"],
    ),
    "labels": Target(lambda path: read_table(f"file:{path}"), [b'file,label\na.png,ant\nb.png,"a bee"\n'], ".csv"),
    "objects": Target(
        lambda path: read_object_labels(f"file:{path}", ["a.png"]),
        [
            _json(
                {
                    "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 5}],
                    "categories": [{"id": 1, "name": "ant"}],
                    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0}],
                }
            )
        ],
        ".json",
    ),
    "array": Target(_read_array, [_npy()], ".npy"),
    "archive": Target(_read_array, [_statistics()], ".npz"),
}
"""Name -> what is fuzzed."""
