import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.esp_ppq_torch import any_batch
from stages.core.graph.session import Runner


def test_any_batch() -> None:
    # x [1, 2, 3] -> [1, 6] -> times a matrix
    matrix = np.arange(12, dtype=np.float32).reshape(6, 2)
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])],
        "reshape",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.array([1, 6]), "shape"), numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    batch = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    output = Runner(any_batch(model)).run({"x": batch})["y"]
    np.testing.assert_array_equal(output, batch.reshape(4, 6) @ matrix)
    onnx.checker.check_model(model)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
