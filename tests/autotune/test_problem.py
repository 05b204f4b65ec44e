import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.autotune.problem import FEATURE_BITS, WEIGHT_BITS, file_content, find_problem
from stages.autotune.solve import value
from stages.core.base.errors import UserError
from stages.core.config.schema import Config, QuantConfig
from stages.core.cost import CostModel
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.setup import place_quantizers
from tests.export.graphs import graph_model, node
from tests.networks import soc_config, tiny_classifier

FEATURES, WEIGHTS = ["images", "r1", "r2", "c3", "sum", "pooled"], ["stem", "depthwise", "project", "fc"]


def problem(model=None, given=None, soc="t40", cost=None, allow_float=False, **quant):
    graph = Graph(onnx.shape_inference.infer_shapes(model or tiny_classifier()))
    config = Config(soc=soc_config(soc), quant=QuantConfig("q", **quant))
    return find_problem(graph, config, given or {}, cost or CostModel(), allow_float)


def spent(found, kind, allotment):
    return value(found.tables(kind), found.bit_widths, allotment)


def test_a_variable_a_feature_and_a_weight_with_the_widths_of_the_soc():
    # conf/soc/t40.yaml: convolutions 4, 8, 10, 12 and 2, 4, 6, 8; a fully connected layer 4, 8 and 2, 4, 8
    found = problem().bit_widths
    assert list(found) == [*(f"feature {name}" for name in FEATURES), *(f"weight {name}" for name in WEIGHTS)]
    assert found["feature images"] == (4, 8, 10, 12)
    assert found["feature pooled"] == (4, 8)
    assert found["weight stem"] == (2, 4, 6, 8)
    assert found["weight fc"] == (2, 4, 8)


def test_tensors_that_share_codes_are_one_variable():
    (pooled,) = [entry for entry in problem().variables if entry.tensor == "pooled"]
    assert (pooled.members, pooled.keys, pooled.elements) == (("pooled", "flat"), ("pool", "flatten"), 16)


def test_what_the_user_gave_stays():
    given = {"stem": NodeBits(feature_bits=10, weight_bits=4), "project": NodeBits(range=(-1.0, 2.0))}
    found = problem(given=given)
    assert found.bit_widths["feature r1"] == (10,)  # given for the convolution of a fused layer
    assert found.bit_widths["weight stem"] == (4,)
    assert len(found.bit_widths["feature c3"]) == 4
    bits = found.node_bits(found.uniform(8, 8))
    assert bits["project"] == NodeBits(8, 8, (-1.0, 2.0))
    assert bits["stem_relu"].feature_bits == 10


def test_edges_are_no_narrower_than_asked():
    # stem takes the images, the fully connected layer what was pooled
    found = problem(edge_bits=8).bit_widths
    assert found["feature images"] == (8, 10, 12)
    assert found["feature pooled"] == (8,)
    assert found["weight stem"] == found["weight fc"] == (8,)
    assert found["weight project"] == (2, 4, 6, 8)


def test_widths_of_the_pc_alone_are_not_offered():
    assert problem(feature_bits=16, weight_bits=16).bit_widths["feature images"] == (4, 8, 10, 12)
    assert problem(feature_bits=16, weight_bits=16).bit_widths["weight stem"] == (2, 4, 6, 8)


def test_float_where_it_is_allowed():
    found = problem(allow_float=True)
    assert found.bit_widths["feature pooled"] == (4, 8, 32)
    assert found.bit_widths["weight fc"] == (2, 4, 8, 32)
    allotment = found.uniform(8, 8) | {"feature pooled": 32}
    bits = found.node_bits(allotment)
    assert bits["pool"].feature_bits == bits["flatten"].feature_bits == 32
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    quantized = {entry.tensor for entry in place_quantizers(found.graph, config.soc, config.quant, bits).features}
    assert quantized == {"images", "r1", "r2", "c3", "sum"}


def test_a_soc_of_one_width_has_nothing_to_choose():
    assert {len(bit_widths) for bit_widths in problem(soc="bm1684x").bit_widths.values()} == {1}


def test_uniform_is_what_two_keys_would_give():
    allotment = problem().uniform(6, 6)
    assert allotment["feature images"] == 8
    assert (allotment["weight stem"], allotment["weight fc"]) == (6, 8)


def test_costs_by_hand():
    # multiplications: stem 8*64 outputs of 27, depthwise of 9, project of 8, fc 3 of 8; weights 216, 72, 64, 24
    found = problem()
    assert spent(found, "size", found.uniform(8, 8)) == 376
    assert spent(found, "size", found.uniform(8, 4)) == 188
    macs = {"stem": 512 * 27, "depthwise": 512 * 9, "project": 512 * 8, "fc": 24}
    assert spent(found, "bitops", found.uniform(8, 8)) == 64 * sum(macs.values())
    mixed = found.uniform(8, 8) | {"feature r1": 4, "weight depthwise": 2}
    assert spent(found, "bitops", mixed) == 64 * (sum(macs.values()) - macs["depthwise"]) + 8 * macs["depthwise"]


def test_mean_widths_are_by_elements():
    # features: images 768, r1 r2 c3 sum 512 each, pooled and flat 8 each
    found = problem()
    allotment = found.uniform(8, 8) | {"feature images": 12, "feature pooled": 4, "weight stem": 2}
    assert spent(found, FEATURE_BITS, allotment) == pytest.approx((768 * 12 + 2048 * 8 + 16 * 4) / (768 + 2048 + 16))
    assert spent(found, WEIGHT_BITS, allotment) == pytest.approx((216 * 2 + 160 * 8) / 376)


def test_latency_is_the_cost_models():
    # 1 ms for 2**20 bytes: pooling takes 512 elements and makes 8, both at their own widths
    cost = CostModel("x", ms_per_gmac={"8/8": 0.0}, ms_per_mbyte=2.0**20)
    found = problem(cost=cost)
    wide = found.uniform(8, 8)
    narrow = wide | {"feature sum": 4}
    # what makes `sum` writes half the bytes, what takes it reads half
    assert spent(found, "latency", wide) - spent(found, "latency", narrow) == pytest.approx(512 / 2 + 512 / 2)


def test_operands_of_a_sum_count_for_their_shares():
    # 64 elements of 4 channels joined with 16 of one: bytes are those of each at its own width
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
    cost = CostModel("x", ms_per_gmac={"8/8": 0.0}, ms_per_mbyte=2.0**20)
    found = problem(onnx.shape_inference.infer_shapes(model), cost=cost)
    base = found.uniform(8, 8)
    wide = spent(found, "latency", base | {"feature b": 12}) - spent(found, "latency", base)
    # 16 elements, a byte more each in the convolution that makes them and in the join
    assert wide == pytest.approx(16 + 16)


def test_no_times_are_known():
    with pytest.raises(UserError, match="no times are known"):
        problem().tables("latency")


def test_a_layer_in_float_costs_float():
    found = problem(allow_float=True)
    base = found.uniform(8, 8)
    more = spent(found, "bitops", base | {"feature pooled": 32}) - spent(found, "bitops", base)
    assert more == 24 * (32 * 32 - 64)
    assert spent(found, "size", base | {"feature pooled": 32}) == 376 + 24 * 3


def test_the_file_has_the_keys_that_quantize_reads():
    bits = {"a": NodeBits(8, 4), "b": NodeBits(weight_bits=2), "c": NodeBits(10, range=(0.0, 6.0))}
    assert file_content(bits) == {
        "a": {"QUANT_FEATURE_BIT": 8, "QUANT_WEIGHT_BIT": 4},
        "b": {"QUANT_WEIGHT_BIT": 2},
        "c": {"QUANT_FEATURE_BIT": 10, "MIN": 0.0, "MAX": 6.0},
    }


def test_a_constant_operand_is_no_variable():
    model = tiny_classifier()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "half"))
    model.graph.node[5].input[1] = "half"  # residual: r1 + 0.5
    assert "feature half" not in problem(model).bit_widths
