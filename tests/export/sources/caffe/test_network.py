import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.export.sources.caffe.network import ending_at, read_network
from stages.export.sources.caffe.prototxt import parse_text
from tests.export.sources.caffe.writing import convolution, net


def network(text, weights=None):
    return read_network(parse_text(text.encode(), "net.prototxt"), weights or {})


def layer(name, kind, bottom, top, rest=""):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {rest} }}\n'


INPUT = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } } }\n'


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5\n', (1, 3, 4, 5)),
        ('input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 5 }\n', (1, 3, 4, 5)),
        ('input: "data"\n', None),
        (INPUT, (1, 3, 4, 5)),
        ('layer { name: "in" type: "Data" top: "data" top: "label" transform_param { crop_size: 9 } }\n', (1, 3, 9, 9)),
        ('layers { name: "in" type: IMAGE_DATA top: "data" top: "label" }\n', None),
    ],
)
def test_inputs_in_every_form(head, expected):
    assert network(head + layer("relu", "ReLU", "data", "out")).inputs == {"data": expected}


def test_old_layers_are_read_as_new_ones():
    old = network('input: "data" layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc" }')
    new = network('input: "data" layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" }')
    assert [one.kind for one in old.layers] == [one.kind for one in new.layers] == ["innerproduct"]


def test_what_is_written_in_place_gets_a_tensor_of_its_own():
    text = net(
        convolution("conv")
        + layer("relu", "ReLU", "conv", "conv")
        + layer("drop", "Dropout", "conv", "conv")
        + layer("pool", "Pooling", "conv", "relu")  # a blob with the name of that layer
        + layer("sum", "Eltwise", "conv", "sum")
    )
    read = network(text)
    assert [(one.name, one.inputs, one.outputs) for one in read.layers] == [
        ("conv", ("data",), ("conv",)),
        ("relu", ("conv",), ("relu_2",)),
        ("pool", ("relu_2",), ("relu",)),
        ("sum", ("relu_2",), ("sum",)),
    ]
    assert read.outputs == ["relu", "sum"]


def test_layers_of_training_are_left_out():
    test, train = "include { phase: TEST }", "include { phase: TRAIN }"
    text = (
        'layer { name: "a" type: "Data" top: "data" top: "label" include { phase: TRAIN } }\n'
        'layer { name: "b" type: "Data" top: "data" top: "label" include { phase: TEST } }\n'
        + convolution("conv")
        + layer("aux", "Pooling", "conv", "aux", train)
        + layer("kept", "ReLU", "conv", "kept", test)
        + layer("staged", "ReLU", "conv", "staged", 'include { stage: "deploy" }')
        + layer("excluded", "ReLU", "conv", "excluded", "exclude { phase: TEST }")
        + layer("high", "ReLU", "conv", "high", "include { min_level: 1 }")
        + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "kept" bottom: "label" top: "loss" }\n'
        + 'layer { name: "accuracy" type: "Accuracy" bottom: "kept" bottom: "label" top: "accuracy" }\n'
        + layer("scaled", "Power", "loss", "scaled")
        + layer("silence", "Silence", "label", "")
    )
    read = network(text)
    assert [one.name for one in read.layers] == ["conv", "kept"]
    assert (list(read.inputs), read.outputs) == (["data"], ["kept"])


def test_a_scale_behind_a_batch_norm_becomes_one_layer():
    mean, factor = np.zeros(3, np.float32), np.ones(1, np.float32)
    weights = {"bn": [mean, mean, factor], "scale": [mean + 2, mean + 3]}
    pair = layer("bn", "BatchNorm", "data", "bn") + layer("scale", "Scale", "bn", "bn")
    (norm,) = network(net(pair), weights).layers
    assert (norm.name, norm.kind, norm.outputs) == ("bn", "batchnorm", ("scale",))
    np.testing.assert_array_equal(norm.blobs[3], [2, 2, 2])
    np.testing.assert_array_equal(norm.blobs[4], [3, 3, 3])


def test_a_batch_norm_that_others_take_stays_apart():
    weights = {"bn": [np.zeros(3), np.ones(3), np.ones(1)], "scale": [np.ones(3)]}
    text = net(
        layer("bn", "BatchNorm", "data", "bn") + layer("scale", "Scale", "bn", "out") + layer("r", "ReLU", "bn", "r")
    )
    assert [one.kind for one in network(text, weights).layers] == ["batchnorm", "scale", "relu"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"net\.prototxt is no network: it has no layers"),
        (INPUT, r"net\.prototxt is no network: none of its layers gives a result"),
        ('layer { type: "ReLU" }', r"net\.prototxt: a layer has no name"),
        ('layer { name: "a" }', r"net\.prototxt: a layer has no type"),
        (layer("a", "ReLU", "data", "a"), "layer 'a' takes the blob 'data', which no layer before it gives"),
        ('layers { layer { name: "a" } }', "is of a Caffe before 2014: convert it with Caffe's upgrade_net_proto_text"),
    ],
)
def test_what_is_no_network_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        network(text)


def test_a_network_that_ends_earlier_needs_no_layers_behind():
    text = net(convolution("conv") + layer("relu", "ReLU", "conv", "conv") + layer("odd", "Python", "conv", "odd"))
    read = network(text)
    for names, layers, outputs in (
        (["relu"], ["conv", "relu"], ["relu"]),
        (["conv"], ["conv"], ["conv"]),
        ([], ["conv", "relu", "odd"], ["odd"]),
        (["none"], ["conv", "relu", "odd"], ["odd"]),
    ):
        part = ending_at(read, names)
        assert ([one.name for one in part.layers], part.outputs) == (layers, outputs)
