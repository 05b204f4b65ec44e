import json

import numpy as np
import onnx
import pytest

from stages.compare.background import Background
from stages.compare.gather.comparison import Comparison, compare_networks
from stages.compare.gather.picture_dump import PictureDump
from stages.compare.gather.picture_sets import DebugPicture
from stages.core.config.schema import ChannelScales, Vendor
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.dumps import nhwc
from stages.core.integer.reference import run_reference
from tests.compare.gather.examples import networks
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier

TENSORS = {
    "stem": "c1", "stem_relu": "r1", "depthwise": "c2", "depthwise_relu6": "r2", "project": "c3", "residual": "sum",
    "pool": "pooled", "flatten": "flat", "fc": "logits",
}  # fmt: skip
INSIDE = {"stem", "depthwise"}  # a Relu or Clip is fused behind them
SAMPLE = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
FEEDS = {"images": (SAMPLE.transpose(2, 0, 1)[None].astype(np.float32) - 128) / 64}


def dump(folder, soc="t40", vendor=Vendor.ingenic, model=None, feeds=None, **quant):
    """Quantize a network and dump the first of two pictures; gives what was quantized and that picture's comparison."""
    model, feeds = model or tiny_classifier(), feeds or FEEDS
    network = quantized_network(model, [feeds], soc_config(soc), **quant)
    seen: list[Comparison] = []
    both = networks(network.model, network.integer)
    observers = [seen.append, PictureDump(folder, vendor, both).add]
    pictures = [DebugPicture("one", {"images": SAMPLE}, feeds), DebugPicture("two", {}, feeds)]
    with Background() as background:
        compare_networks(both, pictures, background, observers)
    return network, seen[0]


def transposed(values):
    """NCHW to NHWC, one value at a time."""
    if values.ndim != 4:
        return values.reshape(-1)
    n, c, h, w = values.shape
    return np.array([values[a, b, i, j] for a in range(n) for i in range(h) for j in range(w) for b in range(c)])


def stems(folder):
    return {path.stem for path in folder.iterdir()}


def test_the_folder_of_ingenic_s_converter(tmp_path):
    dump(tmp_path)
    folder = tmp_path / "magik_dump_path"
    assert {path.name for path in folder.iterdir()} == {
        "input.bin", "input_uint8.bin", "model_node_info.json", "float_model", "ptq_model", "ptq_model_dequantize",
    }  # fmt: skip
    assert stems(folder / "float_model") == TENSORS.keys()
    assert stems(folder / "ptq_model_dequantize") == TENSORS.keys() - INSIDE
    assert stems(folder / "ptq_model") == TENSORS.keys() - INSIDE - {"fc"}  # the last layer returns float
    assert [path.name for path in tmp_path.iterdir()] == ["magik_dump_path"]


def test_the_input_is_the_picture_before_mean_and_normal(tmp_path):
    dump(tmp_path)
    folder = tmp_path / "magik_dump_path"
    pixels = [SAMPLE[i, j, c] for i in range(16) for j in range(16) for c in range(3)]
    np.testing.assert_array_equal(np.fromfile(folder / "input_uint8.bin", np.uint8), pixels)
    np.testing.assert_array_equal(np.fromfile(folder / "input.bin", "<f4"), pixels)


def test_float_tensors_are_nhwc(tmp_path):
    dump(tmp_path)
    tensors = Runner(with_outputs(tiny_classifier(), list(TENSORS.values()))).run(FEEDS)
    for name, tensor in TENSORS.items():
        stored = np.fromfile(tmp_path / "magik_dump_path/float_model" / f"{name}.bin", "<f4")
        np.testing.assert_allclose(stored, transposed(tensors[tensor]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("bits", "kind"), [(4, "<u1"), (8, "<u1"), (10, "<u2"), (12, "<u2")])
def test_codes_are_the_reference_s_and_their_real_values_lie_beside(tmp_path, bits, kind):
    network, _ = dump(tmp_path, feature_bits=bits)
    folder = tmp_path / "magik_dump_path"
    reference = run_reference(network.integer, FEEDS)
    features = {feature.tensor: feature for feature in network.params.features}
    for path in (folder / "ptq_model").iterdir():
        tensor = TENSORS[path.stem]
        stored = np.fromfile(path, "<u1" if features[tensor].bits <= 8 else kind)
        np.testing.assert_array_equal(stored, transposed(reference[tensor]), err_msg=path.stem)
        real = np.fromfile(folder / "ptq_model_dequantize" / path.name, "<f4")
        expected = (stored.astype(np.float64) - features[tensor].zero_point) * features[tensor].scale
        np.testing.assert_allclose(real, expected, rtol=1e-6)
    assert features["r2"].bits == bits


def test_the_index_tells_types_files_and_what_codes_mean(tmp_path):
    network, _ = dump(tmp_path, feature_bits=12)
    info = json.loads((tmp_path / "magik_dump_path/model_node_info.json").read_text())
    assert info["all_type"] == ["Add", "Clip", "Conv", "Flatten", "GlobalAveragePool", "Relu"]
    assert info["Conv"] == ["project"]
    feature = next(feature for feature in network.params.features if feature.tensor == "c3")
    assert info["files"]["project"] == {
        "file": "project.bin", "shape": [1, 8, 8, 8], "type": "uint16", "bits": 12, "scale": feature.scale,
        "zero_point": feature.zero_point, "channel_scales": [],
    }  # fmt: skip
    assert info["files"]["fc"] == {"file": "fc.bin", "shape": [1, 3]}


def test_scales_of_channels_are_in_the_index(tmp_path):
    model = tiny_classifier()
    model.graph.node[5].input[0] = "r2"
    dump(tmp_path, model=model, channel_scales=ChannelScales.always)
    info = json.loads((tmp_path / "magik_dump_path/model_node_info.json").read_text())["files"]["stem_relu"]
    codes = np.fromfile(tmp_path / "magik_dump_path/ptq_model/stem_relu.bin", "<u1").reshape(info["shape"])
    real = np.fromfile(tmp_path / "magik_dump_path/ptq_model_dequantize/stem_relu.bin", "<f4").reshape(info["shape"])
    assert len(info["channel_scales"]) == 8
    np.testing.assert_allclose(real, (codes.astype(float) - info["zero_point"]) * info["channel_scales"], rtol=1e-6)


def test_only_pictures_are_transposed():
    values = np.arange(24).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(nhwc(values).reshape(-1), transposed(values))
    for shape in ((24,), (2, 12), (2, 3, 4), (1, 2, 3, 2, 2)):
        np.testing.assert_array_equal(nhwc(values.reshape(shape)), values.reshape(shape))


def test_files_of_tpu_mlir(tmp_path):
    network, comparison = dump(tmp_path, soc="bm1684x", vendor=Vendor.sophgo)
    folder = tmp_path / "tpu_mlir_dump"
    assert {path.name for path in folder.iterdir()} == {"in_f32.npz", "top_outputs.npz", "quantized_outputs.npz"}
    given, top, quantized = (dict(np.load(folder / f"{n}.npz")) for n in ("in_f32", "top_outputs", "quantized_outputs"))
    np.testing.assert_array_equal(given["images"], FEEDS["images"])
    assert {"c1_Conv", "r1_Relu", "r2_Clip", "logits_Gemm"} < top.keys()
    assert top.keys() - quantized.keys() == {"c1_Conv", "c2_Conv"}
    np.testing.assert_array_equal(top["sum_Add"], comparison.expected["sum"])
    feature = next(feature for feature in network.params.features if feature.tensor == "sum")
    reference = run_reference(network.integer, FEEDS)["sum"].astype(np.float64)
    np.testing.assert_allclose(quantized["sum_Add"], (reference - feature.zero_point) * feature.scale, rtol=1e-6)


def test_an_input_may_be_called_as_numpy_calls_its_own(tmp_path):
    nodes = [node("Relu", ["file"], ["allow_pickle"], "a"), node("Sigmoid", ["allow_pickle"], ["y"], "b")]
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"file": [1, 3, 4, 4]}, ["y"]))
    feeds = {"file": np.ones((1, 3, 4, 4), dtype=np.float32)}
    dump(tmp_path, "bm1684x", Vendor.sophgo, model, feeds)
    assert np.load(tmp_path / "tpu_mlir_dump/in_f32.npz").files == ["file"]


def test_the_same_bytes_again(tmp_path):
    for soc, vendor in (("t40", Vendor.ingenic), ("bm1684x", Vendor.sophgo)):
        for name in ("one", "two"):
            dump(tmp_path / name, soc, vendor)
    paths = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(paths) > 20
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in paths)
