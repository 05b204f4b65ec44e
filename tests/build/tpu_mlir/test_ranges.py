"""Against the names that TPU-MLIR 1.30.2 gave the layers of `renamed_network`, and the scales that it took."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stages.build.tpu_mlir.ranges import table_ranges
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.collect import collect
from stages.core.tpu_mlir.tables import calibration_table, check_qtable, check_table, read_mlir, write_qtable
from tests.core.tpu_mlir.network import renamed_network
from tests.networks import quantized_network, soc_config

GOLDEN = Path(__file__).parents[2] / "core" / "tpu_mlir" / "golden"
LAYERS = read_mlir((GOLDEN / "net.mlir").read_text())


@cache
def ranges(soc, **quant):
    model = renamed_network()
    pictures = [{"x": np.random.default_rng(seed).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for seed in range(4)]
    quantized = quantized_network(model, pictures, soc_config(soc), **quant)
    statistics = collect(model, ((str(index), picture) for index, picture in enumerate(pictures)))
    return quantized, table_ranges(Graph(model), quantized.params, statistics, quantized.integer, soc_config(soc))


@pytest.mark.parametrize("soc", ["bm1684x", "cv181x"])
def test_all_layers_of_the_compiler_have_their_range(soc):
    """What the golden network was lowered with: the compiler took these scales."""
    found = ranges(soc)[1]
    table, qtable = calibration_table(LAYERS, found), write_qtable(LAYERS, found)
    check_table(table, LAYERS)
    check_qtable(qtable, LAYERS, found["chip_types"])
    assert qtable == f"# layer type\ny_Softmax {found['chip_types'][0]}\n"
    thresholds = {row.split()[0]: float(row.split()[1]) for row in table.splitlines() if row[0] != "#"}
    coded = [layer for layer in read_mlir((GOLDEN / f"net_{soc}_tpu.mlir").read_text()) if layer.scale]
    named = [layer for layer in coded if layer.name in thresholds]
    assert len(named) == 8  # all but the input, which is cast to codes by a layer of its own, and the Softmax
    for layer in named:
        steps = {"u8": 255, "i8": 127, "i16": 127 * 257}[layer.type]  # before a layer in float some have 16 bits
        assert layer.scale == pytest.approx(thresholds[layer.name] / steps, rel=1e-5)


def test_signed_and_unsigned_rows():
    found = ranges("bm1684x")
    by_tensor = {feature.tensor: feature for feature in found[0].params.features}
    threshold, low, high = found[1]["tensors"]["r3_Relu"]
    assert (low, high) == (0.0, threshold)
    assert threshold == pytest.approx(by_tensor["r3"].scale * 255)
    threshold, low, high = found[1]["tensors"]["c1_Conv"]
    assert (low, high) == (-threshold, threshold)
    assert threshold == pytest.approx(by_tensor["c1"].scale * 127)
    signed = ranges("cv181x")[1]["tensors"]["r3_Relu"]
    assert signed[1] == -signed[0]


def test_layers_in_float_are_in_the_qtable():
    found = ranges("bm1684x", skip_nodes=("conv3",))[1]
    assert write_qtable(LAYERS, found) == "# layer type\nr3_Relu F16\ny_Softmax F16\n"
