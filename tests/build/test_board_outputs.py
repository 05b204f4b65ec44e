from stages.build.board_outputs import BoardOutput, board_outputs, exported_shape
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams, NetworkParams, RangeSource
from stages.core.integer.quant_params import QuantParams
from tests.networks import tiny_classifier


def feature(tensor):
    return FeatureParams(tensor, "node", 8, 0.5, 7, -3.5, 124.0, -3.0, 100.0, RangeSource.MSE)


def test_an_output_with_codes_and_a_picture_shaped_one_lies_nhwc():
    model = tiny_classifier()
    model.graph.output.append(next(info for info in Graph(model).model.graph.output))
    model.graph.output[1].name = "r2"
    del model.graph.output[1].type.tensor_type.shape.dim[:]
    for size in (1, 8, 8, 4):
        model.graph.output[1].type.tensor_type.shape.dim.add().dim_value = size
    graph = Graph(model)
    graph.shapes["r2"] = [1, 8, 6, 4]
    outputs = board_outputs(graph, NetworkParams([feature("r1"), feature("r2")], []))
    assert outputs == [BoardOutput("logits", (1, 3), None), BoardOutput("r2", (1, 6, 4, 8), QuantParams(8, 0.5, 7))]
    assert [exported_shape(output) for output in outputs] == [[1, 3], [1, 8, 6, 4]]
