"""The error of outputs relative to their own variation; numbers are worked out by hand."""

import math

import numpy as np
import pytest

from stages.core.outputs.output_error import MOST_ERROR, NetworkError, PartError, Variations, fidelity
from stages.core.outputs.output_parts import OutputParts

JOINED = OutputParts(["box", "score"], np.array([0, 1, 2]), np.array([0, 2]), 3)


def pictures(rows):
    return [{"y": np.array(row, np.float32)} for row in rows]


def error_of(expected, actual, parts=None, variations=None):
    error = NetworkError({"y": OutputParts.whole(len(expected[0]))} if parts is None else parts, variations)
    for float_outputs, quantized in zip(pictures(expected), pictures(actual), strict=True):
        error.add(float_outputs, quantized)
    return error


@pytest.mark.parametrize(
    ("error", "expected"), [(0.0, 1.0), (0.0396, 0.98), (0.75, 0.5), (1.0, 0.0), (MOST_ERROR, 0.0)]
)
def test_fidelity_of_an_error(error, expected):
    assert fidelity(error) == pytest.approx(expected)


def test_each_position_varies_about_its_own_mean():
    # the first value deviates by -2, 0, 2, the second never: 8 / (2 values * 2 degrees of freedom) = 2
    error = error_of([[0, 10], [2, 10], [4, 10]], [[1, 10], [3, 10], [5, 10]])
    (part,) = error.parts()
    assert (part.output, part.part, part.values, part.varies) == ("y", "", 6, True)
    assert part.deviation == pytest.approx(math.sqrt(2))
    assert part.error == pytest.approx(math.sqrt(0.5))
    assert error.mean() == error.worst() == pytest.approx(0.25)


def test_what_all_pictures_have_in_common_does_not_hide_an_error():
    """By the cosine these outputs are equal up to 2e-6."""
    error = error_of([[1000, 1], [1000, 3]], [[1000, 3], [1000, 1]])
    # the second value: variance (1 + 1) / 1, over both values 1; squared error (4 + 4) / 4 = 2
    assert error.worst() == pytest.approx(2)
    assert fidelity(error.worst()) == 0


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        (12, 0),  # squared errors 9 + 4 + 1 over 3, variance 1
        (9, 0),
        (10, math.sqrt(1 / 3)),  # the mean of the very same pictures: 2/3
    ],
)
def test_one_number_that_is_constant_after_quantizing_has_no_fidelity(constant, expected):
    error = error_of([[9], [10], [11]], [[constant]] * 3)
    assert fidelity(error.worst()) == pytest.approx(expected)


def test_a_small_part_that_is_dead_is_the_worst():
    expected = [[100, 200, 0.1], [200, 100, 0.3]]
    error = error_of(expected, [[100, 200, 0], [200, 100, 0]], {"y": JOINED})
    box, score = error.parts()
    assert (box.part, box.values, box.relative) == ("box", 4, 0)
    assert (score.part, score.values) == ("score", 2)
    assert score.relative == pytest.approx((0.01 + 0.09) / 2 / 0.02)  # variance 2 * 0.1**2
    assert error.worst() == score.relative
    assert error.mean() == pytest.approx(score.relative / 2)


def test_one_picture_varies_about_the_mean_of_its_values():
    error = error_of([[1, 2, 3]], [[1, 2, 4]])
    assert error.worst() == pytest.approx((1 / 3) / (2 / 3))


@pytest.mark.parametrize("known", [True, False])
def test_an_output_of_varying_size_varies_about_the_mean_of_all_values(known):
    # all float values: 1, 3, 1, 3, 2: squared deviations 1, 1, 1, 1, 0 of 5
    expected, actual = [[1, 3], [1, 3, 2]], [[1, 4], [1, 3, 3]]
    variations = Variations.of({}, ((each, {}) for each in pictures(expected))) if known else None
    error = error_of(expected, actual, {}, variations)
    (part,) = error.parts()
    assert (part.part, part.values) == ("", 5)
    assert part.relative == pytest.approx((2 / 5) / (4 / 5))


def test_what_never_varies_is_measured_by_its_size():
    error = error_of([[3, 4]] * 3, [[3, 5]] * 3)
    (part,) = error.parts()
    assert not part.varies
    assert part.deviation == pytest.approx(math.sqrt(12.5))
    assert part.relative == pytest.approx(0.5 / 12.5)


def test_rounding_of_float32_is_no_variation():
    value = np.float32(1000)
    (part,) = error_of([[value], [np.nextafter(value, np.float32(2000))]], [[value], [value]]).parts()
    assert not part.varies
    assert part.relative < 1e-10


@pytest.mark.parametrize(("actual", "expected"), [(0.0, 0.0), (1e-3, MOST_ERROR)])
def test_zeros_tolerate_no_error(actual, expected):
    assert error_of([[0], [0]], [[actual], [0]]).worst() == expected


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_value_that_is_no_number_is_the_most_error(value):
    error = error_of([[1, 2], [2, 1]], [[1, value], [2, 1]])
    assert error.worst() == MOST_ERROR
    assert fidelity(error.worst()) == 0


def test_a_known_variation_is_what_errors_are_measured_by():
    known = ((each, {}) for each in pictures([[0], [4]]))
    variations = Variations.of({"y": OutputParts.whole(1)}, known)  # variance 8
    assert error_of([[2]], [[4]], variations=variations).worst() == pytest.approx(0.5)


def test_variances_follow_what_is_added():
    variations = Variations({"y": OutputParts.whole(1)})
    for values, expected in (([[0], [4]], 8), ([[2]], 4)):
        for outputs in pictures(values):
            variations.add(outputs)
        (variance,), (varies,) = variations.variances()["y"]
        assert (variance, varies) == (pytest.approx(expected), True)


def test_large_values_do_not_cancel():
    """Deviations of 1 about 1e4: sums of squares in float32 lose them."""
    rows = 1e4 + np.array([[-1], [0], [1]])
    (part,) = error_of(rows, rows + 0.5).parts()
    assert part.deviation == pytest.approx(1)
    assert part.relative == pytest.approx(0.25)


def test_errors_against_a_formula_of_all_pictures_at_once():
    rng = np.random.default_rng(0)
    expected = rng.normal(3, 2, (7, 5)).astype(np.float32)
    actual = expected + rng.normal(0, 0.5, (7, 5)).astype(np.float32)
    squared = ((actual - expected).astype(np.float64) ** 2).mean()
    assert error_of(expected, actual).worst() == pytest.approx(
        squared / expected.astype(np.float64).var(axis=0, ddof=1).mean()
    )


def test_several_outputs_count_by_their_parts():
    parts = {"y": JOINED, "z": OutputParts.whole(1)}
    error = NetworkError(parts)
    for sign in (-1, 1):
        y, z = np.full(3, sign, np.float32), np.full(1, sign, np.float32)
        error.add({"y": y, "z": z}, {"y": y, "z": z / 2})
    # of z: variance 2, squared error 1/4
    assert [(part.output, part.part) for part in error.parts()] == [("y", "box"), ("y", "score"), ("z", "")]
    assert (error.mean(), error.worst()) == (pytest.approx(0.125 / 3), pytest.approx(0.125))


def test_without_float_outputs_there_is_no_error():
    error = NetworkError({})
    error.add({}, {})
    assert (error.parts(), error.mean(), error.worst()) == ([], 0, 0)


def test_the_relative_error_of_a_part_is_bounded():
    assert PartError("y", "", 1, deviation=2, error=1).relative == 0.25
    assert PartError("y", "", 1, deviation=1e-9, error=1).relative == MOST_ERROR
    assert PartError("y", "", 1, deviation=0, error=0).relative == 0
