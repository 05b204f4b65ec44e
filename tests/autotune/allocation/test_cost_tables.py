import numpy as np
import onnx
import pytest

from stages.autotune.allocation.cost_tables import BITOPS, FEATURE_BITS, LATENCY, SIZE, WEIGHT_BITS
from stages.core.base.errors import UserError
from stages.core.cost import CostModel
from tests.autotune.stubs import problem_of
from tests.export.graphs import graph_model, node


def test_costs_by_hand():
    # multiplications: stem 8*64 outputs of 27, depthwise of 9, project of 8, fc 3 of 8; weights 216, 72, 64, 24
    problem = problem_of()
    assert problem.costs.total(SIZE, problem.uniform(8, 8)) == 376
    assert problem.costs.total(SIZE, problem.uniform(8, 4)) == 188
    macs = {"stem": 512 * 27, "depthwise": 512 * 9, "project": 512 * 8, "fc": 24}
    assert problem.costs.total(BITOPS, problem.uniform(8, 8)) == 64 * sum(macs.values())
    mixed = problem.uniform(8, 8) | {"feature r1": 4, "weight depthwise": 2}
    assert problem.costs.total(BITOPS, mixed) == 64 * (sum(macs.values()) - macs["depthwise"]) + 8 * macs["depthwise"]


def test_mean_bits_are_by_elements():
    # features: images 768, r1 r2 c3 sum 512 each, pooled and flat 8 each
    problem = problem_of()
    allocation = problem.uniform(8, 8) | {"feature images": 12, "feature pooled": 4, "weight stem": 2}
    assert problem.costs.total(FEATURE_BITS, allocation) == pytest.approx(
        (768 * 12 + 2048 * 8 + 16 * 4) / (768 + 2048 + 16)
    )
    assert problem.costs.total(WEIGHT_BITS, allocation) == pytest.approx((216 * 2 + 160 * 8) / 376)


def test_latency_is_the_cost_models():
    # 1 ms for 2**20 bytes: pooling takes 512 elements and makes 8, both at their own bit widths
    cost_model = CostModel("x", ms_per_gmac={"8/8": 0.0}, ms_per_mbyte=2.0**20)
    problem = problem_of(cost_model=cost_model)
    wide = problem.uniform(8, 8)
    narrow = wide | {"feature sum": 4}
    # the producer of `sum` writes half the bytes, its consumer reads half
    assert problem.costs.total(LATENCY, wide) - problem.costs.total(LATENCY, narrow) == pytest.approx(512 / 2 + 512 / 2)


def test_convolutions_that_a_layer_in_float_reads_write_floats():
    # 1 ms for a byte, 512 elements a tensor: `stem` and `project` write 4 bytes each, the sum reads 2 times 4
    cost_model = CostModel("x", ms_per_gmac={"8/8": 0.0, "32/32": 0.0}, ms_per_mbyte=2.0**20)
    plain, skipped = (problem_of(cost_model=cost_model, skip_nodes=names) for names in ([], ["residual"]))
    more = skipped.costs.total(LATENCY, skipped.uniform(8, 8)) - plain.costs.total(LATENCY, plain.uniform(8, 8))
    assert more == pytest.approx(512 * 3 * 4)


def test_operands_of_a_sum_count_for_their_shares():
    # 64 elements of 4 channels joined with 16 of one: bytes are those of each at its own bit width
    model = graph_model(
        [
            node("Conv", ["x", "w"], ["a"], "a"),
            node("Conv", ["x", "v"], ["b"], "b"),
            node("Concat", ["a", "b"], ["c"], "c", axis=1),
        ],
        {"x": [1, 2, 4, 4]},
        ["c"],
        {"w": np.ones((4, 2, 1, 1), np.float32), "v": np.ones((1, 2, 1, 1), np.float32)},
    )
    cost_model = CostModel("x", ms_per_gmac={"8/8": 0.0}, ms_per_mbyte=2.0**20)
    problem = problem_of(onnx.shape_inference.infer_shapes(model), cost_model=cost_model)
    base = problem.uniform(8, 8)
    wide = problem.costs.total(LATENCY, base | {"feature b": 12}) - problem.costs.total(LATENCY, base)
    # 16 elements, a byte more each in the convolution that computes them and in the join
    assert wide == pytest.approx(16 + 16)


def test_no_times_are_known():
    with pytest.raises(UserError, match="no times are known"):
        problem_of().costs.of(LATENCY)


def test_a_layer_in_float_costs_float():
    problem = problem_of(allow_float=True)
    base = problem.uniform(8, 8)
    more = problem.costs.total(BITOPS, base | {"feature pooled": 32}) - problem.costs.total(BITOPS, base)
    assert more == 24 * (32 * 32 - 64)
    assert problem.costs.total(SIZE, base | {"feature pooled": 32}) == 376 + 24 * 3


@pytest.mark.parametrize("inner", ["feature c3", "weight project"])
def test_on_a_soc_without_float_outputs_it_computes_with_the_socs_floats(inner):
    # conf/soc/bm1684x.yaml: F16. `project` multiplies 512 times 8, and has 64 weights
    problem = problem_of(soc="bm1684x", allow_float=True)
    base = problem.uniform(8, 8)
    assert problem.costs.total(BITOPS, base | {inner: 32}) == problem.costs.total(BITOPS, base) + 4096 * (16 * 16 - 64)
    assert problem.costs.total(SIZE, base | {inner: 32}) == 376 + 64
