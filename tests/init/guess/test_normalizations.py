import pytest

from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.init.guess.normalizations import RANGES, Normalization, applied, range_of

PICTURE = NetworkInput("images", (1, 3, 8, 8), (0.0,) * 3, (1.0,) * 3, Color.RGB)
GREY = NetworkInput("images", (1, 1, 8, 8), (0.0,), (1.0,), Color.GRAY)


@pytest.mark.parametrize(
    ("mean", "normal", "title"),
    [
        ((127.0,), (128.0,), "-1..1"),
        ((127.5,), (128.0,), "-1..1"),
        ((0.0,), (256.0,), "0..1"),
        ((104.0, 117.0, 123.0), (1.0,), "minus ImageNet's mean, not divided"),
        ((0.0,), (1.0,), "0..255"),
        ((120.0, 115.0, 105.0), (58.0, 57.0, 57.0), "ImageNet's mean and deviation"),
    ],
)
def test_a_normalization_is_of_the_nearest_range(mean, normal, title):
    assert range_of(Normalization(mean, normal, "")).title == title


def test_every_range_is_its_own():
    assert [range_of(each) for each in RANGES] == list(RANGES)


def test_means_follow_the_channels():
    red_first = Normalization((3.0, 2.0, 1.0), (255.0,), "")
    assert applied(red_first, PICTURE, Color.RGB).mean == (3.0, 2.0, 1.0)
    turned = applied(red_first, PICTURE, Color.BGR)
    assert (turned.mean, turned.normal, turned.color) == ((1.0, 2.0, 3.0), (255.0,) * 3, Color.BGR)
    assert applied(red_first, GREY, Color.GRAY).mean == (2.0,)
