"""Reference, simulator and the board's runtime compute the codes that TPU-MLIR computed, recorded by `record.py`."""

import numpy as np
import pytest
from onnx import numpy_helper

from stages.core.graph.session import Runner
from stages.core.integer.model import tensor_quant_params
from stages.core.integer.reference import run_reference
from stages.core.integer.simulator import simulator_model
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config
from tests.quantize.emit.tpu_mlir.golden import case_network, feeds_of, golden, table_digest

RECORDED = [tuple(key.split("/")) for key in golden() if key.count("/") == 1]


def expected(chip, name):
    """Tensor -> the recorded codes of each picture."""
    start = f"{chip}/{name}/"
    return {key.removeprefix(start): codes for key, codes in golden().items() if key.startswith(start)}


@pytest.mark.parametrize(("chip", "name"), RECORDED)
def test_codes_are_those_of_tpu_mlir(chip, name):
    network = case_network(name, chip)
    assert golden()[f"{chip}/{name}"].item() == table_digest(network), "recorded with other thresholds: record anew"
    quant_params = tensor_quant_params(network.integer.graph.node)
    tensors = {name.removesuffix("/codes"): name for name in quant_params}
    recorded = expected(chip, name)
    assert recorded, "nothing recorded"
    runner = Runner(simulator_model(network.integer, list(tensors.values()), codes=True), optimize="safe")
    for index, feeds in enumerate(feeds_of(name)):
        simulated, reference = runner.run(feeds), run_reference(network.integer, feeds)
        for tensor, codes in recorded.items():
            ours = tensors[tensor]
            wanted = codes[index].reshape(simulated[ours].shape)
            np.testing.assert_array_equal(simulated[ours], wanted, err_msg=f"{tensor}, simulator")
            np.testing.assert_array_equal(reference[ours], wanted, err_msg=f"{tensor}, reference")


def test_every_tensor_is_recorded():
    for chip, name in RECORDED:
        quant_params = tensor_quant_params(case_network(name, chip).integer.graph.node)
        own = {tensor.removesuffix("/codes") for tensor in quant_params if "/operand" not in tensor}
        joined_by_another = {"e"} if name == "joined" else set()  # the two Concats are one in the end
        assert own - expected(chip, name).keys() == joined_by_another, (chip, name)


@pytest.mark.parametrize(("chip", "others"), [("bm1684x", ["bm1688", "cv186x"]), ("cv181x", ["cv183x"])])
def test_chips_of_one_arithmetic_have_one_integer_network(chip, others):
    wanted = case_network("residual", chip).integer
    for other in others:
        actual = case_network("residual", other).integer
        assert actual.graph == wanted.graph


SLOPES = (-0.157186, 0.315752, 0.769176, -0.124952, 1.086278, 0.183011, 0.044105, -0.075077)
MULTIPLIERS = (-10, 20, 49, -8, 70, 12, 3, -5)
"""What TPU-MLIR made of them for cv181x, at a shift of 6, in a network of faces' landmarks."""


@pytest.mark.parametrize(
    ("chip", "multipliers"), [("cv181x", MULTIPLIERS), ("bm1684x", (-10, 20, 49, -7, 69, 11, 2, -4))]
)
def test_slopes_are_rounded_on_cv18xx_and_cut_off_elsewhere(chip, multipliers):
    slopes = np.float32(SLOPES).reshape(-1, 1, 1)
    model = graph_model([node("PRelu", ["x", "k"], ["y"], "op")], {"x": [1, 8, 2, 2]}, ["y"], {"k": slopes}, 17)
    picture = {"x": np.linspace(-1, 1, 32, dtype=np.float32).reshape(1, 8, 2, 2)}
    integer = quantized_network(model, [picture], soc_config(chip)).integer
    (table,) = [numpy_helper.to_array(each) for each in integer.graph.initializer if each.name == "op/table"]
    x, y = (tensor_quant_params(integer.graph.node)[name].zero_point for name in ("x/codes", "y"))
    assert tuple(y - table[:, x - 64].astype(int)) == multipliers
