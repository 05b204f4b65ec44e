import numpy as np
import onnx
import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import ModelConfig
from stages.core.data.model_files import with_format
from stages.export.sources.external_data import load_external_data
from stages.export.sources.onnx_file import read_onnx
from tests.networks import tiny_classifier


def read(*files, source="file:net.onnx"):
    config = ModelConfig("net", source)
    return read_onnx(config, with_format([SourceFile(name, lambda c=content: c) for name, content in files])).model


def test_a_network_is_read_as_it_is():
    model = tiny_classifier()
    assert read(("net.onnx", model.SerializeToString())) == model


@pytest.mark.parametrize("content", [b"", b"text"])
def test_a_file_that_is_no_network_is_named(content):
    with pytest.raises(UserError, match=r"net\.onnx is not an ONNX file"):
        read(("net.onnx", content))


@pytest.fixture
def parts(tmp_path):
    """A network, and the two files that it is saved as."""
    path = tmp_path / "net.onnx"
    onnx.save(tiny_classifier(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return tiny_classifier(), path.read_bytes(), (tmp_path / "weights.bin").read_bytes()


def test_weights_beside_the_file_are_read(parts):
    model, main, weights = parts
    assert read(("net.onnx", main), ("weights.bin", weights)) == model
    assert read(("deep/net.onnx", main), ("deep/notes.txt", b"?"), ("deep/weights.bin", weights)) == model


def test_a_file_in_the_project_has_to_move(parts):
    with pytest.raises(
        UserError, match=r"move all of its files into a folder of their own and give model\.source=file:"
    ):
        read(("net.onnx", parts[1]), source="file:net.onnx")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("file:some/net.onnx", "'model.source=\"file:some/{net.onnx,weights.bin}\"'"),
        ("package:a==1/b/net.onnx#sha256=0a", "'model.source=\"package:a==1/b/{net.onnx,weights.bin}#sha256=0a\"'"),
    ],
)
def test_a_file_of_weights_that_is_not_given_is_named(parts, source, said):
    with pytest.raises(UserError) as caught:
        read(("net.onnx", parts[1]), source=source)
    assert str(caught.value) == (
        f"model.source: net.onnx keeps weights in weights.bin: give all of its files, as in {said}"
    )


def test_a_file_of_weights_that_is_too_short_is_named(parts):
    with pytest.raises(
        UserError, match=r"weights\.bin ends before the weight 'six': it is not the file that net\.onnx"
    ):
        read(("net.onnx", parts[1]), ("weights.bin", parts[2][:-1]))


def test_a_network_of_float64_is_read_as_float32():
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["x", "k"], ["y"], "scaled")],
        "double",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, [1, 2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, [1, 2])],
        [onnx.numpy_helper.from_array(np.array([0.1, 2.0]), "k")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    found = read(("net.onnx", model.SerializeToString())).graph
    assert {info.type.tensor_type.elem_type for info in (*found.input, *found.output)} == {onnx.TensorProto.FLOAT}
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(found.initializer[0]), np.float32([0.1, 2.0]))


@pytest.mark.parametrize("entries", [{}, {"location": ""}, {"location": "weights.bin", "offset": "-1"},
                                     {"location": "weights.bin", "length": "x"}])  # fmt: skip
def test_a_weight_that_does_not_say_where_it_lies_is_refused(entries):
    """The fuzzer found it."""
    model = tiny_classifier()
    weight = model.graph.initializer[0]
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)
    others = [SourceFile("weights.bin", lambda: b"1234")]
    with pytest.raises(UserError, match="does not say where in another file the weight"):
        load_external_data(model, SourceFile("net.onnx", bytes), others, "file:net.onnx")
