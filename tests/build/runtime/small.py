"""A network with most operations, small enough to be run thousands of times."""

import numpy as np

from stages.core.integer.quant_params import QuantParams
from tests.core.integer.nets import Net


def small_net(bits: int = 8) -> Net:
    """Input `x` [1, 3, 6, 6] of so many bits; convolutions by each rule, sums, pools, tables, floats, movements."""
    rng = np.random.default_rng(0)
    net, x_params, y_params = Net(), QuantParams(bits, 0.5, 3), QuantParams(bits, 0.5, 2**bits // 2)
    net.feature("x", [1, 3, 6, 6], x_params)

    def conv(name, x, shape, group, kind="Conv", **more):
        weight = rng.integers(-8, 8, shape).astype(np.int8)
        channels = shape[1] * group if kind == "ConvTranspose" else shape[0]
        values = [rng.integers(-500, 500, channels, np.int32), rng.integers(20, 90, channels).astype(np.int32)]
        net.add(kind, [x, weight, *values], y_params, name, rule="nna", dilations=[1, 1], group=group, **more)

    conv("dense", "x", (5, 3, 3, 3), 1, strides=[1, 1], pads=[1, 1, 1, 1])
    conv("depthwise", "dense", (5, 1, 3, 3), 5, strides=[2, 2], pads=[1, 1, 0, 0])
    conv("up", "depthwise", (5, 5, 2, 2), 1, "ConvTranspose", strides=[2, 2], pads=[0, 0, 0, 0], output_padding=[0, 0])
    net.add("Add", ["dense", "up"], y_params, "sum", multipliers=[4000, -8000], shift=13)
    net.add("Mul", ["sum", "up"], y_params, "product", multipliers=[8000], shift=13 + bits - 2)
    net.add("Max", ["sum", "up", "dense"], y_params, "largest", multipliers=[8192, 4000, 8000], shift=13)
    net.plain("MaxPool", ["largest"], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    average = {"kernel_shape": [3, 3], "strides": [2, 2], "dilations": [1, 1], "pads": [1, 1, 0, 0]}
    net.add("AveragePool", ["product", np.array(900, np.int32)], y_params, "average", shift=13, **average)
    halves = np.array([[128, 0, 0], [64, 64, 0], [0, 128, 0], [0, 0, 128]], np.int32)
    net.add("Resize", ["average", halves, halves], y_params, "resized", shift=14)
    net.add("Concat", ["pooled", "average"], y_params, "joined", axis=1, multipliers=[8192, 4000], shift=13)
    net.add("Table", ["joined", rng.integers(0, 2**bits, 2**bits, np.int32)], y_params, "table")
    net.add("PRelu", ["table", rng.integers(-9000, 9000, (10, 1, 1), np.int32)], y_params, "prelu", multipliers=[8192],
            shift=13)  # fmt: skip
    net.plain("Transpose", ["prelu"], "turned", perm=[0, 2, 3, 1])
    net.plain("Pad", ["turned", np.array([0, 0, 0, 0, 0, 1, 0, 2]), np.array(7, y_params.dtype)], "padded")
    net.add("Dequantize", ["padded"], None, "real")
    net.plain("Softmax", ["real"], "soft", axis=-1)
    net.add("Quantize", ["soft"], QuantParams(bits, 1 / 256, 0), "again")
    net.add("Mean", ["table"], y_params, "mean", multipliers=[900], shift=13, axes=[2, 3], keepdims=0, terms=9)
    weight = rng.integers(-8, 8, (10, 4)).astype(np.int8)
    net.add("MatMul", ["mean", weight, np.arange(4, dtype=np.int32), np.full(4, 0.01, np.float32)], None, "logits",
            rule="float")  # fmt: skip
    return net


def small_codes(bits: int = 8) -> np.ndarray:
    """Codes of its input."""
    return np.random.default_rng(1).integers(0, 2**bits, (1, 3, 6, 6))


def float_net() -> Net:
    """Input `x` [1, 3, 4, 5]; in float: functions, comparisons, integers, picked and placed elements, states."""
    rng = np.random.default_rng(2)
    net = Net()
    net.feature("x", [1, 3, 4, 5], QuantParams(8, 0.02, 100))
    net.add("Dequantize", ["x"], None, "real")
    net.plain("Exp", ["real"], "exp")
    net.plain("Pow", ["exp", "real"], "power")
    net.plain("Erf", ["real"], "erf")
    net.plain("Greater", ["real", np.float32(0)], "above")
    net.plain("Where", ["above", "power", np.zeros((4, 1), np.float32)], "where")
    net.plain("Not", ["above"], "below")
    net.plain("ArgMax", ["where"], "best", axis=2, keepdims=0)
    net.plain("Gather", [rng.normal(0, 1, (4, 2)).astype(np.float32), "best"], "embedded")
    net.plain("Mod", ["best", np.int64(3)], "rest")
    net.plain("Cast", ["rest"], "number", to=1)
    net.plain("TopK", ["real", np.array([2])], "largest", "places", axis=3)
    net.plain("ScatterElements", ["real", "places", "largest"], "placed", axis=3, reduction="add")
    net.plain("ReduceMax", ["placed", np.array([1])], "highest", keepdims=0)
    net.plain("ReduceSum", ["places", np.array([3])], "total", keepdims=0)
    net.plain("Softmax", ["erf"], "soft", axis=1)
    net.plain("LayerNormalization", ["soft", np.ones(5, np.float32), np.zeros(5, np.float32)], "normal")
    net.plain("Reshape", ["normal", np.array([5, 2, 6])], "steps")
    for kind, gates in (("GRU", 3), ("LSTM", 4)):
        weights = [rng.normal(0, 1, (2, gates * 3, n)).astype(np.float32) for n in (6, 3)]
        bias, lengths = rng.normal(0, 1, (2, gates * 6)).astype(np.float32), np.array([5, 3], np.int32)
        names = (f"{kind}/states", f"{kind}/last")
        net.plain(kind, ["steps", *weights, bias, lengths], *names, hidden_size=3, direction="bidirectional")
    return net


def float_codes() -> np.ndarray:
    """Codes of its input."""
    return np.random.default_rng(3).integers(0, 256, (1, 3, 4, 5))
