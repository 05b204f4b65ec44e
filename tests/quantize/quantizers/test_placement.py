import numpy as np
import onnx
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import OperatorGroup, QuantConfig, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.quantizers.setup import FeatureQuantizer
from tests.export.graphs import graph_model, node
from tests.networks import tiny_classifier

WIDE, NARROW, BYTE = [4, 8, 10, 12], [4, 8], [8]


def soc(float_outputs=True, fused=("Relu", "Clip"), **operators):
    """A SOC where convolutions are wide, fully connected layers narrow; `operators` changes feature widths."""
    known = {
        **dict.fromkeys(("Conv", "DepthwiseConv", "ConvTranspose"), (WIDE, [2, 4, 6, 8])),
        **dict.fromkeys(("Gemm", "MatMul"), (NARROW, [4, 8])),
        **dict.fromkeys(("Relu", "Clip", "Add", "MaxPool", "GlobalAveragePool", "Flatten", "Reshape"), (WIDE, [])),
        "Softmax": ([], []),
    }
    known |= {name: (bit_widths, known.get(name, ([], []))[1]) for name, bit_widths in operators.items()}
    return SocConfig(
        name="S1",
        float_outputs=float_outputs,
        fused_activations=list(fused),
        operators={
            name: OperatorGroup([name], *bit_widths) for name, bit_widths in known.items() if bit_widths[0] is not None
        },
    )


def placed(model, chip=None, bits=8, weight_bits=8):
    quant = QuantConfig("q", bits, weight_bits)
    return place_quantizers(Graph(onnx.shape_inference.infer_shapes(model)), chip or soc(), quant)


def bit_widths(setup):
    return {feature.tensor: feature.bits for feature in setup.features}


EXTRA = {"Reshape": [1, -1], "Squeeze": [0], "Unsqueeze": [0], "Resize": [1, 4, 9, 9]}


def chain(*kinds, channels=4, output=None):
    """x [1, 4, 6, 6] through operators one after the other; tensors t1, t2, ..."""
    nodes, constants, name = [], {}, "x"
    for i, kind in enumerate(kinds, 1):
        inputs, attributes = [name], {}
        if kind in ("Conv", "ConvTranspose"):
            constants[f"w{i}"] = np.eye(channels).reshape(channels, channels, 1, 1)
            inputs.append(f"w{i}")
        if kind == "MaxPool":
            attributes = {"kernel_shape": [2, 2]}
        if kind in EXTRA:
            constants["e"] = np.array(EXTRA[kind])
            inputs += ["", "", "e"] if kind == "Resize" else ["e"]
        name = f"t{i}"
        nodes.append(node(kind, inputs, [name], f"n{i}", **attributes))
    return graph_model(nodes, {"x": [1, channels, 6, 6]}, output or [name], constants)


# --- widths


def test_a_tensor_has_a_width_that_all_around_it_do():
    setup = placed(tiny_classifier(), bits=10)
    assert bit_widths(setup) == {"images": 10, "r1": 10, "r2": 10, "c3": 10, "sum": 10, "pooled": 8, "flat": 8}
    assert [line.split()[0] for line in setup.notes] == ["pooled", "flat"]
    assert all("8-bit codes, not 10" in line for line in setup.notes)


def test_weights_have_the_nearest_width_with_a_note():
    setup = placed(tiny_classifier(), weight_bits=6)
    assert {weight.node: weight.bits for weight in setup.weights} == {"stem": 6, "depthwise": 6, "project": 6, "fc": 8}
    assert setup.notes == ["fc has 8-bit weights, not 6: the S1 does 4, 8 bits there"]


def test_a_depthwise_convolution_is_an_operator_of_its_own():
    setup = placed(tiny_classifier(), soc(DepthwiseConv=NARROW), bits=12)
    assert bit_widths(setup)["r1"] == 8
    assert bit_widths(setup)["images"] == 12


def test_what_a_fused_layer_makes_has_a_width_of_its_weighted_operator():
    setup = placed(chain("Conv", "Relu"), soc(float_outputs=False, Conv=NARROW), bits=12)
    assert bit_widths(setup) == {"x": 8, "t2": 8}


def test_the_widths_that_a_tensor_could_have_are_those_that_all_around_it_do():
    setup = placed(chain("Conv", "MaxPool"), soc(Conv=[4, 8, 12], MaxPool=[8, 12]))
    assert {feature.tensor: feature.bit_widths for feature in setup.features} == {
        "x": (4, 8, 12),
        "t1": (8, 12),
        "t2": (8, 12),
    }
    assert [weight.bit_widths for weight in setup.weights] == [(2, 4, 6, 8)]


def test_operators_that_share_no_width_are_refused():
    with pytest.raises(UserError, match=r"the S1's operators around 't1' share no feature bit width"):
        placed(chain("Conv", "MaxPool"), soc(Conv=[10, 12], MaxPool=[4, 8]))


def test_operators_around_shared_codes_that_share_no_width_are_refused():
    with pytest.raises(UserError, match="share no feature bit width"):
        placed(pooled_sum(), soc(Add=[12], MaxPool=WIDE, Conv=NARROW))


def pooled_sum():
    model = chain("Conv", "MaxPool")
    model.graph.node.append(node("Add", ["t2", "t2"], ["t3"], "n3"))
    model.graph.output[0].name = "t3"
    return model


# --- what is quantized


def test_a_fused_activation_hides_the_tensor_before_it():
    assert {"c1", "c2"}.isdisjoint(bit_widths(placed(tiny_classifier())))


@pytest.mark.parametrize(
    ("model", "fused"),
    [
        (chain("Conv", "Relu", output=["t1", "t2"]), ("Relu",)),  # also an output of the network
        (chain("MaxPool", "Relu"), ("Relu",)),  # pooling takes no activation in
        (chain("Conv", "Relu"), ("Clip",)),  # the SOC does not fuse it
    ],
    ids=["output", "pooling", "not fused"],
)
def test_other_activations_hide_nothing(model, fused):
    assert "t1" in bit_widths(placed(model, soc(float_outputs=False, fused=fused)))


def test_an_activation_hides_nothing_that_another_node_takes():
    model = chain("Conv", "Relu")
    model.graph.node.append(node("Add", ["t1", "t2"], ["t3"], "n3"))
    model.graph.output[0].name = "t3"
    assert bit_widths(placed(model)) == {"x": 8, "t1": 8, "t2": 8, "t3": 8}


@pytest.mark.parametrize(("float_outputs", "quantized"), [(True, False), (False, True)])
def test_a_weighted_operator_that_ends_the_network(float_outputs, quantized):
    assert ("logits" in bit_widths(placed(tiny_classifier(), soc(float_outputs)))) is quantized


@pytest.mark.parametrize(("float_outputs", "expected"), [(True, {"x": 8}), (False, {"x": 8, "t2": 8})])
def test_a_fused_layer_that_ends_the_network(float_outputs, expected):
    assert bit_widths(placed(chain("Conv", "Relu"), soc(float_outputs))) == expected


def test_another_operator_that_ends_the_network_is_quantized():
    assert bit_widths(placed(chain("Conv", "MaxPool"))) == {"x": 8, "t1": 8, "t2": 8}


def test_a_float_output_that_goes_on_is_quantized_for_who_takes_it():
    setup = placed(chain("Conv", "MaxPool", output=["t1", "t2"]))
    assert "t1" in bit_widths(setup)


@pytest.mark.parametrize("kind", ["Softmax", "Erf"])
def test_an_unknown_operator_stays_in_float_with_a_note(kind):
    setup = placed(chain("Relu", kind))
    assert bit_widths(setup) == {"x": 8, "t1": 8}
    assert setup.notes == [f"n2 ({kind}) runs in float: the S1 has no integer {kind}"]


def test_a_float_operator_between_integer_ones_has_codes_on_both_sides():
    setup = placed(chain("Relu", "Erf", "Conv"))
    assert bit_widths(setup) == {"x": 8, "t1": 8, "t2": 8}


def test_a_network_of_unknown_operators_has_no_codes():
    setup = placed(chain("Erf", "Softmax"))
    assert setup.features == []
    assert setup.notes[0] == (
        "no layer runs in integers on the S1, so that a cosine of 1 says nothing: the S1 has no integer Erf (1 of 2); "
        "the S1 has no integer Softmax (1 of 2)"
    )
    assert len(setup.notes) == 3


def test_a_network_whose_weights_all_stay_in_float_is_said_unless_that_was_asked_for():
    model, chip = chain("Conv", "GlobalAveragePool", "Conv"), soc(Conv=[])
    assert placed(model, chip).notes[0] == (
        "no layer with weights runs in integers on the S1, so that a cosine of 1 says nothing: "
        "the S1 has no integer Conv (2 of 2)"
    )
    assert not [line for line in placed(model, chip, weight_bits=32).notes if line.startswith("no layer")]
    skipped = place_quantizers(Graph(model), soc(), QuantConfig("q", skip_ops=["Conv"]))
    assert not [line for line in skipped.notes if line.startswith("no layer")]


def test_an_activation_after_a_float_operator_runs_in_float_with_it():
    setup = placed(chain("Conv", "Relu"), soc(Conv=[]))
    assert bit_widths(setup) == {}
    assert setup.weights == []
    assert setup.notes[1:] == ["n2 (Conv) runs in float: the S1 has no integer Conv"]


# --- shared codes


@pytest.mark.parametrize(
    "kind",
    ["MaxPool", "Flatten", "Transpose", "Identity", "GlobalMaxPool", "Reshape", "Squeeze", "Unsqueeze", "Resize"],
)
def test_an_operator_that_passes_codes_on_shares_parameters(kind):
    setup = placed(chain("Conv", kind), soc(**{kind: WIDE}))
    assert setup.features[-1] == FeatureQuantizer("t2", "n2", 8, "t1")


def test_codes_are_passed_on_over_several_operators():
    setup = placed(chain("MaxPool", "MaxPool", "Flatten"))
    assert [(feature.tensor, feature.node, feature.source) for feature in setup.features] == [
        ("x", "x", "x"), ("t1", "n1", "x"), ("t2", "n2", "x"), ("t3", "n3", "x"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["Relu", "Add", "GlobalAveragePool"])
def test_an_operator_that_computes_has_parameters_of_its_own(kind):
    model = pooled_sum() if kind == "Add" else chain("MaxPool", kind)
    last = placed(model).features[-1]
    assert last.source == last.tensor


def test_a_passing_operator_in_float_shares_nothing():
    setup = placed(chain("Relu", "Flatten"), soc(Flatten=[]))
    assert bit_widths(setup) == {"x": 8, "t1": 8}


def test_width_is_common_to_all_tensors_that_share_codes():
    setup = placed(pooled_sum(), soc(Add=[8]), bits=12)
    assert bit_widths(setup) == {"x": 12, "t1": 8, "t2": 8, "t3": 8}


# --- weights


def weight_axis(kind, shape, **attributes):
    data = {"Conv": [1, 4, 6, 6], "ConvTranspose": [1, 4, 6, 6]}.get(kind, [1, 4])
    nodes = [node(kind, ["x", "w"], ["t"], "n", **attributes), node("Relu", ["t"], ["y"], "r")]
    setup = placed(graph_model(nodes, {"x": data}, ["y"], {"w": np.ones(shape)}))
    (weight,) = setup.weights
    assert (weight.tensor, weight.node) == ("w", "n")
    return weight.axis


@pytest.mark.parametrize(
    ("kind", "shape", "attributes", "axis"),
    [
        ("Conv", (5, 4, 3, 3), {}, 0),
        ("Conv", (4, 1, 3, 3), {"group": 4}, 0),
        ("ConvTranspose", (4, 5, 2, 2), {}, 1),
        ("Gemm", (4, 5), {}, 1),
        ("Gemm", (5, 4), {"transB": 1}, 0),
        ("MatMul", (4, 5), {}, 1),
    ],
)
def test_weight_axis_counts_output_channels(kind, shape, attributes, axis):
    assert weight_axis(kind, shape, **attributes) == axis


def test_a_product_of_two_features_has_no_weight():
    model = graph_model([node("MatMul", ["a", "b"], ["y"], "n")], {"a": [1, 4], "b": [4, 4]}, ["y"])
    setup = placed(model, soc(float_outputs=False))
    assert setup.weights == []
    assert bit_widths(setup) == {"a": 8, "b": 8, "y": 8}


# --- constant operands


def scaled(kind="Mul", opset=17):
    """A convolution whose result is scaled by a constant."""
    nodes = [node("Conv", ["x", "w"], ["c"], "conv"), node(kind, ["c", "k"], ["y"], "scaled")]
    return graph_model(nodes, {"x": [1, 4, 6, 6]}, ["y"], {"w": np.ones((4, 4, 1, 1)), "k": np.float32(2)}, opset)


@pytest.mark.parametrize("kind", ["Add", "Mul", "Sub", "Max", "Min"])
def test_a_constant_operand_has_codes_like_a_feature(kind):
    setup = placed(scaled(kind), soc(**{kind: [8]}))
    assert setup.features == [
        FeatureQuantizer("k", "k", 8, "k"), FeatureQuantizer("x", "x", 8, "x"), FeatureQuantizer("c", "conv", 8, "c"),
        FeatureQuantizer("y", "scaled", 8, "y"),
    ]  # fmt: skip
    assert setup.notes == []


def test_a_constant_operand_has_a_width_that_its_operator_does():
    assert bit_widths(placed(scaled(), soc(Mul=[4, 10]), bits=8)) == {"k": 10, "x": 8, "c": 10, "y": 10}


def test_a_constant_of_a_float_operator_stays_as_it_is():
    assert bit_widths(placed(scaled())) == {"x": 8}


def test_whole_numbers_have_no_codes():
    nodes = [node("ArgMax", ["x"], ["i"], "best", axis=1), node("Add", ["i", "one"], ["j"], "next")]
    nodes.append(node("Cast", ["j"], ["y"], "cast", to=1))
    model = graph_model(nodes, {"x": [1, 4]}, ["y"], {"one": np.array([1])})
    assert bit_widths(placed(model)) == {}


def test_bounds_slopes_and_shapes_are_no_operands():
    nodes = [
        node("PRelu", ["x", "slope"], ["p"], "prelu"),
        node("Clip", ["p", "low", "low"], ["c"], "clip"),
        node("Reshape", ["c", "shape"], ["y"], "reshape"),
    ]
    constants = {"slope": np.ones((4, 1, 1)), "low": np.float32(1), "shape": np.array([1, -1])}
    model = graph_model(nodes, {"x": [1, 4, 6, 6]}, ["y"], constants)
    assert list(bit_widths(placed(model, soc(PRelu=[8])))) == ["x", "p", "c", "y"]


def test_a_constant_that_two_layers_take_is_coded_once():
    nodes = [node("Add", ["x", "k"], ["a"], "one"), node("Mul", ["a", "k"], ["y"], "two")]
    model = graph_model(nodes, {"x": [1, 4]}, ["y"], {"k": np.float32(2)})
    setup = placed(model, soc(Add=[4, 8], Mul=[8, 12]), bits=4)
    assert bit_widths(setup) == {"k": 8, "x": 4, "a": 8, "y": 8}


# --- which layers run in integers


def test_layers_that_run_in_integers_are_named_by_their_last_node():
    assert placed(tiny_classifier()).integer == {
        "stem_relu", "depthwise_relu6", "project", "residual", "pool", "flatten", "fc",
    }  # fmt: skip


def test_a_form_that_no_integer_rule_covers_runs_in_float_with_the_reason():
    nodes = [node("Gemm", ["x", "w"], ["g"], "fc", alpha=0.5), node("Relu", ["g"], ["y"], "relu")]
    setup = placed(graph_model(nodes, {"x": [1, 4]}, ["y"], {"w": np.ones((4, 4))}))
    assert setup.notes[1:] == ["relu (Gemm) runs in float: it transposes its input or scales its result"]
    assert (setup.features, setup.weights) == ([], [])


def test_what_makes_no_floats_needs_no_note():
    nodes = [node("ArgMax", ["x"], ["i"], "best", axis=1), node("Cast", ["i"], ["y"], "cast", to=1)]
    assert placed(graph_model(nodes, {"x": [1, 4]}, ["y"])).notes[1:] == [
        "cast (Cast) runs in float: the S1 has no integer Cast"
    ]
