import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.detection.decoded_graph import decoded_graph
from benchmarks.scoring.detection import decode
from stages.core.graph.session import Runner
from stages.core.heads.recognize import recognize
from tests.core.heads.exporters import yolox

SIZE = 416
ANCHORS = 52 * 52 + 26 * 26 + 13 * 13
FINEST_ROW = 52


def network(columns: int) -> onnx.ModelProto:
    """Gives the constant input `values` beside a picture that nothing reads."""
    values = helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, ANCHORS, columns])
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, ANCHORS, columns])
    graph = helper.make_graph([helper.make_node("Identity", ["values"], ["output"])], "g", [picture, values], [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def decoded(values: np.ndarray) -> np.ndarray:
    picture = np.zeros((1, 3, SIZE, SIZE), np.float32)
    found = Runner(decoded_graph(network(values.shape[2]))).run({"images": picture, "values": values})
    assert list(found) == ["decoded"]
    return found["decoded"]


def test_centre_and_size_by_hand() -> None:
    values = np.zeros((1, ANCHORS, 7), np.float32)
    # stride 8, row 2, column 3: centre (3.5 * 8, 2.25 * 8), size (16, 8)
    values[0, 2 * FINEST_ROW + 3] = 0.5, 0.25, np.log(2), 0, 0.75, 0.5, 0.25
    # stride 32, row 1, column 0
    values[0, 52 * 52 + 26 * 26 + 13] = 0, 0, 0, np.log(2), 1, 0.125, 0.75
    found = decoded(values)[0]
    np.testing.assert_allclose(found[2 * FINEST_ROW + 3], [28, 18, 16, 8, 0.75, 0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(found[52 * 52 + 26 * 26 + 13], [0, 32, 32, 64, 1, 0.125, 0.75], rtol=1e-6)


def test_all_boxes_are_those_of_the_decoding_that_scores() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0.2, 1, (1, ANCHORS, 9)).astype(np.float32)
    expected, found = decode(values[0]).corners, decoded(values)[0]
    assert len(expected) == ANCHORS
    corners = np.concatenate([found[:, :2] - found[:, 2:4] / 2, found[:, :2] + found[:, 2:4] / 2], axis=1)
    np.testing.assert_allclose(corners, expected, rtol=1e-5, atol=1e-3)


def test_the_source_is_not_changed() -> None:
    source = network(6)
    before = source.SerializeToString()
    decoded_graph(source)
    assert source.SerializeToString() == before


def test_export_sees_that_the_graph_decodes() -> None:
    raw = onnx.shape_inference.infer_shapes(yolox(decoded=False), data_prop=True)
    assert not recognize(raw).evidence.decoded
    assert recognize(decoded_graph(raw)).evidence.decoded
