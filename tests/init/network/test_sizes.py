"""Sizes that a graph leaves open."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.config.schema import ModelConfig
from stages.export.shapes import UnknownShapeError
from stages.export.sources.source_network import SourceNetwork
from stages.init.guess.guess import Sure
from stages.init.network.array_shapes import shapes_of_samples
from stages.init.network.read_network import source_graph
from stages.init.network.sizes import sized_network
from tests.networks import tiny_classifier, write_pictures


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(height, width, metadata=None, kind=TensorProto.FLOAT):
    """The tiny classifier with other sizes of its input, in net.onnx."""
    model = tiny_classifier()
    info = helper.make_tensor_value_info("images", kind, [1, 3, height, width])
    model.graph.input[0].CopyFrom(info)
    del model.graph.value_info[:]
    onnx.helper.set_model_props(model, metadata or {})
    onnx.save(model, "net.onnx")
    return source_graph(ModelConfig("net", "file:net.onnx"), {})


def sized(graph, told=None, samples=None):
    return sized_network(ModelConfig("net", "file:net.onnx"), graph, told or {}, samples)


@pytest.mark.parametrize(
    ("height", "width", "metadata", "shape", "sure"),
    [
        ("h", "w", {"imgsz": "[96, 64]"}, [1, 3, 96, 64], Sure.high),
        ("h", "w", {"imgsz": "48"}, [1, 3, 48, 48], Sure.high),
        ("h", "w", {"imgsz": "oops"}, [1, 3, 224, 224], Sure.low),  # as of a classifier
        (48, "w", {}, [1, 3, 48, 320], Sure.medium),
        (128, "w", {}, [1, 3, 128, 128], Sure.medium),
        ("h", 40, {}, [1, 3, 40, 40], Sure.medium),
    ],
)
def test_open_sides(here, capsys, height, width, metadata, shape, sure):
    network = sized(opened(height, width, metadata))
    assert (f"trying images {shape}" in capsys.readouterr().err) is (sure is not Sure.high)
    assert network.shapes == {"images": shape}
    assert network.guess.sure is sure
    assert list(network.network.inputs[0].shape) == shape


def test_static_sides_and_those_that_are_told_are_no_guess(here):
    assert sized(opened(16, 16)).guess is None
    assert sized(opened("h", "w"), {"images": [1, 3, 24, 32]}).shapes == {"images": [1, 3, 24, 32]}


def test_strips_of_pictures_give_their_own_sides(here):
    import cv2

    (here / "lines").mkdir()
    for index in range(3):
        assert cv2.imwrite(f"lines/{index}.png", np.zeros((20, 90, 3), np.uint8))
    assert sized(opened("h", "w"), samples=here / "lines").shapes == {"images": [1, 3, 20, 90]}
    assert sized(opened(40, "w"), samples=here / "lines").shapes == {"images": [1, 3, 40, 180]}
    write_pictures(here / "photos", 3)
    assert sized(opened("h", "w"), samples=here / "photos").shapes == {"images": [1, 3, 224, 224]}


def test_a_tensor_may_be_told_to_cut_the_graph_at(here):
    network = sized(opened(16, 16), {"c1": [1, 8, 8, 8]})
    assert [one.name for one in network.network.inputs] == ["c1"]


def test_integers_that_are_no_picture_name_the_first_float_tensor(here):
    nodes = [
        helper.make_node("Cast", ["tokens"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["floats"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, 8])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "net.onnx")
    read = source_graph(ModelConfig("net", "file:net.onnx"), {})
    with pytest.raises(UserError, match=r"^input 'tokens' is int64, and inputs are float: .*--shape 'floats=1,8'$"):
        sized(read)
    assert sized(read, {"floats": [1, 8]}).shapes == {"floats": [1, 8]}
    (here / "samples").mkdir()
    np.save("samples/a.npy", np.zeros((1, 8), np.float32))
    assert sized(read, samples=here / "samples").shapes == {"floats": [1, 8]}


def test_integers_that_lead_to_outputs_alone_are_to_become_constants(here):
    nodes = [helper.make_node("Cast", ["rate"], ["y"], to=TensorProto.FLOAT)]
    inputs = [helper.make_tensor_value_info("rate", TensorProto.INT64, [1])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "net.onnx")
    with pytest.raises(
        UserError, match=r"^input 'rate' is int64, .*: export the network with a constant in its place$"
    ):
        sized(source_graph(ModelConfig("net", "file:net.onnx"), {}))


def test_sounds_of_open_length_need_samples_or_a_word(here):
    nodes = [helper.make_node("Relu", ["audio"], ["y"])]
    inputs = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["n", "t"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "t"])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "net.onnx")
    read = source_graph(ModelConfig("net", "file:net.onnx"), {})
    with pytest.raises(UserError, match=r"^input 'audio' has the dynamic shape \[\?,\?\]: .*--shape 'audio=1,16000'"):
        sized(read)
    (here / "sounds").mkdir()
    np.save("sounds/a.npy", np.zeros(400, np.float32))
    assert sized(read, samples=here / "sounds").shapes == {"audio": [1, 400]}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [([0, 0], [1, 12]), ([0, 3, 0], [1, 3, 4]), ([0, 0, 0], None), ([0, 5], None)],
)
def test_numbers_without_a_header_tell_one_open_size(here, shape, expected):
    (here / "x").mkdir()
    np.zeros(12, np.float32).tofile(here / "x/a.bin")
    found = shapes_of_samples(here / "x", {"a": shape})
    assert found == ({} if expected is None else {"a": expected})


def test_each_input_has_its_own_array(here):
    (here / "x/0").mkdir(parents=True)
    np.save("x/0/wide.npy", np.zeros((6, 8, 3), np.uint8))
    np.save("x/0/state.npy", np.zeros((1, 5), np.float32))
    shapes = {"wide": [0, 3, 0, 0], "state": [0, 0]}
    assert shapes_of_samples(here / "x", shapes) == {"wide": [1, 3, 6, 8], "state": [1, 5]}
    np.savez("x/a.npz", wide=np.zeros((4, 4, 3), np.uint8), state=np.zeros(7, np.float32))
    assert shapes_of_samples(here / "x", shapes)["wide"] == [1, 3, 6, 8]  # the first in order of names


def test_a_format_that_says_no_shapes_is_read_with_those_that_are_told(here, monkeypatch):
    """As PyTorch's and MXNet's files; without a shape the command's own option is named."""

    def read(config):
        if not config.inputs[0].shape:
            raise UnknownShapeError("images", "model.inputs: 'images' has no shape")
        assert [one.shape for one in config.inputs] == [[1, 3, 16, 16]]
        return SourceNetwork(tiny_classifier()), "net.pt"

    monkeypatch.setattr("stages.init.network.read_network.read_source", read)
    assert source_graph(ModelConfig("net", "file:net.pt"), {"images": [1, 3, 16, 16]}).shapes == {
        "images": [1, 3, 16, 16]
    }
    with pytest.raises(UserError, match=r"^input 'images' has no static shape in the file: .* --shape images=1,3,224"):
        source_graph(ModelConfig("net", "file:net.pt"), {})


def test_a_format_that_says_no_shapes_takes_the_first_usual_size_that_fits_pictures(here, monkeypatch):
    """The tiny classifier here takes pictures of 48 x 48 and 28 x 28, in grey alone."""
    tried = []

    def read(config):
        shape = config.inputs[0].shape
        if not shape:
            raise UnknownShapeError("images", "model.inputs: 'images' has no shape")
        tried.append(shape)
        if shape[1:] not in ([1, 48, 48], [1, 28, 28]):
            raise UserError(f"cannot be run with {shape}")
        model = tiny_classifier()
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
        weight.CopyFrom(numpy_helper.from_array(np.ones((8, 1, 3, 3), np.float32), "w1"))
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.FLOAT, shape))
        del model.graph.value_info[:]
        return SourceNetwork(model), "net.pt"

    monkeypatch.setattr("stages.init.network.read_network.read_source", read)
    graph = source_graph(ModelConfig("net", "file:net.pt"), {}, pictures=True)
    assert graph.shapes == {"images": [1, 1, 0, 0]}
    assert tried[0] == [1, 3, 640, 640]
    monkeypatch.setattr("stages.export.network.read_source", read)
    network = sized(graph)
    assert network.shapes == {"images": [1, 1, 48, 48]}
    assert network.guess.sure is Sure.low
    monkeypatch.setattr("stages.init.network.read_network.PICTURE_CHANNELS", (3,))
    with pytest.raises(
        UserError, match=r"as in --shape .*; none of the usual ones fits: cannot be run with \[1, 3, 640"
    ):
        source_graph(ModelConfig("net", "file:net.pt"), {}, pictures=True)
