import numpy as np
import onnx
import onnxruntime
import pytest

from stages.core.base.errors import UserError
from stages.core.statistics.collect import collect
from tests.export.graphs import graph_model, node
from tests.networks import tiny_classifier

TENSORS = ["images", "c1", "r1", "c2", "r2", "c3", "sum", "pooled", "flat", "logits"]


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    return [(f"{i}.png", {"images": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}) for i in range(count)]


def values_by_hand(model, fed):
    """Every tensor's values on all pictures, channel first."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in TENSORS[1:])
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = [[feeds["images"], *session.run(None, feeds)] for _, feeds in fed]
    stacked = [np.concatenate(column) for column in zip(*rows, strict=True)]
    return {
        name: value.swapaxes(0, 1).reshape(value.shape[1], -1) for name, value in zip(TENSORS, stacked, strict=True)
    }


def test_statistics_equal_onnx_runtime_by_hand():
    model, fed = tiny_classifier(), pictures(5)
    found = collect(model, fed)
    assert list(found) == TENSORS
    for name, values in values_by_hand(model, fed).items():
        entry = found[name]
        np.testing.assert_allclose(entry.channel_low, values.min(axis=1), rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(entry.channel_high, values.max(axis=1), rtol=1e-5, atol=1e-6, err_msg=name)
        mean = values.mean(axis=1, dtype=np.float64)
        np.testing.assert_allclose(entry.channel_mean, mean, rtol=1e-5, atol=1e-6, err_msg=name)
        counts, _ = np.histogram(values, entry.edges)
        assert entry.histogram.sum() == values.size
        assert np.abs(np.cumsum(entry.histogram - counts)).max() <= 0.001 * values.size


def test_of_some_tensors_only():
    model, fed = tiny_classifier(), pictures(3)
    found, everything = collect(model, fed, {"sum", "images", "r2"}), collect(model, fed)
    assert list(found) == ["images", "r2", "sum"]
    for name, entry in found.items():
        assert entry.histogram.sum() == everything[name].histogram.sum()
        # fewer outputs let ONNX Runtime fuse more layers, which round their last digit otherwise
        np.testing.assert_allclose(entry.channel_high, everything[name].channel_high, rtol=1e-5)
        np.testing.assert_allclose(entry.channel_mean, everything[name].channel_mean, rtol=1e-5, atol=1e-6)


def test_order_of_pictures_changes_no_count():
    forward, backward = (collect(tiny_classifier(), fed) for fed in (pictures(4), pictures(4)[::-1]))
    for name in TENSORS:
        np.testing.assert_array_equal(forward[name].histogram, backward[name].histogram)
        assert (forward[name].low, forward[name].high) == (backward[name].low, backward[name].high)


def test_integer_tensors_are_left_out():
    nodes = [node("Shape", ["x"], ["shape"], "shape"), node("Reshape", ["x", "shape"], ["y"], "reshape")]
    found = collect(graph_model(nodes, {"x": [1, 4]}, ["y"]), [("a", {"x": np.float32([[1, 2, 3, 4]])})])
    assert list(found) == ["x", "y"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_names_tensor_and_picture(bad):
    fed = pictures(3)
    fed[1][1]["images"][0, 0, 3, 3] = bad
    with pytest.raises(UserError, match=r"^tensor '\w+' is infinite or not a number on 1\.png: check weights, mean"):
        collect(tiny_classifier(), fed)


def test_what_a_constant_makes_infinite_counts_where_it_is_finite():
    pad = node("Pad", ["x", "pads", "fill"], ["p"], "pad")
    constants = {"pads": np.array([0, 0, 0, 1]), "fill": np.float32(-np.inf)}
    model = graph_model([pad, node("Softmax", ["p"], ["y"], "soft")], {"x": [1, 2]}, ["y"], constants)
    found = collect(model, [("a", {"x": np.float32([[-2, 1]])})])
    assert (found["p"].low, found["p"].high) == (-2, 1)
    assert found["y"].low == 0
    with pytest.raises(UserError, match=r"^tensor 'x' is infinite"):
        collect(model, [("a", {"x": np.float32([[0, np.inf]])})])


def test_a_tensor_that_overflows_inside_the_network_is_named():
    nodes = [node("Exp", ["x"], ["e"], "exp"), node("Neg", ["e"], ["y"], "neg")]
    model = graph_model(nodes, {"x": [1, 2]}, ["y"])
    with pytest.raises(UserError, match="tensor 'e' is infinite or not a number on hot"):
        collect(model, [("hot", {"x": np.float32([[0, 1000]])})])


def test_large_tensors_are_counted_before_the_next_picture_runs(monkeypatch):
    expected = collect(tiny_classifier(), pictures(4))
    monkeypatch.setattr("stages.core.statistics.collect.MOST_BESIDE", 0)
    found = collect(tiny_classifier(), pictures(4))
    for name, entry in expected.items():
        np.testing.assert_array_equal(found[name].channel_low, entry.channel_low)
        np.testing.assert_array_equal(found[name].histogram, entry.histogram)


def test_tensors_that_memory_does_not_hold_are_refused_before_they_are_computed(monkeypatch):
    monkeypatch.setattr("stages.core.base.memory._free_bytes", lambda: 1000)
    with pytest.raises(UserError, match="calibrating with all tensors of a picture needs"):
        collect(tiny_classifier(), iter(()))
