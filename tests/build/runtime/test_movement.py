import numpy as np
import pytest
from onnx import helper

from stages.build.runtime.movement import Axis, Movement, moved, movement, physical, positions

OPSET = [helper.make_opsetid("", 18)]


def test_pictures_lie_with_their_channels_innermost():
    assert physical((1, 2, 3, 4)) == (1, 3, 4, 2)
    assert physical((2, 3)) == (2, 3)
    assert positions((1, 2, 1, 3)).tolist() == [[[[0, 2, 4]], [[1, 3, 5]]]]


def test_neighbouring_axes_that_step_alike_are_one():
    assert movement(np.arange(24).reshape(2, 3, 4)) == Movement(0, (Axis(24, 1),))
    assert movement(np.arange(24).reshape(2, 3, 4)[:, 1:, :]) == Movement(4, (Axis(2, 12), Axis(8, 1)))


def test_an_axis_may_run_backwards():
    assert movement(np.array([5, 3, 1])) == Movement(5, (Axis(3, -2),))


def test_padding_and_repetition_are_tables():
    assert movement(np.array([-1, 4, 5, 5])) == Movement(4, (Axis(4, table=(-1, 0, 1, 1)),))


def test_places_that_do_not_add_up_get_one_table():
    assert movement(np.array([[0, 1], [1, 0]])) == Movement(0, (Axis(4, table=(0, 1, 1, 0)),))


def test_all_padding():
    assert movement(np.full((2, 2), -1)) == Movement(0, (Axis(4, table=(-1,) * 4),))


def test_more_elements_than_a_digit_holds():
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    (actual,) = moved(node, (3, 5000), {}, OPSET)
    np.testing.assert_array_equal(actual, np.arange(15000).reshape(3, 5000).T)


@pytest.mark.parametrize("padded", [None, np.array(7, np.uint8)])
def test_padded_places_are_marked_whatever_their_value(padded):
    names = ["x", "pads", *(["value"] if padded is not None else [])]
    node = helper.make_node("Pad", names, ["y"])
    (actual,) = moved(node, (2, 2), {"pads": np.array([0, 1, 0, 0]), "value": padded}, OPSET)
    assert actual.tolist() == [[-1, 0, 1], [-1, 2, 3]]
