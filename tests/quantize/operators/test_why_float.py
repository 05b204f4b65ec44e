import numpy as np
import pytest

from stages.quantize.operators import why_float
from stages.quantize.partition.layers import Layer, find_layers
from tests.export.graphs import node
from tests.quantize.partition.test_layers import graph_of, soc

DATA = {"x": [1, 4, 6, 6], "v": [4, 4, 1, 1], "s": [4], "row": [1, 4], "top": []}
SQUARE, CUBE = np.ones((4, 4)), np.ones((1, 4, 4))


@pytest.mark.parametrize(
    ("kind", "takes", "attributes", "said"),
    [
        ("Conv", ["x", "v"], {}, "its weight is computed"),
        ("Conv", ["x", "w", "s"], {}, "its bias is computed"),
        ("Conv", ["x", "w"], {"auto_pad": "SAME_UPPER"}, None),
        ("Conv", ["x", "w", ""], {}, None),
        ("ConvTranspose", ["x", "w"], {"output_shape": [7, 7]}, "its padding follows from its output's shape"),
        ("ConvTranspose", ["x", "w"], {"auto_pad": "SAME_UPPER"}, "its padding follows from its output's shape"),
        ("ConvTranspose", ["x", "w"], {"auto_pad": "VALID"}, None),
        ("ConvTranspose", ["x", "v"], {}, "its weight is computed"),
        ("Gemm", ["row", "square"], {}, None),
        ("Gemm", ["row", "square"], {"transA": 1}, "it transposes its input or scales its result"),
        ("Gemm", ["row", "square"], {"alpha": 0.5}, "it transposes its input or scales its result"),
        ("Gemm", ["row", "square", "four"], {"beta": 2.0}, "it transposes its input or scales its result"),
        ("Gemm", ["row", "square", "four"], {"transB": 1}, None),
        ("Gemm", ["row", "square", "low"], {}, None),
        ("Gemm", ["row", "square", "s"], {}, "its bias is not one constant value an output"),
        ("Gemm", ["square", "square", "square"], {}, "its bias is not one constant value an output"),
        ("MatMul", ["row", "square"], {}, None),
        ("MatMul", ["square", "row"], {}, "its left side is constant"),
        ("MatMul", ["row", "cube"], {}, "its weight is no matrix"),
        ("MatMul", ["x", "x"], {}, None),
        ("AveragePool", ["x"], {"kernel_shape": [4, 4], "strides": [3, 3], "ceil_mode": 1}, "it rounds its size up"),
        ("MaxPool", ["x"], {"kernel_shape": [4, 4], "strides": [3, 3], "ceil_mode": 1}, None),
        ("Resize", ["x", "", "double"], {"mode": "nearest"}, None),
        ("Resize", ["x", "", "double"], {"mode": "linear"}, None),
        ("Resize", ["x", "", "double"], {"mode": "cubic"}, "mode cubic with half_pixel has no integer rule"),
        ("Resize", ["x", "", "deep"], {"mode": "linear"}, "it does more than interpolate between pixels"),
        ("PRelu", ["x", "low"], {}, None),
        ("PRelu", ["x", "x"], {}, "its slope is computed"),
        ("Clip", ["x", "low", "high"], {}, None),
        ("Clip", ["x", "", "top"], {}, "its bounds are computed"),
        ("Relu", ["x"], {}, None),
        ("ReduceMean", ["x"], {"axes": [2]}, None),
    ],
)  # fmt: skip
def test_limits_of_each_operator(kind, takes, attributes, said):
    constants = {"square": SQUARE, "cube": CUBE, "four": np.ones(4)}
    constants |= {"double": np.float32([1, 1, 2, 2]), "deep": np.float32([1, 2, 2, 2])}
    graph = graph_of([node(kind, takes, ["y"], "n", **attributes)], inputs=DATA, constants=constants)
    (layer,) = find_layers(graph, soc())
    assert why_float(graph, layer) == said


@pytest.mark.parametrize(
    ("way", "said"),
    [
        *((way, None) for way in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")),
        ("tf_crop_and_resize", "mode linear with tf_crop_and_resize has no integer rule"),
        ("half_pixel_symmetric", "mode linear with half_pixel_symmetric has no integer rule"),
    ],
)
def test_ways_of_interpolation(way, said):
    sizes = {"sizes": np.array([1, 4, 9, 9]), "roi": np.float32([0, 0, 0, 0, 1, 1, 1, 1])}
    resize = node("Resize", ["x", "roi", "", "sizes"], ["y"], "n", mode="linear", coordinate_transformation_mode=way)
    graph = graph_of([resize], constants=sizes, opset=19)
    assert why_float(graph, Layer("Resize", (resize,))) == said


def test_antialiased_interpolation_stays_in_float():
    resize = node("Resize", ["x", "", "", "sizes"], ["y"], "n", mode="linear", antialias=1)
    graph = graph_of([resize], constants={"sizes": np.array([1, 4, 3, 3])}, opset=18)
    assert why_float(graph, Layer("Resize", (resize,))) == "it does more than interpolate between pixels"


@pytest.mark.parametrize(("axes", "said"), [("known", None), ("fed", "its axes are computed")])
def test_axes_of_a_mean_must_be_constant(axes, said):
    nodes = [node("Cast", ["top"], ["fed"], "cast", to=7), node("ReduceMean", ["x", axes], ["y"], "n")]
    inputs = {"x": [1, 4, 6, 6], "top": [1]}
    graph = graph_of(nodes, inputs=inputs, constants={"known": np.array([2])}, opset=18)
    assert why_float(graph, Layer("ReduceMean", (nodes[1],))) == said
