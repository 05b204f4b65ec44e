import numpy as np
import pytest

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.observed_features import FeatureObserver
from stages.compare.gather.picture_sets import DebugPicture
from stages.core.integer.network_params import FeatureParams, NetworkParams, RangeSource


def feature_of_two_bits(**more):
    """2 bits, scale 1, zero point 1: codes stand for -1 .. 2, half a step further still rounds there."""
    return FeatureParams("t", "n", 2, 1.0, 1, -1.0, 2.0, -0.5, 3.0, RangeSource.MAX_ABS, **more)


def of(feature, *pictures, factors=None):
    observer = FeatureObserver(NetworkParams([feature], [], factors=factors or {}))
    for values in pictures:
        tensors = {"t": np.array(values, dtype=np.float32).reshape(1, 2, 1, -1)}
        observer.add(Comparison(0, DebugPicture("a", {}, {"other": np.zeros(1)}), tensors, {}, {}))
    return observer.by_tensor["t"]


def test_hand_computed():
    seen = of(feature_of_two_bits(), [[1.0, -2.0], [2.5, 4.0]], [[0.0, 0.5], [0.0, 0.0]])
    assert (seen.channel_low.tolist(), seen.channel_high.tolist()) == ([-2.0, 0.0], [1.0, 4.0])
    assert (seen.low, seen.high, seen.values) == (-2.0, 4.0, 8)
    assert (seen.clipped, seen.beyond) == (2, 2)  # -2 and 4; 2.5 is half a step above 2
    assert seen.energy == pytest.approx(1 + 4 + 6.25 + 16 + 0.25)
    assert seen.clipped_energy == pytest.approx(0.5**2 + 1.5**2)
    assert seen.beyond_energy == pytest.approx(1.5**2 + 1.0**2)
    assert seen.clipped_part == pytest.approx(2.5 / 27.5)


def test_channels_with_a_scale_each():
    seen = of(feature_of_two_bits(channel_scales=(0.5, 1.0)), [[1.25, 2.0], [2.0, 2.5]])
    assert seen.clipped == 1  # channel 0 reaches 2 * 0.5 + 0.25
    assert seen.clipped_energy == pytest.approx(0.75**2)


def test_factors_bring_values_to_the_units_of_the_codes():
    seen = of(feature_of_two_bits(), [[4.0, 0.0], [1.0, 0.0]], factors={"t": (4.0, 0.5)})
    assert seen.channel_high.tolist() == [1.0, 2.0]


def test_a_feature_of_zeros_has_no_error():
    seen = of(feature_of_two_bits(), [[0.0, 0.0], [0.0, 0.0]])
    assert (seen.clipped_part, seen.beyond_part) == (0.0, 0.0)
