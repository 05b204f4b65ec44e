import numpy as np
import pytest

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.observed_parts import PartObserver
from stages.compare.gather.picture_sets import DebugPicture
from stages.core.outputs.joints import Joint, Part

JOINT = Joint(
    "y", "join",
    [
        Part("large", np.array([0, 2]), "a", np.array([1, 0]), ("join",)),
        Part("small", np.array([1, 3]), "b", np.array([0, 1]), ("join",)),
    ],
    {"join": ["join"]}, is_output=True,
)  # fmt: skip


def observed(*pictures, joint=JOINT):
    observer = PartObserver([joint])
    for index, (expected, actual) in enumerate(pictures):
        sides = [{name: np.array(values, np.float32) for name, values in side.items()} for side in (expected, actual)]
        observer.add(Comparison(index, DebugPicture("p", {}, {}), *sides, {}))
    (found,) = observer.observed()
    return found.parts


def measured(part):
    """All numbers of a part."""
    return part.values, part.low, part.high, part.deviation, part.error, part.before, part.float_values


def test_hand_computed():
    large, small = observed(
        ({"y": [[10, 1], [30, 3]]}, {"y": [[11, 0], [31, 0]], "a": [30, 10], "b": [1.5, 3]}),
        ({"y": [[20, 2], [20, 2]]}, {"y": [[20, 0], [20, 4]], "a": [20, 20], "b": [2, 2]}),
    )
    assert (large.values, large.low, large.high) == (4, 10, 30)
    assert large.deviation == pytest.approx(np.std([10, 30, 20, 20]))
    assert large.error == pytest.approx(np.sqrt(2 / 4))
    assert large.before == 0.0
    assert (large.float_values, large.quantized_values) == (3, 3)
    assert small.error == pytest.approx(np.sqrt((1 + 9 + 4 + 4) / 4))
    assert small.before == pytest.approx(np.sqrt(0.25 / 4))
    assert small.relative_error == pytest.approx(small.error / np.sqrt(0.5))
    assert small.relative_before == pytest.approx(small.before / np.sqrt(0.5))
    assert (small.float_values, small.quantized_values, small.before_values) == (3, 2, 3)


def test_an_offset_does_not_hide_a_part():
    """1000, 1001, ... all quantized to 1002: by its length the error is small, by its own deviation it is all."""
    values = [1000.0, 1001.0, 1002.0, 1003.0, 1004.0]
    joint = Joint("y", "n", [Part("", np.arange(5))], {"n": ["n"]}, is_output=True)
    (part,) = observed(({"y": values}, {"y": [1002.0] * 5}), joint=joint)
    assert part.relative_error == pytest.approx(1.0)
    assert part.before is None


def test_a_constant_part_has_nothing_to_lose():
    joint = Joint("y", "n", [Part("", np.arange(3))], {"n": ["n"]}, is_output=True)
    (part,) = observed(({"y": [0.1, 0.1, 0.1]}, {"y": [0.0, 0.0, 0.0]}), joint=joint)
    assert (part.deviation, part.relative_error) == (0.0, 0.0)


def test_a_source_that_is_not_known_gives_no_error_before():
    large, _ = observed(({"y": [[10, 1], [30, 3]]}, {"y": [[10, 1], [30, 3]], "a": [30, 10]}))
    assert (large.before, large.before_values) == (None, 0)


def test_pictures_on_which_the_quantized_tensor_is_not_finite_tell_nothing():
    sound = ({"y": [[10, 1], [30, 3]]}, {"y": [[11, 0], [31, 0]], "a": [30, 10], "b": [1.5, 3]})
    broken = ({"y": [[10, 1], [30, 3]]}, {"y": [[np.nan, 0], [31, 0]], "a": [30, 10], "b": [1.5, 3]})
    both, alone = observed(sound, broken), observed(sound)
    assert [measured(part) for part in both] == [measured(part) for part in alone]


def test_sources_that_are_not_finite_give_no_error_before():
    (large, _) = observed(({"y": [[10, 1], [30, 3]]}, {"y": [[11, 0], [31, 0]], "a": [np.inf, 10], "b": [1.5, 3]}))
    assert large.before is None
