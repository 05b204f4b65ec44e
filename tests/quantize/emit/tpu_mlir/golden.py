"""Golden values of TPU-MLIR: the networks they were recorded with, and the file that holds them.

`python -m tests.quantize.emit.tpu_mlir.record PYTHON` writes the file anew; PYTHON is that of an environment in which
TPU-MLIR is installed.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.integer.thresholds import threshold
from tests.export.graphs import node
from tests.networks import Quantized, quantized_network, soc_config
from tests.quantize.emit.test_lower import CASES, Case, values

__all__ = ["FILE", "GOLDEN_CASES", "PICTURES", "case_network", "feeds_of", "golden", "table_digest"]

FILE = Path(__file__).with_name("golden.npz")
PICTURES = (5,)
"""Seeds; calibrated is on others."""
ALONE = (
    "conv", "conv_dilated", "conv_depthwise", "conv_grouped", "conv_same_upper", "conv_transpose",
    "conv_transpose_grouped", "gemm", "gemm_turned", "mat_mul", "add", "add_itself", "add_broadcast", "add_channels",
    "add_scalar", "sub", "sub_from_constant", "mul", "mul_itself", "mul_channels", "concat", "max", "max_pool",
    "average_pool", "average_pool_counting", "global_average_pool", "global_max_pool", "mean", "slice", "transpose",
    "relu", "prelu", "leaky_relu", "sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu", "conv_relu", "add_relu",
)  # fmt: skip
"""Of the cases of test_lower."""


def _several() -> dict[str, Case]:
    """Networks in which the converter shares ranges or merges layers."""
    four = {f"{name}{index}": values(4, 4, 1, 1, seed=index) for index in range(4) for name in "w"}
    bias = {f"b{index}": values(4, seed=20 + index) for index in range(4)}
    return {
        "merged": Case(
            [node("Conv", ["x", "w0", "b0"], ["a"], "first"), node("Conv", ["a", "w1", "b1"], ["y"], "second")],
            [], four | bias,
        ),
        "joined": Case(
            [
                node("Conv", ["x", "w0", "b0"], ["a"], "one", pads=[0, 0, 0, 0]),
                node("Relu", ["a"], ["ar"], "one_relu"),
                node("Conv", ["ar", "w1", "b1"], ["c"], "two"),
                node("Relu", ["c"], ["cr"], "two_relu"),
                node("Conv", ["ar", "w2"], ["d"], "three"),
                node("Relu", ["d"], ["dr"], "three_relu"),
                node("Concat", ["cr", "dr"], ["e"], "alone", axis=1),
                node("Concat", ["e", "ar"], ["y"], "shared", axis=1),
            ],
            [], four | bias,
        ),
        "residual": Case(
            [
                node("Conv", ["x", "w0", "b0"], ["a"], "one"),
                node("Clip", ["a", "low", "high"], ["ar"], "one_relu6"),
                node("Conv", ["ar", "k", "b1"], ["c"], "two", pads=[1, 1, 1, 1]),
                node("Add", ["c", "ar"], ["s"], "sum"),
                node("GlobalAveragePool", ["s"], ["p"], "pool"),
                node("Flatten", ["p"], ["f"], "flat"),
                node("Gemm", ["f", "g", "h"], ["y"], "end", transB=1),
            ],
            [],
            four | bias | {
                "k": values(4, 4, 3, 3, seed=9), "low": np.float32(0), "high": np.float32(6),
                "g": values(5, 4, seed=8), "h": values(5, seed=7),
            },
        ),
        "pooled": Case(
            [
                node("Conv", ["x", "w0", "b0"], ["a"], "one"),
                node("Sigmoid", ["a"], ["g"], "gate"),
                node("Mul", ["a", "g"], ["s"], "silu"),
                *[
                    node("MaxPool", [before], [after], f"to_{after}", kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
                    for before, after in (("s", "p"), ("p", "q"), ("q", "r"))
                ],
                node("Concat", ["s", "p", "q", "r"], ["j"], "join", axis=1),
                node("Conv", ["j", "k", "b1"], ["y"], "end"),
            ],
            [], four | bias | {"k": values(4, 16, 1, 1, seed=11)},
        ),
    }  # fmt: skip


GOLDEN_CASES: dict[str, Case] = {name: CASES[name] for name in ALONE} | _several()


@cache
def case_network(name: str, chip: str) -> Quantized:
    """A case taken through quantization for a chip."""
    pictures = [GOLDEN_CASES[name].feeds(seed) for seed in range(1, 4)]
    return quantized_network(GOLDEN_CASES[name].model, pictures, soc_config(chip))


def feeds_of(name: str) -> list[Mapping[str, np.ndarray]]:
    """The pictures of a case."""
    return [GOLDEN_CASES[name].feeds(seed) for seed in PICTURES]


def table_digest(network: Quantized) -> str:
    """What the golden codes follow from: thresholds and weights; a digest."""
    digest = hashlib.sha256()
    for feature in network.params.features:
        number = threshold(feature.scale, feature.zero_point, feature.bits)
        digest.update(f"{feature.tensor} {number:.7f} {feature.zero_point}\n".encode())
    return digest.hexdigest()[:16]


@cache
def golden() -> dict[str, Any]:
    """The file: `CHIP/CASE` -> digest of the table, `CHIP/CASE/TENSOR` -> uint8 [pictures, ...], signed plus 128."""
    with np.load(FILE) as stored:
        return {key: stored[key] for key in stored.files}
