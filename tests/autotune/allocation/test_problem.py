import numpy as np
from onnx import numpy_helper

from stages.autotune.allocation.integer_program import Limit, tabulate
from stages.core.config.schema import Config, QuantConfig
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.placement import place_quantizers
from tests.autotune.stubs import problem_of
from tests.networks import soc_config, tiny_classifier

FEATURES, WEIGHTS = ["images", "r1", "r2", "c3", "sum", "pooled"], ["stem", "depthwise", "project", "fc"]


def test_a_variable_a_feature_and_a_weight_with_the_bit_widths_of_the_soc():
    # conf/soc/t40.yaml: convolutions 4, 8, 10, 12 and 2, 4, 6, 8; a fully connected layer 4, 8 and 2, 4, 8
    bit_widths = problem_of().bit_widths
    assert list(bit_widths) == [*(f"feature {name}" for name in FEATURES), *(f"weight {name}" for name in WEIGHTS)]
    assert bit_widths["feature images"] == (4, 8, 10, 12)
    assert bit_widths["feature pooled"] == (4, 8)
    assert bit_widths["weight stem"] == (2, 4, 6, 8)
    assert bit_widths["weight fc"] == (2, 4, 8)


def test_tensors_that_share_codes_are_one_variable():
    (pooled,) = [each for each in problem_of().variables if each.tensor == "pooled"]
    assert (pooled.members, pooled.keys, pooled.elements) == (("pooled", "flat"), ("pool", "flatten"), 16)


def test_what_the_user_gave_stays():
    given = {"stem": NodeBits(feature_bits=10, weight_bits=4), "project": NodeBits(range=(-1.0, 2.0))}
    problem = problem_of(given=given)
    assert problem.bit_widths["feature r1"] == (10,)  # given for the convolution of a fused layer
    assert problem.bit_widths["weight stem"] == (4,)
    assert len(problem.bit_widths["feature c3"]) == 4
    bits = problem.node_bits(problem.uniform(8, 8))
    assert bits["project"] == NodeBits(8, 8, (-1.0, 2.0))
    assert bits["stem_relu"].feature_bits == 10
    assert problem_of(given=given, allow_float=True).bit_widths["feature r1"] == (10,)


def test_first_and_last_layers_are_no_narrower_than_asked():
    # stem takes the images, the fully connected layer what was pooled
    bit_widths = problem_of(edge_bits=8).bit_widths
    assert bit_widths["feature images"] == (8, 10, 12)
    assert bit_widths["feature pooled"] == (8,)
    assert bit_widths["weight stem"] == bit_widths["weight fc"] == (8,)
    assert bit_widths["weight project"] == (2, 4, 6, 8)


def test_without_float_outputs_a_layer_that_returns_float_has_float_weights():
    features = {"feature c3": 32}
    problem = problem_of(soc="bm1684x", allow_float=True)
    bits = [tabulate([name], problem.bit_widths, lambda each: float(sum(each.values()))) for name in problem.bit_widths]
    wants_float = Limit([tabulate(features, problem.bit_widths, lambda each: float(each["feature c3"] != 32))], 0.0)
    chosen = problem.solve(bits, [wants_float])
    assert chosen == problem.uniform(8, 8) | features | {"weight project": 32}
    assert problem.layers_in_float(chosen) == ["project"]
    assert problem_of(allow_float=True).rules == []


def test_bit_widths_of_the_pc_alone_are_not_offered():
    assert problem_of(feature_bits=16, weight_bits=16).bit_widths["feature images"] == (4, 8, 10, 12)
    assert problem_of(feature_bits=16, weight_bits=16).bit_widths["weight stem"] == (2, 4, 6, 8)


def test_float_where_it_is_allowed():
    problem = problem_of(allow_float=True)
    assert problem.bit_widths["feature pooled"] == (4, 8, 32)
    assert problem.bit_widths["weight fc"] == (2, 4, 8, 32)
    assert problem.uniform(12, 6) == problem_of().uniform(12, 6)  # 8 bits where there are no 12, not float
    allocation = problem.uniform(8, 8) | {"feature pooled": 32}
    bits = problem.node_bits(allocation)
    assert bits["pool"].feature_bits == bits["flatten"].feature_bits == 32
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    quantized = {each.tensor for each in place_quantizers(problem.graph, config.soc, config.quant, bits).features}
    assert quantized == {"images", "r1", "r2", "c3", "sum"}


def test_a_soc_of_one_bit_width_has_nothing_to_choose():
    assert {len(bit_widths) for bit_widths in problem_of(soc="bm1684x").bit_widths.values()} == {1}


def test_uniform_is_what_two_keys_would_give():
    allocation = problem_of().uniform(6, 6)
    assert allocation["feature images"] == 8
    assert (allocation["weight stem"], allocation["weight fc"]) == (6, 8)


def test_a_constant_operand_is_no_variable():
    model = tiny_classifier()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "half"))
    model.graph.node[5].input[1] = "half"  # residual: r1 + 0.5
    assert "feature half" not in problem_of(model).bit_widths
