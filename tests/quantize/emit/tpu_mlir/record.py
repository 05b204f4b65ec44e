"""Record the golden codes: `python -m tests.quantize.emit.tpu_mlir.record PYTHON [CHIP ...]`, of those chips or of all.

PYTHON is that of an environment with tpu_mlir[onnx]==1.30.2. Every case goes through `model_transform.py` and
`tpuc-opt` as far as its integers, which `pymlir` runs: see benchmarks/tpu_mlir. Codes are those of the toolchain alone.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.tpu_mlir.toolchain import record
from stages.core.base.artifacts import write_arrays
from stages.core.config.schema import Config, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.quantize.emit.prepared import prepared_model
from stages.quantize.parameters.choose import choose_weights
from tests.networks import Quantized, soc_config
from tests.quantize.emit.tpu_mlir.golden import FILE, GOLDEN_CASES, case_network, feeds_of, golden, table_digest

VERSION = "1.30.2"
CHIPS = ("bm1684x", "cv181x", "bm1684")
LIKE_BM1684X = frozenset(
    [
        "add_broadcast",
        "add_channels",
        "add_itself",
        "add_relu",
        "add_scalar",
        "average_pool_counting",
        "conv_dilated",
        "conv_same_upper",
        "conv_transpose",
        "conv_transpose_grouped",
        "gemm_turned",
        "global_max_pool",
        "hard_sigmoid",
        "hard_swish",
        "max_pool",
        "mean",
        "mul_channels",
        "mul_itself",
        "prelu",
        "relu",
        "slice",
        "sub_from_constant",
        "tanh",
        "transpose",
    ]
)
"""Cases that BM1684 computes as BM1684X does, or by the same code as another case."""
LEFT_OUT = {"bm1684": LIKE_BM1684X | {"mat_mul"}, "cv181x": frozenset({"conv_transpose_grouped"})}
"""A MatMul of rank 3 runs in float on BM1684, a grouped ConvTranspose on CV181x."""


def prepared(network: Quantized, chip: str) -> onnx.ModelProto:
    """The network that the toolchain gets."""
    config = Config(soc=replace(soc_config(chip), float_outputs=False), quant=QuantConfig("q"))
    _, codes = choose_weights(network.setup, Graph(network.model), network.params.features, config)
    return prepared_model(network.model, network.params, codes)


def main(python: Path, chips: Sequence[str]) -> None:
    """Write the file anew; other chips' codes stay."""
    stored: dict[str, Any] = {"version": np.array([VERSION])}
    if FILE.exists():
        stored |= {key: codes for key, codes in golden().items() if key.partition("/")[0] in set(CHIPS) - set(chips)}
    for chip in chips:
        for name in GOLDEN_CASES:
            if name in LEFT_OUT.get(chip, ()):
                continue
            network, feeds = case_network(name, chip), feeds_of(name)
            features = {feature.tensor: feature for feature in network.params.features}
            inputs = {key: np.stack([each[key] for each in feeds]) for key in feeds[0]}
            with tempfile.TemporaryDirectory() as folder:
                onnx.save(prepared(network, chip), Path(folder) / "model.onnx")
                found = record(python, Path(folder), Path(folder) / "model.onnx", chip, features, inputs)
            stored[f"{chip}/{name}"] = np.array([table_digest(network)])
            for tensor, codes in found.codes.items():
                shifted = codes + features[tensor].zero_point
                stored[f"{chip}/{name}/{tensor}"] = shifted.astype(np.uint8)
            print(chip, name, len(found.codes), flush=True)
    write_arrays(FILE, stored)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2:] or CHIPS)
