import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.core.base.errors import UserError
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.export.cut import find_cut
from stages.export.verify import check_difference, largest_difference, network_difference, random_feeds
from tests.export.graphs import run_onnx
from tests.networks import tiny_classifier

PICTURE = NetworkInput("images", (1, 3, 16, 16), (128.0,) * 3, (64.0,) * 3, Color.RGB)
INF, NAN = float("inf"), float("nan")


def array(*values):
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (array(1, 2), array(1, 2), 0.0),
        (array(1, 2), array(1.5, 4), 1.0),
        (array(0.5, 0.25), array(0.25, 0.25), 0.25),
        (array(-4), array(4), 2.0),
        (array(640, 0), array(640, 0.64), 0.64 / 640),
        (array(NAN, 1), array(NAN, 3), INF),
        (array(NAN), array(NAN), INF),
        (array(NAN, 1), array(1, 1), INF),
        (array(1), array(NAN), INF),
        (array(1, 2), array(1, 2, 3), INF),
        (array(1, 2), array(1, 2).reshape(2, 1), INF),
        (array(INF), array(1), INF),
        (array(), array(), 0.0),
    ],
)
def test_largest_difference(left, right, expected):
    assert largest_difference(left, right) == pytest.approx(expected, rel=1e-6)


def test_equal_infinities_do_not_pass_unnoticed_as_a_number():
    assert not largest_difference(array(INF, 1), array(-INF, 1)) <= 1.0


@pytest.mark.parametrize("difference", [0.0, 0.0009, 0.001])
def test_difference_within_the_bound_passes(difference):
    assert check_difference(difference, 0.001) is None


def test_difference_above_the_bound_is_refused():
    with pytest.raises(UserError, match=r"differs from its source by 0\.0011 .*model\.fp32_diff=0\.001"):
        check_difference(0.0011, 0.001)


@pytest.mark.parametrize("difference", [INF, NAN])
def test_what_cannot_be_compared_is_refused_with_what_to_do(difference):
    with pytest.raises(UserError, match=r"cannot be compared .* give mean, normal and shape of model\.inputs"):
        check_difference(difference, 0.001)


def test_random_pixels_are_normalized_and_reproducible():
    feeds = random_feeds([PICTURE])
    pixels = feeds["images"] * 64 + 128
    assert feeds["images"].shape == (1, 3, 16, 16)
    assert feeds["images"].dtype == np.float32
    np.testing.assert_allclose(pixels, np.rint(pixels), atol=1e-4)
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    np.testing.assert_array_equal(random_feeds([PICTURE])["images"], feeds["images"])


def test_random_tensors_have_the_shape_of_the_input():
    entry = NetworkInput("state", (1, 7), (0.0,) * 7, (1.0,) * 7, Color.RGB)
    assert random_feeds([entry])["state"].shape == (1, 7)


def test_a_network_does_not_differ_from_itself():
    model = tiny_classifier()
    assert network_difference(model, model, find_cut(model, [None], []), random_feeds([PICTURE])) < 1e-5


def test_a_source_that_gives_nan_is_refused_as_such():
    source = tiny_classifier()
    bias = next(tensor for tensor in source.graph.initializer if tensor.name == "b4")
    bias.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(bias), NAN), "b4"))
    with pytest.raises(UserError, match=r"output '.*' of the source is NaN or infinite on random pixels"):
        network_difference(source, source, find_cut(source, [None], []), random_feeds([PICTURE]))


def test_a_moved_bias_is_the_difference():
    source, moved = tiny_classifier(), onnx.ModelProto()
    moved.CopyFrom(source)
    bias = next(tensor for tensor in moved.graph.initializer if tensor.name == "b4")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + array(0, 0.25, -0.5), "b4"))
    cut = find_cut(source, [None], [])
    feeds = random_feeds([PICTURE])
    (logits,) = run_onnx(source, feeds)
    assert np.abs(logits).max() > 1
    assert network_difference(source, moved, cut, feeds) == pytest.approx(0.5 / np.abs(logits).max(), abs=1e-5)
