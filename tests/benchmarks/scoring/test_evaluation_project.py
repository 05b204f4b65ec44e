import pytest

from benchmarks.scoring.evaluation import TASKS
from benchmarks.scoring.evaluation_project import split
from stages.core.base.errors import UserError


def test_every_eighth_calibrates() -> None:
    calibration, evaluation = split(range(20), 0, 8)
    assert calibration == [0, 8, 16]
    assert evaluation == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19]


@pytest.mark.parametrize(("offset", "counts"), [(0, (63, 437)), (3, (63, 437)), (4, (62, 438))])
def test_counts_of_the_real_set(offset: int, counts: tuple[int, int]) -> None:
    calibration, evaluation = split(range(500), offset, TASKS["lite0"].period)
    assert (len(calibration), len(evaluation)) == counts


def test_a_detector_swaps_halves() -> None:
    assert split("abcde", 0, TASKS["yolox"].period) == (["a", "c", "e"], ["b", "d"])
    assert split("abcde", 1, TASKS["yolox"].period) == (["b", "d"], ["a", "c", "e"])


@pytest.mark.parametrize("offset", [-1, 2])
def test_other_offsets_are_refused(offset: int) -> None:
    with pytest.raises(UserError, match=rf"--offset {offset}: must be 0 to 1"):
        split("abcde", offset, 2)
