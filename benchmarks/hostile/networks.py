"""Broken, endless and enormous networks, given to whatever reads networks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.hostile.case import Case
from benchmarks.hostile.damages import DAMAGES, SPECIALS, TEXTS
from benchmarks.hostile.project import classifier

__all__ = ["network_cases"]

SHAPE = (1, 3, 16, 16)
COMMANDS = (
    ("export",),
    ("scan", "net.onnx", "--soc", "t40"),
    ("init", "net.onnx", "calibration"),
    ("build.pluto", "net.onnx"),
)


def _network(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any] | None = None,
    shape: Sequence[Any] = SHAPE,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A network from `x` to `y`, of unknown shape."""
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "hostile", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _one(kind: str, inputs: Sequence[str] = ("x",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, ["y"], "here", **attributes)


def _weights(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def _whole(*values: int) -> Any:
    return np.array(values, np.int64)


def _chain(count: int) -> onnx.ModelProto:
    """Relu after Relu."""
    names = ["x", *(f"t{index}" for index in range(count - 1)), "y"]
    return _network([helper.make_node("Relu", [names[i]], [names[i + 1]], f"n{i}") for i in range(count)])


def _doubling(count: int) -> onnx.ModelProto:
    """A concatenation of a tensor with itself, again and again: 2^count times the input."""
    names = ["x", *(f"t{index}" for index in range(count - 1)), "y"]
    nodes = [helper.make_node("Concat", [names[i]] * 2, [names[i + 1]], f"n{i}", axis=2) for i in range(count)]
    return _network(nodes)


def _loop(condition: bool, trips: int | None) -> onnx.ModelProto:
    infos = [("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("a", TensorProto.FLOAT, SHAPE)]
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Neg", ["a"], ["a2"])],
        "body",
        [helper.make_tensor_value_info(*info) for info in infos],
        [helper.make_tensor_value_info("c2", TensorProto.BOOL, []), helper.make_tensor_value_info("a2", 1, SHAPE)],
    )
    held = {"yes": np.array(condition)} | ({} if trips is None else {"trips": np.array(trips)})
    return _network([_one("Loop", ("" if trips is None else "trips", "yes", "x"), body=body)], held)


def _nested_ifs(depth: int) -> onnx.ModelProto:
    """If inside If inside If ..."""
    result = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["r"])], "inner", [], result)
    for _ in range(depth):
        node = helper.make_node("If", ["yes"], ["r"], then_branch=graph)
        graph = helper.make_graph([node], "branch", [], result)
    return _network([_one("If", ("yes",), then_branch=graph, else_branch=graph)], {"yes": np.array(True)})


def _changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = classifier()
    change(model)
    return model


def _external(model: onnx.ModelProto, location: str) -> None:
    """Say that a weight lies in another file."""
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", location


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "channels that do not fit": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(4, 5, 3, 3)}),
    "a kernel larger than the picture": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(4, 3, 99, 99)}),
    "a weight of rank 1": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(4)}),
    "group 0": lambda: _network([_one("Conv", ("x", "w"), group=0)], {"w": _weights(4, 3, 3, 3)}),
    "group -1": lambda: _network([_one("Conv", ("x", "w"), group=-1)], {"w": _weights(4, 3, 3, 3)}),
    "stride 0": lambda: _network([_one("Conv", ("x", "w"), strides=[0, 0])], {"w": _weights(4, 3, 3, 3)}),
    "negative strides": lambda: _network([_one("MaxPool", kernel_shape=[2, 2], strides=[-1, -1])]),
    "dilation 10^9": lambda: _network([_one("Conv", ("x", "w"), dilations=[10**9] * 2)], {"w": _weights(4, 3, 3, 3)}),
    "padding 10^9": lambda: _network([_one("Conv", ("x", "w"), pads=[10**9] * 4)], {"w": _weights(4, 3, 3, 3)}),
    "a pool of 10^9": lambda: _network([_one("AveragePool", kernel_shape=[10**9] * 2, pads=[10**8] * 4)]),
    "a constant of 4 TB": lambda: _network([_one("ConstantOfShape", ("s",))], {"s": _whole(100_000, 100_000, 100)}),
    "a tile of 7 TB": lambda: _network([_one("Tile", ("x", "r"))], {"r": _whole(1, 1, 100_000, 100_000)}),
    "an expansion of 4 TB": lambda: _network([_one("Expand", ("x", "s"))], {"s": _whole(1_000_000, 3, 16, 16_000)}),
    "a range of 10^15": lambda: _network(
        [helper.make_node("Range", ["a", "b", "c"], ["r"]), _one("Add", ("r", "a"))],
        {"a": np.float32(0), "b": np.float32(1e15), "c": np.float32(1)},
    ),
    "a padding of 3 TB": lambda: _network([_one("Pad", ("x", "p"))], {"p": _whole(0, 0, 0, 0, 0, 0, 10**6, 10**6)}),
    "one hot of 10^12": lambda: _network(
        [helper.make_node("Cast", ["x"], ["i"], to=7), _one("OneHot", ("i", "d", "v"))],
        {"d": _whole(10**12), "v": np.array([0, 1], np.float32)},
    ),
    "a resize of 7 TB": lambda: _network(
        [_one("Resize", ("x", "", "r"))], {"r": np.array([1, 1, 1e5, 1e5], np.float32)}
    ),
    "a resize by NaN": lambda: _network(
        [_one("Resize", ("x", "", "r"))], {"r": np.array([1, 1, np.nan, np.inf], np.float32)}
    ),
    "a resize to 0": lambda: _network([_one("Resize", ("x", "", "", "s"))], {"s": _whole(1, 3, 0, 0)}),
    "2^40 times the input": lambda: _doubling(40),
    "an input of 60,000 x 60,000": lambda: _network([_one("Relu")], shape=[1, 3, 60_000, 60_000]),
    "an input of 2^62": lambda: _network([_one("Relu")], shape=[1, 3, 2**31, 2**31]),
    "an input of size 0": lambda: _network([_one("Relu")], shape=[1, 3, 0, 16]),
    "an input of a negative size": lambda: _network([_one("Relu")], shape=[1, 3, -8, 16]),
    "an input of no shape": lambda: _network([_one("Relu")], shape=[]),
    "an input of rank 30": lambda: _network([_one("Relu")], shape=[1] * 30),
    "an input of texts": lambda: _network([_one("Identity")], kind=TensorProto.STRING),
    "an input of type 99": lambda: _network([_one("Relu")], kind=99),
    "an endless loop": lambda: _loop(True, None),
    "a loop of 2^62": lambda: _loop(True, 2**62),
    "ifs, 20 deep": lambda: _nested_ifs(20),
    "a chain of 2,000 nodes": lambda: _chain(2000),
    "an axis of 99": lambda: _network([_one("Softmax", axis=99)]),
    "a permutation twice": lambda: _network([_one("Transpose", perm=[0, 0, 0, 0])]),
    "a reshape to -1, -1": lambda: _network([_one("Reshape", ("x", "s"))], {"s": _whole(-1, -1)}),
    "a reshape of 7 values": lambda: _network([_one("Reshape", ("x", "s"))], {"s": _whole(7)}),
    "a slice of step 0": lambda: _network(
        [_one("Slice", ("x", "a", "b", "c", "d"))], {"a": _whole(0), "b": _whole(9), "c": _whole(2), "d": _whole(0)}
    ),
    "a gather beyond the end": lambda: _network([_one("Gather", ("x", "i"), axis=1)], {"i": _whole(99)}),
    "a split of nothing": lambda: _network([_one("Split", ("x", "s"), axis=1)], {"s": _whole(0)}),
    "a batch norm of negative variance": lambda: _network(
        [_one("BatchNormalization", ("x", "s", "b", "m", "v"))],
        dict.fromkeys("sbm", _weights(3)) | {"v": -_weights(3)},
    ),
    "weights of NaN": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(4, 3, 3, 3) * np.nan}),
    "weights of infinity": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(4, 3, 3, 3) * np.inf}),
    "weights of 1e38": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(4, 3, 3, 3) * np.float32(1e38)}),
    "weights of 0": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(4, 3, 3, 3) * 0}),
    "an empty weight": lambda: _network([_one("Conv", ("x", "w"))], {"w": _weights(0, 3, 3, 3)}),
    "a division by 0": lambda: _network([_one("Div", ("x", "z"))], {"z": np.float32(0)}),
    "random numbers": lambda: _network([_one("RandomNormalLike")]),
    "dropout that trains": lambda: _network(
        [_one("Dropout", ("x", "r", "t"))], {"r": np.float32(0.5), "t": np.array(True)}
    ),
    "opset 0": lambda: _network([_one("Relu")], opset=0),
    "opset 7": lambda: _network([_one("Relu")], opset=7),
    "opset 99": lambda: _network([_one("Relu")], opset=99),
    "IR version 99": lambda: _changed(lambda model: setattr(model, "ir_version", 99)),
    "no opset": lambda: _changed(lambda model: model.ClearField("opset_import")),
    "no nodes": lambda: _changed(lambda model: model.graph.ClearField("node")),
    "no outputs": lambda: _changed(lambda model: model.graph.ClearField("output")),
    "no inputs": lambda: _changed(lambda model: model.graph.ClearField("input")),
    "no graph": lambda: _changed(lambda model: model.ClearField("graph")),
    "a weight is missing": lambda: _changed(lambda model: model.graph.initializer.pop()),
    "a weight cut": lambda: _changed(lambda model: setattr(model.graph.initializer[0], "raw_data", b"abc")),
    "a weight of a negative size": lambda: _changed(lambda model: model.graph.initializer[0].dims.insert(0, -1)),
    "a weight of type 99": lambda: _changed(lambda model: setattr(model.graph.initializer[0], "data_type", 99)),
    "a weight in /etc/passwd": lambda: _changed(lambda model: _external(model, "/etc/passwd")),
    "a weight in ../../x": lambda: _changed(lambda model: _external(model, "../../x")),
    "a weight in a device": lambda: _changed(lambda model: _external(model, "/dev/zero")),
    "a weight in a missing file": lambda: _changed(lambda model: _external(model, "weights.bin")),
    "a cycle": lambda: _network([helper.make_node("Relu", ["y"], ["z"]), _one("Add", ("x", "z"))]),
    "a node of its own output": lambda: _network([_one("Add", ("x", "y"))]),
    "two nodes of one output": lambda: _network([_one("Relu"), helper.make_node("Abs", ["x"], ["y"])]),
    "a node without inputs": lambda: _network([_one("Relu", ())]),
    "a node of 300 inputs": lambda: _network([_one("Relu", ("x",) * 300)]),
    "an unknown operator": lambda: _network([_one("Bogus")]),
    "an unknown domain": lambda: _network([_one("Relu", domain="evil.corp")]),
    "an attribute of another type": lambda: _network([_one("LeakyRelu", alpha="x")]),
    "an unknown attribute": lambda: _network([_one("Relu", bogus=1)]),
    "the input is the output": lambda: _changed(lambda model: model.graph.output.append(model.graph.input[0])),
    "an output twice": lambda: _changed(lambda model: model.graph.output.append(model.graph.output[0])),
    "an output that is a weight": lambda: _changed(lambda model: setattr(model.graph.output[0], "name", "w1")),
    "an output that nothing computes": lambda: _changed(lambda model: setattr(model.graph.output[0], "name", "q")),
    "an input twice": lambda: _changed(lambda model: model.graph.input.append(model.graph.input[0])),
    "a name of 1 MB": lambda: _changed(lambda model: setattr(model.graph.node[0], "name", "n" * (1 << 20))),
    "names of our own": lambda: _changed(lambda model: setattr(model.graph.node[0], "name", "stem_relu/codes")),
    "metadata of 8 MB": lambda: _changed(lambda model: setattr(model, "doc_string", "d" * (8 << 20))),
}
"""Name -> makes the network."""


def network_cases() -> Iterator[Case]:
    """Each network, and each damaged file of one, with each command that reads networks."""
    for line in COMMANDS:
        for name, make in NETWORKS.items():
            yield Case("networks", name, line, partial(_save, make))
        for name, damage in DAMAGES.items():
            yield Case("networks", f"a file: {name}", line, partial(_damage, damage))
        for name, special in SPECIALS.items():
            yield Case("networks", f"a file: {name}", line, partial(_special, special))
        for name in ("a zero byte", "HTML", "an object", "nested lists"):
            yield Case("networks", f"a text: {name}", line, partial(Path("net.onnx").write_bytes, TEXTS[name]))


def _save(make: Callable[[], onnx.ModelProto]) -> None:
    Path("net.onnx").write_bytes(make().SerializeToString())


def _damage(damage: Callable[[bytes], bytes]) -> None:
    Path("net.onnx").write_bytes(damage(Path("net.onnx").read_bytes()))


def _special(make: Callable[[Path], object]) -> None:
    Path("net.onnx").unlink()
    make(Path("net.onnx"))
