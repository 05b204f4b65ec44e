"""The folder for TPU-NNTC. The tool is not to be had: its options are compared with those of published calls."""

import shlex

import pytest

from stages.build.nntc.folder import first_float_outputs, write_nntc
from stages.core.config.schema import Color, FeatureMethod, Vendor
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from tests.build.boards import board_config
from tests.export.graphs import graph_model, node

PICTURE = NetworkInput("x", (1, 3, 4, 4), (127.0, 0.0, 1.5), (128.0, 1.0, 0.5), Color.RGB)
GRAPH = Graph(
    graph_model(
        [
            node("Relu", ["x"], ["a"], "first"),
            node("Sigmoid", ["a"], ["b"], "left"),
            node("Tanh", ["a"], ["c"], "right"),
            node("Add", ["b", "c"], ["y"], "end"),
        ],
        {"x": [1, 3, 4, 4]}, ["y"], {}, 17,
    )
)  # fmt: skip


class Samples(list):
    names = ()


def call(folder, method, floats):
    config = board_config(Vendor.sophgo, "bm1684")
    config.quant.feature_method, config.model.fp32_diff = method, 0.01
    write_nntc(folder, config, [PICTURE], Samples(), GRAPH, floats)
    command = (folder / "quantize.sh").read_text().partition("python3 -m ")[2]
    name, *words = shlex.split(command.replace("\\\n", " "))
    assert name == "ufw.cali.cali_model"
    (of_calibration,) = (word for word in words if "=-" in word)
    words.remove(of_calibration)
    key, _, listed = of_calibration.partition("=")
    assert key == "--try_cali_accuracy_opt"
    options = dict(zip(words[::2], words[1::2], strict=True))
    return options | dict(option.split("=") for option in listed.split(";"))


@pytest.mark.parametrize(
    ("method", "theirs"),
    [("MAX_ABS", "MAX"), ("KL", "KL"), ("ADMM", "ADMM"), ("PERCENTILE", "PERCENTILE9999"), ("MSE", "KL")],
)
def test_ranges_are_chosen_by_its_name_of_the_method(tmp_path, method, theirs):
    assert call(tmp_path / "nntc", FeatureMethod[method], ())["-th_method"] == theirs


def test_the_call(tmp_path):
    options = call(tmp_path / "nntc", FeatureMethod.KL, {"left", "right", "end"})
    assert options["--input_shapes"] == "[1,3,4,4]"
    assert options["--cali_image_preprocess"] == "mean_value=127:0:1.5,scale=0.0078125:1:2,bgr2rgb=True"
    assert (options["-fp32_diff"], options["--target"]) == ("0.01", "BM1684")
    assert options["-fpfwd_outputs"] == "b,c"
    assert (tmp_path / "nntc" / "calibration").is_dir()


def test_without_layers_in_float_nothing_is_listed(tmp_path):
    assert "-fpfwd_outputs" not in call(tmp_path / "nntc", FeatureMethod.KL, ())
    assert first_float_outputs(GRAPH, {"first", "end"}) == ["a", "y"]
