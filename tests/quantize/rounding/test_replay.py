import numpy as np
import onnx
import pytest
from onnx import TensorProto

from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.network_params import FeatureParams, NetworkParams, RangeSource
from stages.quantize.emit.prepared import prepared_model
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.partition.subgraphs import find_blocks, layer_subgraphs
from stages.quantize.rounding.replay import Replay, TensorFiles, fake_quantize
from tests.export.graphs import graph_model, node
from tests.networks import soc_config, tiny_classifier
from tests.quantize.candidates import advance, candidate_of

PICTURES = [{"images": np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for i in range(11)]


# --- files


@pytest.mark.parametrize(
    "values",
    [
        [np.float32([[1.5, -2.0]]), np.float32([[3.0, np.inf]])],
        [np.int64([2**40, -1]), np.int64([0, 7])],
        [np.array([True, False]), np.array([False, False])],
        [np.array(3, dtype=np.int64), np.array(-4, dtype=np.int64)],
        [np.float16([1.5]), np.float16([2.5])],
        [np.zeros((1, 0), dtype=np.float32), np.ones((1, 2), dtype=np.float32)],
        [np.int64([[1], [2]]), np.int64([[1, 2, 3]])],
        [np.arange(6, dtype=np.float32).reshape(2, 3).T, np.zeros((3, 2), dtype=np.float32)],
    ],
    ids=["float", "int64", "bool", "scalar", "half", "empty", "other shapes", "not contiguous"],
)
def test_tensors_come_back_as_they_were(tmp_path, values):
    files = TensorFiles(tmp_path / "files")
    for index in (1, 0):
        files.write("t", index, values[index])
        files.write("other", index, np.float32([index]))
    for index in (0, 1):
        actual = files.read("t", index)
        assert (actual.dtype, actual.shape) == (values[index].dtype, values[index].shape)
        np.testing.assert_array_equal(actual, values[index])
        np.testing.assert_array_equal(files.read("other", index), [index])


def test_what_is_not_kept_is_removed(tmp_path):
    files = TensorFiles(tmp_path / "files")
    for name in ("a", "b", "c"):
        files.write(name, 0, np.float32([1]))
    files.keep(["b", "never written"])
    assert len(list((tmp_path / "files").iterdir())) == 1
    np.testing.assert_array_equal(files.read("b", 0), [1])
    with pytest.raises(KeyError):
        files.read("a", 0)
    files.write("d", 0, np.float32([4]))
    np.testing.assert_array_equal(files.read("b", 0), [1])
    np.testing.assert_array_equal(files.read("d", 0), [4])


# --- one feature


def test_fake_quantize():
    params = FeatureParams("t", "n", 4, 0.5, 3, -1.5, 6.0, -1.5, 6.0, RangeSource.MAX_ABS)
    values = np.float32([[-9.0, -1.5, -0.3, 0.0, 0.25, 0.75, 6.0, 7.0]])
    np.testing.assert_array_equal(fake_quantize(values, params), [[-1.5, -1.5, -0.5, 0.0, 0.0, 1.0, 6.0, 6.0]])
    assert fake_quantize(values, params).dtype == np.float32


def test_fake_quantize_by_channel():
    params = FeatureParams("t", "n", 8, 2.0, 0, 0.0, 510.0, 0.0, 510.0, RangeSource.MAX_ABS, (2.0, 0.5))
    values = np.float32([[[0.9, 1.1, 3.0], [0.9, 1.1, 300.0]]])
    np.testing.assert_array_equal(fake_quantize(values, params), [[[0.0, 2.0, 4.0], [1.0, 1.0, 127.5]]])


# --- the whole network, subgraph by subgraph


@pytest.mark.parametrize("find", [layer_subgraphs, find_blocks])
@pytest.mark.parametrize(("features", "weights"), [(8, 8), (4, 4), (10, 8)])
def test_both_sides_are_what_the_whole_networks_compute(tmp_path, find, features, weights):
    candidate = candidate_of(tiny_classifier(), PICTURES, soc_config("t40"), feature_bits=features, weight_bits=weights)
    subgraphs = find(candidate.graph, candidate.setup.layers)
    handed = [name for subgraph in subgraphs for name in subgraph.outputs]
    params = candidate.params()
    weights_only = prepared_model(candidate.graph.model, params, candidate.codes)
    wholes = (
        candidate.graph.model,
        insert_quantizers(weights_only, NetworkParams(params.features, []), {}),
        insert_quantizers(candidate.graph.model, params, candidate.codes),
    )
    sides = [Runner(with_outputs(whole, handed), optimize="none") for whole in wholes]
    replay = Replay(tmp_path / "replay", PICTURES, candidate.features)
    assert replay.count == len(PICTURES)
    for subgraph in subgraphs:
        advance(candidate, replay, subgraph)
    for index, feeds in enumerate(PICTURES):
        wanted = [side.run(feeds) for side in sides]
        for name in handed:
            np.testing.assert_allclose(replay.float.read(name, index), wanted[0][name], rtol=1e-4, atol=1e-5)
            actual, step = (
                replay.quantized.read(name, index),
                candidate.features[name].scale if name in candidate.features else 0.05,
            )
            np.testing.assert_allclose(actual, wanted[1][name], rtol=0, atol=1e-3 * step)
            # biases have codes in the quantized network: now and then that moves a value over the edge of one
            assert name == "logits" or np.abs(actual - wanted[2][name]).mean() < 0.5 * step


def test_a_tensor_that_layers_in_float_take_is_kept_in_float(tmp_path):
    """`stem` feeds `depthwise` in integers and `residual` in float; `images` feeds `stem` in integers alone."""
    candidate = candidate_of(tiny_classifier(), PICTURES[:2], soc_config("t40"), skip_nodes=["residual"])
    params = candidate.params()
    whole = insert_quantizers(
        prepared_model(candidate.graph.model, params, candidate.codes), NetworkParams(params.features, []), {}
    )
    tensors = ["r1/float", "r1", "sum", "logits"]
    replay = Replay(tmp_path / "replay", PICTURES[:2], candidate.features)
    for subgraph in layer_subgraphs(candidate.graph, candidate.setup.layers):
        advance(candidate, replay, subgraph)
    nodes = {each.name: each for each in candidate.graph.nodes}
    for index, feeds in enumerate(PICTURES[:2]):
        wanted = Runner(with_outputs(whole, tensors), optimize="none").run(feeds)
        assert np.abs(wanted["r1/float"] - wanted["r1"]).max() > 0
        for node_name, name in (("residual", "r1/float"), ("depthwise", "r1"), ("pool", "sum")):
            np.testing.assert_allclose(replay.input_of(nodes[node_name], index), wanted[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(replay.quantized.read("logits", index), wanted["logits"], rtol=1e-3, atol=1e-4)


def test_memory_on_disk_is_given_back(tmp_path):
    candidate = candidate_of(tiny_classifier(), PICTURES, soc_config("t40"))
    subgraphs = layer_subgraphs(candidate.graph, candidate.setup.layers)
    replay = Replay(tmp_path / "replay", PICTURES, candidate.features)
    counts = []
    for index, subgraph in enumerate(subgraphs):
        advance(candidate, replay, subgraph)
        replay.keep({name for later in subgraphs[index + 1 :] for name in later.inputs})
        counts.append(len([path for path in (tmp_path / "replay").rglob("*") if path.is_file()]))
    # r1 stays for the residual sum while r2 and c3 come and go; the last output nobody takes
    assert counts == [2, 4, 4, 2, 2, 2, 0]


def test_shapes_and_truths_pass_from_piece_to_piece(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("Shape", ["a"], ["size"], "size"),
        node("Mul", ["size", "same"], ["shape"], "shape"),
        node("Cast", ["a"], ["signs"], "signs", to=TensorProto.BOOL),
        node("Where", ["signs", "a", "one"], ["chosen"], "chosen"),
        node("Reshape", ["chosen", "shape"], ["y"], "y"),
    ]
    constants = {"w": np.ones((2, 3, 1, 1)), "same": np.int64([1, 1, 1, 1]), "one": 1.0}
    model = graph_model(nodes, {"x": [1, 3, 4, 4]}, ["y"], constants)
    feeds = [{"x": np.random.default_rng(i).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)} for i in range(3)]
    candidate = candidate_of(onnx.shape_inference.infer_shapes(model), feeds, soc_config("t40"))
    replay = Replay(tmp_path / "replay", feeds, candidate.features)
    for subgraph in layer_subgraphs(candidate.graph, candidate.setup.layers):
        advance(candidate, replay, subgraph)
    for index, each in enumerate(feeds):
        np.testing.assert_array_equal(replay.float.read("size", index), [1, 2, 4, 4])
        assert replay.quantized.read("signs", index).dtype == np.bool_
        np.testing.assert_allclose(replay.float.read("y", index), Runner(model).run(each)["y"], rtol=1e-6)


def test_a_piece_may_take_nothing(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("ConstantOfShape", ["length"], ["row"], "row"),
        node("Add", ["a", "row"], ["y"], "y"),
    ]
    model = graph_model(nodes, {"x": [1, 3, 4, 4]}, ["y"], {"w": np.ones((2, 3, 1, 1)), "length": np.int64([4])})
    feeds = [{"x": np.full((1, 3, 4, 4), index + 1, dtype=np.float32)} for index in range(2)]
    candidate = candidate_of(model, feeds, soc_config("t40"))
    replay = Replay(tmp_path / "replay", feeds, candidate.features)
    for subgraph in layer_subgraphs(candidate.graph, candidate.setup.layers):
        advance(candidate, replay, subgraph)
    np.testing.assert_array_equal(replay.float.read("y", 1), np.full((1, 2, 4, 4), 6.0))
