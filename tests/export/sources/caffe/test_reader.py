import numpy as np
import onnx
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import InputConfig, ModelConfig
from stages.export.sources.caffe.reader import read_caffe
from tests.export.sources.caffe.writing import caffemodel, convolution, files, net, read

WEIGHTS = {"conv": [np.ones((4, 3, 1, 1)), np.ones(4)]}


def shapes(infos):
    return {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in infos}


def test_the_model_is_valid_and_named_as_in_the_file():
    relu = 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
    model = read(net(convolution() + relu, (10, 3, 6, 7)), WEIGHTS).model
    onnx.checker.check_model(model, full_check=True)
    assert [(node.name, node.op_type, *node.output) for node in model.graph.node] == [
        ("conv", "Conv", "conv"),
        ("relu", "Relu", "relu"),
    ]
    assert shapes(model.graph.input) == {"data": [1, 3, 6, 7]}  # a batch of 10 in the file
    assert shapes(model.graph.output) == {"relu": [1, 4, 6, 7]}


def test_the_same_files_give_the_same_bytes():
    text = net(convolution())
    first, second = (read(text, WEIGHTS).model.SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_a_configured_shape_goes_before_the_files():
    source = read(net(convolution()), WEIGHTS, shape=[1, 3, 2, 5])
    assert shapes(source.model.graph.output) == {"conv": [1, 4, 2, 5]}
    assert source.difference < 1e-6


def test_an_input_without_a_shape_needs_one():
    text = 'input: "data"\n' + convolution()
    with pytest.raises(UserError, match=r"^model\.inputs: net\.prototxt says no shape of the input 'data': give "):
        read(text, WEIGHTS)
    assert shapes(read(text, WEIGHTS, shape=[1, 3, 2, 2]).model.graph.output) == {"conv": [1, 4, 2, 2]}


def test_a_network_ends_where_the_config_says():
    odd = 'layer { name: "odd" type: "Python" bottom: "conv" top: "odd" }\n'
    taken = files(net(convolution() + odd), WEIGHTS)
    with pytest.raises(UserError, match=r"layer 'odd' \(Python\) has no ONNX form here: .* model\.outputs=\[conv\]$"):
        read_caffe(ModelConfig(name="net"), taken)
    model = read_caffe(ModelConfig(name="net", outputs=["conv"]), taken).model
    assert list(shapes(model.graph.output)) == ["conv"]


def test_names_of_blobs_may_be_those_that_constants_would_have():
    text = net(convolution("conv") + convolution("conv/weight", "conv").replace("num_output: 4", "num_output: 3"))
    weights = WEIGHTS | {"conv/weight": [np.ones((3, 4, 1, 1)), np.zeros(3)]}
    source = read(text, weights)
    onnx.checker.check_model(source.model, full_check=True)
    assert source.difference < 1e-6
    assert list(shapes(source.model.graph.output)) == ["conv/weight"]


def test_several_inputs_each_have_their_own_shape():
    inputs = "".join(f'input: "{name}" input_shape {{ dim: 1 dim: 3 dim: 4 dim: 4 }}\n' for name in "ab")
    text = inputs + 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }\n'
    config = ModelConfig(name="net", inputs=[InputConfig(name="b"), InputConfig(name="a")])
    source = read_caffe(config, files(text, caffemodel(WEIGHTS)))
    assert list(shapes(source.model.graph.input)) == ["a", "b"]
    assert source.difference < 1e-6
