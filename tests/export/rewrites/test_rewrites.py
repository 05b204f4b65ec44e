"""Each rewrite: the operators that it leaves, and that they compute what ONNX Runtime computes of the source."""

import math
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest

from stages.export.rewrites.rewrite import REWRITES, rewrite
from tests.export.graphs import graph_model, node, run_onnx

RNG = np.random.default_rng(0)


@dataclass
class Case:
    """Nodes whose last one is called `root` and gives `y`, and the operators that are to stand for them."""

    nodes: list[onnx.NodeProto]
    expected: list[str]
    shape: tuple[int, ...] = (1, 4, 6, 8)
    constants: dict[str, object] = field(default_factory=dict)
    opset: int = 17
    others: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tolerance: float = 1e-6


def chain(*steps):
    """Nodes of one after the other: (type, other inputs, attributes); `x` is the first one's input."""
    nodes, name = [], "x"
    for index, (kind, others, attributes) in enumerate(steps):
        last = index == len(steps) - 1
        output = "y" if last else f"t{index}"
        nodes.append(node(kind, [name, *others], [output], "root" if last else f"n{index}", **attributes))
        name = output
    return nodes


def normalized(square, *tail):
    """A layer norm over the last axis, spelled out."""
    squared = (
        node("Pow", ["d", "two"], ["q"], "square") if square == "Pow" else node("Mul", ["d", "d"], ["q"], "square")
    )
    nodes = [
        node("ReduceMean", ["x"], ["m"], "mean", axes=[-1]),
        node("Sub", ["x", "m"], ["d"], "centered"),
        squared,
        node("ReduceMean", ["q"], ["v"], "variance", axes=[-1]),
        node("Add", ["v", "epsilon"], ["e"], "sum"),
        node("Sqrt", ["e"], ["s"], "deviation"),
        node("Div", ["d", "s"], ["n"], "divided"),
        *tail,
    ]
    nodes[-1].output[0], nodes[-1].name = "y", "root"
    return nodes


def swish(*order):
    """x * clamp(x + 3, 0, 6) / 6 in several orders."""
    gate = [node("Add", ["x", "three"], ["a"], "sum"), node("Clip", ["a", "zero", "six"], ["c"], "clamped")]
    tails = {
        "product first": [node("Mul", ["x", "c"], ["p"], "p"), node("Div", ["p", "six"], ["y"], "root")],
        "division first": [node("Div", ["c", "six"], ["p"], "p"), node("Mul", ["p", "x"], ["y"], "root")],
        "by a sixth": [node("Mul", ["c", "x"], ["p"], "p"), node("Mul", ["sixth", "p"], ["y"], "root")],
    }
    return gate + tails[order[0]]


def gelu(kind, order):
    inner = {
        "Erf": [node("Div", ["x", "root2"], ["u"], "u"), node("Erf", ["u"], ["e"], "e")],
        "Tanh": [
            node("Pow", ["x", "three"], ["x3"], "x3"),
            node("Mul", ["x3", "cubic"], ["k3"], "k3"),
            node("Add", ["x", "k3"], ["s"], "s"),
            node("Mul", ["s", "root2pi"], ["u"], "u"),
            node("Tanh", ["u"], ["e"], "e"),
        ],
    }[kind]
    tail = {
        "half last": [node("Mul", ["x", "g"], ["p"], "p"), node("Mul", ["p", "half"], ["y"], "root")],
        "half first": [node("Mul", ["x", "half"], ["p"], "p"), node("Mul", ["p", "g"], ["y"], "root")],
        "half inside": [node("Mul", ["half", "g"], ["p"], "p"), node("Mul", ["x", "p"], ["y"], "root")],
    }[order]
    return [*inner, node("Add", ["e", "one"], ["g"], "g"), *tail]


def several(kind, count):
    return [node(kind, [f"x{i}" if i else "x" for i in range(count)], ["y"], "root")]


NUMBERS = {
    "zero": 0.0, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "sixth": 1 / 6, "half": 0.5, "tenth": 0.1,
    "fifth": 0.2,
    "root2": math.sqrt(2), "root2pi": math.sqrt(2 / math.pi), "cubic": 0.044715, "epsilon": 1e-5,
}  # fmt: skip
CHANNELS = RNG.normal(size=(4, 1, 1)) + 3
SCALE, SHIFT = RNG.normal(size=8), RNG.normal(size=8)
MATRIX = RNG.normal(size=(8, 5))
INTS = {name: np.array(value) for name, value in {
    "last": [-1], "space": [2, 3], "zero_i": 0, "minus_two": -2, "even": [0, 2], "back": [3, 2, 1, 0],
    "mixed": [3, 0, 1], "spread": [0, 5, 1, 7, 2, 6, 3, 0, 4, 4], "to": [4, 48], "to_six": [0, 4, 48], "one_i": [1],
    "none": np.zeros(0, np.int64),
}.items()}  # fmt: skip
AROUND = np.array([0, 0, 1, 0, 0, 0, 2, 1])
"""Pads of Pad: one row above and two below, one column on the right."""
CASES = {
    "division": Case(chain(("Div", ["c"], {})), ["Mul"], constants={"c": CHANNELS}, tolerance=2e-7),
    "division by a power of two": Case(chain(("Div", ["c"], {})), ["Mul"], constants={"c": 0.25}, tolerance=0),
    "square": Case(chain(("Pow", ["two"], {})), ["Mul"]),
    "cube": Case(chain(("Pow", ["three"], {})), ["Mul", "Mul"], tolerance=1e-5),
    "negation": Case(chain(("Neg", [], {})), ["Mul"], tolerance=0),
    "subtraction": Case(chain(("Sub", ["c"], {})), ["Add"], constants={"c": CHANNELS}, tolerance=0),
    "batch norm": Case(
        chain(("BatchNormalization", ["s", "b", "m", "v"], {"epsilon": 1e-3})),
        ["Mul", "Add"],
        (3, 8),
        {"s": SCALE, "b": SHIFT, "m": SHIFT[::-1], "v": SCALE**2},
        tolerance=1e-5,
    ),
    "one index": Case(chain(("Gather", ["minus_two"], {"axis": 1})), ["Slice", "Squeeze"], tolerance=0),
    "even indices": Case(chain(("Gather", ["even"], {"axis": 1})), ["Slice"], tolerance=0),
    "reversed": Case(chain(("Gather", ["back"], {"axis": 1})), ["Slice"], tolerance=0),
    "list of one": Case(chain(("Gather", ["last"], {"axis": 3})), ["Slice"], tolerance=0),
    "two runs": Case(chain(("Gather", ["mixed"], {"axis": 1})), ["Slice", "Slice", "Concat"], tolerance=0),
    "hard sigmoid divided": Case(
        chain(("Add", ["three"], {}), ("Clip", ["zero", "six"], {}), ("Div", ["six"], {})), ["HardSigmoid"]
    ),
    "hard sigmoid multiplied": Case(
        chain(("Mul", ["fifth"], {}), ("Add", ["half"], {}), ("Clip", ["zero", "one"], {})), ["HardSigmoid"]
    ),
    "hard swish, product first": Case(swish("product first"), ["HardSigmoid", "Mul"], tolerance=1e-5),
    "hard swish, division first": Case(swish("division first"), ["HardSigmoid", "Mul"], tolerance=1e-5),
    "hard swish by a sixth": Case(swish("by a sixth"), ["HardSigmoid", "Mul"], tolerance=1e-5),
    "layer norm": Case(
        normalized("Pow", node("Mul", ["n", "gamma"], ["p"], "p"), node("Add", ["p", "beta"], [""], "")),
        ["LayerNormalization"],
        constants={"gamma": SCALE, "beta": SHIFT},
        opset=13,
        tolerance=1e-5,
    ),
    "layer norm without a shift": Case(
        normalized("Mul", node("Mul", ["gamma", "n"], [""], "")),
        ["LayerNormalization"],
        constants={"gamma": SCALE},
        tolerance=1e-5,
    ),
    "layer norm alone": Case(normalized("Pow"), ["LayerNormalization"], tolerance=1e-5),
    "gelu, half last": Case(gelu("Erf", "half last"), ["Gelu"], opset=20),
    "gelu, half first": Case(gelu("Erf", "half first"), ["Gelu"], opset=20),
    "gelu by tanh": Case(gelu("Tanh", "half inside"), ["Gelu"], opset=20, tolerance=1e-5),
    "weight of rank 3": Case(chain(("MatMul", ["w"], {})), ["MatMul"], constants={"w": MATRIX[None]}, tolerance=1e-5),
    "weight on the left": Case(
        [node("MatMul", ["w", "x"], ["y"], "root")],
        ["Transpose", "MatMul", "Transpose"],
        (2, 8, 3),
        {"w": MATRIX.T},
        tolerance=1e-5,
    ),
    "gemm with factors": Case(
        chain(("Gemm", ["w", "b"], {"alpha": 0.5, "beta": 2.0})),
        ["Gemm"],
        (3, 8),
        {"w": MATRIX, "b": SHIFT[:5]},
        tolerance=1e-5,
    ),
    "gemm of a transposed input": Case(
        chain(("Gemm", ["w"], {"transA": 1, "transB": 1})),
        ["Transpose", "Gemm"],
        (8, 3),
        {"w": MATRIX.T},
        tolerance=1e-5,
    ),
    "gemm with a computed bias": Case(
        chain(("Gemm", ["w", "b"], {"beta": 0.5})),
        ["Gemm", "Mul", "Add"],
        (3, 8),
        {"w": MATRIX},
        others={"b": (1, 5)},
        tolerance=1e-5,
    ),
    "transposed convolution to a shape": Case(
        chain(("ConvTranspose", ["w"], {"output_shape": [12, 15], "strides": [2, 2]})),
        ["ConvTranspose"],
        constants={"w": RNG.normal(size=(4, 2, 3, 3))},
        tolerance=1e-5,
    ),
    "transposed convolution to twice the size": Case(
        chain(("ConvTranspose", ["w"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]})),
        ["ConvTranspose"],
        constants={"w": RNG.normal(size=(4, 2, 3, 3))},
        tolerance=1e-5,
    ),
    "average pool rounded up": Case(
        chain(("AveragePool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})), ["AveragePool"]
    ),
    "average pool that need not be": Case(
        chain(("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1})),
        ["AveragePool"],
    ),
    "padding of a max pool": Case(
        chain(
            ("Pad", ["around", "nothing"], {}),
            ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 0, 0, 0]}),
        ),
        ["MaxPool"],
        constants={"around": AROUND, "nothing": -np.inf},
        tolerance=0,
    ),
    "sum over axes": Case(chain(("ReduceSum", ["space"], {"keepdims": 0})), ["ReduceMean", "Mul"], tolerance=1e-5),
    "sum over axes of opset 18": Case(
        chain(("ReduceSum", ["last"], {})), ["ReduceMean", "Mul"], opset=18, tolerance=1e-5
    ),
    "largest": Case(chain(("ReduceMax", [], {"axes": [2, 3]})), ["GlobalMaxPool"], tolerance=0),
    "largest without axes": Case(
        chain(("ReduceMax", [], {"axes": [-1, -2], "keepdims": 0})), ["GlobalMaxPool", "Reshape"], tolerance=0
    ),
    "no axes are all axes": Case(chain(("ReduceMin", ["none"], {"keepdims": 0})), ["ReduceMin"], opset=18, tolerance=0),
    "no axes are none": Case(
        chain(("ReduceMean", ["none"], {"noop_with_empty_axes": 1})), ["Identity"], opset=18, tolerance=0
    ),
    "swish": Case(chain(("Swish", [], {"alpha": 1.0})), ["Sigmoid", "Mul"], opset=24),
    "swish of another slope": Case(chain(("Swish", [], {"alpha": 2.0})), ["Mul", "Sigmoid", "Mul"], opset=24),
    "largest product": Case(chain(("ReduceProd", ["none"], {})), ["ReduceProd"], (1, 2), opset=18, tolerance=1e-5),
    "larger than a number": Case(chain(("Max", ["tenth"], {})), ["Clip"], tolerance=0),
    "between numbers": Case(chain(("Max", ["zero"], {}), ("Min", ["six"], {})), ["Clip"], tolerance=0),
    "clip of a clip": Case(chain(("Clip", ["zero", "six"], {}), ("Clip", ["tenth"], {})), ["Clip"], tolerance=0),
    "leaky relu": Case(
        [node("Mul", ["x", "tenth"], ["s"], "s"), node("Max", ["s", "x"], ["y"], "root")], ["LeakyRelu"], tolerance=0
    ),
    "sum of three": Case(
        several("Sum", 3), ["Add", "Add"], others={"x1": (1, 4, 6, 8), "x2": (1, 1, 1, 8)}, tolerance=0
    ),
    "mean of two": Case(several("Mean", 2), ["Add", "Mul"], others={"x1": (1, 4, 6, 8)}),
    "two views": Case(chain(("Reshape", ["to"], {}), ("Unsqueeze", ["one_i"], {})), ["Reshape"], tolerance=0),
    "three views": Case(
        chain(("Flatten", [], {"axis": 2}), ("Unsqueeze", ["one_i"], {}), ("Squeeze", ["one_i"], {})),
        ["Reshape"],
        tolerance=0,
    ),
    "einsum with a weight": Case(
        [node("Einsum", ["x", "w"], ["y"], "root", equation="bchw,wk->bchk")],
        ["Reshape", "MatMul", "Reshape"],
        constants={"w": MATRIX},
        tolerance=1e-5,
    ),
    "einsum of two features": Case(
        [node("Einsum", ["x", "z"], ["y"], "root", equation="nctv, nvw -> nctw")],
        ["Reshape", "MatMul", "Reshape"],
        others={"z": (1, 8, 3)},
        tolerance=1e-5,
    ),
    "einsum that reorders": Case(
        [node("Einsum", ["x", "z"], ["y"], "root", equation="bqhd,bkhd->bhqk")],
        ["Transpose", "Transpose", "MatMul"],
        others={"z": (1, 5, 6, 8)},
        tolerance=1e-5,
    ),
}
KEPT = {
    "division by nothing": Case(
        chain(("Div", ["c"], {})), ["Div"], constants={"c": CHANNELS * [[[1.0]], [[0]], [[1]], [[1]]]}
    ),
    "number over x": Case([node("Div", ["six", "x"], ["y"], "root")], ["Div"]),
    "root": Case(chain(("Pow", ["half"], {})), ["Pow"]),
    "number less x": Case([node("Sub", ["six", "x"], ["y"], "root")], ["Sub"]),
    "many runs": Case(chain(("Gather", ["spread"], {"axis": 3})), ["Gather"]),
    "another clamp": Case(
        chain(("Add", ["three"], {}), ("Clip", ["zero", "six"], {}), ("Mul", ["half"], {})), ["Add", "Clip", "Mul"]
    ),
    "gelu before opset 20": Case(gelu("Erf", "half first"), ["Mul", "Erf", "Add", "Mul", "Mul"]),
    "pool that counts padding": Case(
        chain(("AveragePool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1})),
        ["AveragePool"],
    ),
    "padding with zeros": Case(
        chain(("Pad", ["around", "zero"], {}), ("MaxPool", [], {"kernel_shape": [3, 3]})),
        ["Pad", "MaxPool"],
        constants={"around": AROUND},
    ),
    "padding as wide as the pool": Case(
        chain(("Pad", ["around", "nothing"], {}), ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})),
        ["Pad", "MaxPool"],
        constants={"around": np.array([0, 0, 2, 0, 0, 0, 0, 0]), "nothing": -np.inf},
    ),
    "sum over everything": Case(chain(("ReduceSum", [], {})), ["ReduceSum"]),
    "largest of a row": Case(chain(("ReduceMax", [], {"axes": [3]})), ["ReduceMax"]),
    "steep leaky relu": Case(
        [node("Mul", ["x", "two"], ["s"], "s"), node("Max", ["s", "x"], ["y"], "root")], ["Mul", "Max"]
    ),
    "one view": Case(chain(("Flatten", [], {})), ["Flatten"]),
    "einsum with dots": Case(
        [node("Einsum", ["x", "w"], ["y"], "root", equation="...w,wk->...k")], ["Einsum"], constants={"w": MATRIX}
    ),
    "einsum that sums one operand": Case(
        [node("Einsum", ["x", "w"], ["y"], "root", equation="bchw,wk->bck")], ["Einsum"], constants={"w": MATRIX}
    ),
}


def model_of(case):
    known = NUMBERS | INTS | case.constants
    used = {name: known[name] for entry in case.nodes for name in entry.input if name in known}
    return graph_model(case.nodes, {"x": case.shape, **case.others}, ["y"], used, case.opset)


def compared(case):
    """The rewritten network; it gives what the source gives."""
    source, changed = model_of(case), model_of(case)
    rewrite(changed)
    feeds = {
        name: (RNG.normal(size=shape) * 3).astype(np.float32)
        for name, shape in {"x": case.shape, **case.others}.items()
    }
    (expected,), (found,) = run_onnx(source, feeds), run_onnx(changed, feeds)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=case.tolerance, atol=case.tolerance)
    return changed


@pytest.mark.parametrize("case", CASES)
def test_what_a_form_is_rewritten_to(case):
    changed = compared(CASES[case])
    assert [entry.op_type for entry in changed.graph.node] == CASES[case].expected
    root = changed.graph.node[-1]
    assert (root.name, list(root.output)) == ("root", ["y"])
    names = [entry.name for entry in changed.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert not any(each.name == "ceil_mode" for entry in changed.graph.node for each in entry.attribute)


@pytest.mark.parametrize("case", KEPT)
def test_forms_that_stay(case):
    changed = compared(KEPT[case])
    assert [entry.op_type for entry in changed.graph.node] == KEPT[case].expected


def test_nodes_that_something_else_reads_stay():
    nodes = chain(("Add", ["three"], {}), ("Clip", ["zero", "six"], {}), ("Div", ["six"], {}))
    model = graph_model(nodes, {"x": [1, 4]}, ["y", "t1"], {"three": 3.0, "zero": 0.0, "six": 6.0})
    rewrite(model)
    assert sorted(entry.op_type for entry in model.graph.node) == ["Add", "Clip", "HardSigmoid"]


def test_constants_that_nothing_reads_any_more_go():
    model = model_of(CASES["hard sigmoid divided"])
    rewrite(model)
    assert not model.graph.initializer


def test_a_network_that_no_rewrite_knows_keeps_its_bytes():
    model = model_of(Case(chain(("Relu", [], {}), ("Flatten", [], {})), []))
    before = model.SerializeToString(deterministic=True)
    rewrite(model)
    assert model.SerializeToString(deterministic=True) == before


def test_integers_stay():
    model = graph_model([node("Div", ["x", "k"], ["y"], "root")], {"x": [2]}, ["y"], {"k": np.array(2)})
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = onnx.TensorProto.INT64
    rewrite(model)
    assert [entry.op_type for entry in model.graph.node] == ["Div"]


def test_every_rewrite_has_a_case():
    rewritten = {entry.op_type for case in CASES.values() for entry in case.nodes}
    assert {kind for each in REWRITES for kind in each.operators} - rewritten == set()
