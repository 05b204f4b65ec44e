import numpy as np
import onnx
import pytest
from onnx import TensorProto

from stages.build.pluto.compatibility import find_refusals
from stages.build.pluto.compiler_form import settings_refusals, to_compiler_form
from stages.build.pluto.folder import compiled_form
from stages.build.pluto.network_input import input_is_twos_complement
from stages.build.pluto.qdq_graph import QdqGraph
from stages.build.pluto.refusals import Concern
from stages.core.config.schema import ChannelScales
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from tests.build.pluto.networks import (
    classifier,
    conv,
    conv_weights,
    cut_detector,
    detector,
    network,
    quantized,
    ranges,
)


def run(model, feeds, tensors):
    return Runner(with_outputs(model, tensors), optimize="none").run(feeds)


def codes_of(before, after):
    """Tensors of codes that both networks have."""
    producers = Graph(before).producers
    return [name for name in Graph(after).producers if name.endswith("/codes") and name in producers]


@pytest.mark.parametrize(
    ("network", "span"), [(classifier, (-1.0, 127 / 128)), (detector, (0.0, 255.0)), (cut_detector, (0.0, 255.0))]
)
def test_every_code_is_the_same(network, span):
    model, pictures = network(low=span[0], high=span[1])
    before = quantized(model, pictures).qdq
    after, _ = to_compiler_form(before, ranges(model, pictures))
    assert find_refusals(after) == []
    names = codes_of(before, after)
    assert len(names) >= 7
    for picture in pictures:
        old, new = run(before, picture, names), run(after, picture, names)
        for name in names:
            np.testing.assert_array_equal(new[name], old[name].astype(int) - 128, err_msg=name)


def test_form():
    model, pictures = classifier()
    after, notes = to_compiler_form(quantized(model, pictures).qdq, ranges(model, pictures))
    graph = Graph(after)
    op_types = {node.op_type for node in graph.nodes}
    assert op_types == {"QuantizeLinear", "DequantizeLinear", "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm"}
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear":
            assert graph.constants[node.input[2]].data_type == TensorProto.INT8
    assert graph.outputs == ["logits"]
    assert any(note.startswith("logits ends the network") for note in notes)


def test_the_output_keeps_half_a_step():
    model, pictures = classifier()
    before = quantized(model, pictures).qdq
    seen = ranges(model, pictures)
    after, _ = to_compiler_form(before, seen)
    low, high = min(seen["logits"][0], 0), max(seen["logits"][1], 0)
    for picture in pictures:
        old, new = run(before, picture, ["logits"])["logits"], run(after, picture, ["logits"])["logits"]
        inside = np.clip(old, low, high)
        assert (
            np.abs(inside - new).max() <= (high - low) / 255 * 1.001
        )  # half a step, half of the zero point's rounding


def test_every_output_of_a_cut_detector_is_kept():
    model, pictures = cut_detector()
    before, seen = quantized(model, pictures).qdq, ranges(model, pictures)
    after, notes = to_compiler_form(before, seen)
    graph = Graph(after)
    assert graph.outputs == ["box/end", "raw"]  # of which the compiler reads the convolutions
    assert graph.producers["box/end"].op_type == "Sigmoid"
    assert "a Sigmoid behind box, which the compiler leaves out, makes it keep all 2 outputs" in notes
    for picture in pictures:
        old, new = run(before, picture, ["box", "raw"]), run(after, picture, ["box", "raw"])
        for name, (low, high) in seen.items():
            half_a_step = (max(high, 0) - min(low, 0)) / 255 / 2
            assert np.abs(new[name] - old[name].clip(min(low, 0), max(high, 0))).max() <= half_a_step * 1.01


def test_softmax_is_left_to_the_program():
    model, pictures = classifier(softmax=True)
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(onnx.ValueInfoProto(name="logits"))
    after, notes = to_compiler_form(quantized(model, pictures).qdq, ranges(shown, pictures))
    assert Graph(after).outputs == ["logits"]
    assert "Softmax" not in {node.op_type for node in after.graph.node}
    assert find_refusals(after) == []
    assert any("Softmax behind it is left to the program" in note for note in notes)


def test_of_a_layer_in_float_and_the_convolution_before_it_the_layer_is_refused():
    """The convolution returns float, which the runtime does not have; it is the operator that has to go."""
    nodes = [
        conv("stem", "images", "c1", 3, 2),
        onnx.helper.make_node("Relu", ["c1"], ["r1"], "stem/relu"),
        onnx.helper.make_node("Elu", ["r1"], ["e"], "elu"),
        conv("last", "e", "y"),
    ]
    model, pictures = network(nodes, conv_weights("stem", 8, 3, 3) | conv_weights("last", 4, 8), "y", high=127 / 128)
    before = quantized(model, pictures).qdq
    assert "r1/codes" not in Graph(before).producers
    after, _ = to_compiler_form(before, ranges(with_outputs(model, ["y", "r1"]), pictures))
    assert [each.node for each in find_refusals(after)] == ["elu"]


@pytest.mark.parametrize(("span", "zero_point"), [((-127 / 128, 1.0), -1), ((0.0, 1.0), -128)])
def test_an_input_of_another_zero_point_is_copied_first(span, zero_point):
    """No code changes: the copy's are the input's, with a channel of zeros."""
    model, pictures = classifier(low=span[0], high=span[1])
    before = quantized(model, pictures).qdq
    after, notes = to_compiler_form(before, ranges(model, pictures))
    assert find_refusals(after) == []
    assert any("copies it to 4 channels" in note and f"zero point is {zero_point}:" in note for note in notes)
    graph = Graph(after)
    (stem,) = (node for node in graph.nodes if node.name == "stem")
    assert graph.constant(graph.producers[stem.input[1]].input[0]).shape == (8, 4, 3, 3)
    names = [name for name in codes_of(before, after) if not name.startswith("stem/weight")]
    assert len(names) >= 7
    for picture in pictures:
        old, new = run(before, picture, names), run(after, picture, [*names, "images/copied"])
        for name in names:
            np.testing.assert_array_equal(new[name], old[name].astype(int) - 128, err_msg=name)
        copied = new["images/copied"]
        np.testing.assert_array_equal(copied[:, :3], new["images/codes"])
        assert np.all(copied[:, 3] == zero_point)


def test_an_input_symmetric_about_zero_needs_no_copy():
    """Pixels by mean and normal 127.5: of the zero points 127 and 128, which are as good, the one that is 0 as int8."""
    model, pictures = classifier(low=-1.0, high=1.0)
    after, notes = to_compiler_form(quantized(model, pictures).qdq, ranges(model, pictures))
    graph = Graph(after)
    assert int(graph.constant("images/zero_point")) == 0
    assert not any("copies" in note for note in notes)
    assert find_refusals(after) == []


def test_an_input_that_a_depthwise_convolution_reads_stays():
    """Its kernel does not flip the top bit, so any zero point is right: bytes are code + 128."""
    nodes = [conv("first", "images", "c1", 3, group=3), conv("last", "c1", "y")]
    weights = conv_weights("first", 3, 1, 3) | conv_weights("last", 4, 3)
    model, pictures = network(nodes, weights, "y", low=0.0)
    after, _ = to_compiler_form(quantized(model, pictures).qdq, ranges(model, pictures))
    assert find_refusals(after) == []
    assert not input_is_twos_complement(QdqGraph(Graph(after)))
    assert [node.name for node in after.graph.node if node.op_type == "Conv"] == ["first", "last"]


def test_a_gemm_without_transposed_weight_and_bias():
    model, pictures = classifier()
    before = quantized(model, pictures).qdq
    graph = Graph(before)
    gemm = next(node for node in before.graph.node if node.op_type == "Gemm")
    weight = graph.producers[gemm.input[1]]
    stored = next(tensor for tensor in before.graph.initializer if tensor.name == weight.input[0])
    stored.CopyFrom(
        onnx.numpy_helper.from_array(np.ascontiguousarray(onnx.numpy_helper.to_array(stored).T), stored.name)
    )
    del gemm.attribute[:], gemm.input[2:], weight.attribute[:]
    weight.attribute.append(onnx.helper.make_attribute("axis", 1))
    after, _ = to_compiler_form(before, ranges(model, pictures))
    assert find_refusals(after) == []
    old = run(before, pictures[0], ["logits"])["logits"]
    new = run(after, pictures[0], ["logits/float"])["logits/float"]
    np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


def test_same_bytes():
    model, pictures = detector()
    before = quantized(model, pictures).qdq
    first, second = (
        to_compiler_form(before, ranges(model, pictures))[0].SerializeToString(deterministic=True) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("quant", "override"),
    [
        ({"feature_bits": 4}, "quant.feature_bits=8"),
        ({"weight_bits": 4}, "quant.weight_bits=8"),
        ({"feature_bits": 12}, "quant.feature_bits=8"),
        ({"channel_scales": ChannelScales.always}, "quant.channel_scales=never"),
    ],
)
def test_other_experiments_are_named(quant, override):
    model, pictures = detector()
    refusals = settings_refusals(quantized(model, pictures, **quant).params)
    assert refusals
    assert all(each.cure == f"python -m stages.compose --keep {override}" for each in refusals)
    assert settings_refusals(quantized(model, pictures).params) == []


def test_what_no_setting_cures_comes_first():
    """A HardSwish in a network whose channels have scales: the operator before the settings."""
    model, pictures = classifier()
    relu = next(node for node in model.graph.node if node.op_type in ("Relu", "Clip"))
    relu.op_type = "HardSwish"
    del relu.input[1:], relu.attribute[:]
    done = quantized(model, pictures, channel_scales=ChannelScales.always)
    compiled, refusals, _ = compiled_form(done.params, done.qdq, ranges(model, pictures))
    assert compiled is None
    kinds = [each.concern for each in refusals]
    assert kinds[0] is Concern.network
    assert set(kinds[1:]) == {Concern.settings}
