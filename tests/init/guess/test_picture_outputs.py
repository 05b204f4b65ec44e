"""Outputs that are pictures."""

import numpy as np
import pytest

from stages.init.guess.picture_outputs import likeness, picture_output


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"y": [1, 3, 20, 40]}, "y"),
        ({"y": [1, 3, 10, 20]}, "y"),
        ({"y": [1, 3, 5, 10]}, None),
        ({"y": [1, 1, 10, 20]}, None),
        ({"y": [1, 3, 20, 20]}, None),
        ({"y": [1, 3]}, None),
        ({"y": [1, 3, 10, 20], "z": [1]}, None),
    ],
)
def test_the_only_output_that_is_as_large_or_larger(shapes, expected):
    assert picture_output([1, 3, 10, 20], shapes) == expected


def test_likeness_by_hand():
    fed = np.float32([[[[0, 2], [0, 2]]]])  # variance 1
    assert likeness(fed, fed) == 1.0
    assert likeness(fed, fed + np.float32(0.5)) == 0.75
    assert likeness(fed, fed * np.float32(9)) == 0.0
    assert likeness(fed, fed + np.float32(np.inf)) == 0.0
    assert likeness(np.ones_like(fed), fed) == 0.0


def test_an_enlarged_picture_is_like_itself():
    fed = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (1, 3, 16, 1))
    assert likeness(fed, fed.repeat(2, axis=2).repeat(2, axis=3)) > 0.99
