import numpy as np
import pytest

from stages.check.causes import difference, find_cause


def codes(seed=0, shape=(1, 6, 5, 8), low=20, high=230):
    return np.random.default_rng(seed).integers(low, high, shape, np.uint8)


def floats(seed=0):
    return np.random.default_rng(seed).normal(0, 1, (1, 6, 5, 8)).astype(np.float32)


def test_a_difference_is_counted_and_placed():
    expected, actual = codes(), codes()
    actual[0, 2, 3, 4] = expected[0, 2, 3, 4] + 5
    actual[0, 5, 4, 7] = expected[0, 5, 4, 7] - 1
    measured = difference(expected, actual)
    assert (measured.count, measured.total, measured.largest, measured.mean) == (2, 240, 5.0, 2.0)
    assert (measured.first, measured.actual - measured.expected) == ((0, 2, 3, 4), 5.0)
    assert measured.share == 2 / 240


def test_floats_next_to_each_other_are_a_matter_of_rounding():
    expected = floats()
    actual = np.nextafter(expected, np.float32(9))
    assert find_cause(expected, actual, None).sentence.startswith("at most 1 unit in the last place apart in 100.00%")
    assert find_cause(expected, expected + np.float32(0.01), None).kind != "float rounding"
    # next to each other across zero: the smallest of either sign, two units apart
    tiny = np.float32(1e-45)
    one, other = np.full((1, 1, 1, 2), tiny), np.array([tiny, -tiny]).reshape(1, 1, 1, 2)
    assert find_cause(one, other, None).kind == "float rounding"


def test_another_scale():
    expected = codes(low=60, high=120)
    actual = np.rint(expected.astype(float) * 1.7 + 4).astype(np.uint8)
    cause = find_cause(expected, actual, 8)
    assert cause.kind == "scale"
    assert "times 1.7, shifted" in cause.sentence


def test_values_that_are_no_numbers():
    actual = floats()
    actual[0, 0, 0, 0] = np.nan
    assert find_cause(floats(), actual, None).kind == "not a number"


@pytest.mark.parametrize("which", ["board", "PC"])
def test_either_side_may_clamp(which):
    free = codes()
    clamped = np.clip(free, 50, 200)
    pair = (free, clamped) if which == "board" else (clamped, free)
    cause = find_cause(*pair, 8)
    assert cause.kind == "saturation"
    assert f"only values that the {which} clamps at 200 and 50 differ" in cause.sentence


def test_the_direction_of_rounding_is_told():
    expected = codes()
    up, both = expected.copy(), expected.copy()
    up[0, :3] += 1
    both[0, :3] += 1
    both[0, 3:] -= 1
    assert "50.00% of the values, up: rounding" in find_cause(expected, up, 8).sentence
    assert "100.00% of the values, up in 50% of those" in find_cause(expected, both, 8).sentence
