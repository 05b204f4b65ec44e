import pytest

from stages.core.data.sample_files import in_part, position_of
from stages.init.pictures.split import split


def chosen(names, part):
    return {name for name in names if in_part(name, part)}


@pytest.mark.parametrize(
    ("count", "counts"),
    [(8, (3, 4, 5)), (23, (9, 4, 14)), (24, (10, 4, 10)), (128, (51, 16, 61)), (1000, (64, 16, 920))],
)
def test_sets_are_as_large_as_said(count, counts):
    names = [f"{index}.jpg" for index in range(count)]
    made = split(names)
    assert made.counts == counts
    sets = [chosen(names, part) for part in (made.calibration, made.debug, made.evaluation)]
    assert tuple(map(len, sets)) == counts
    calibration, debug, evaluation = sets
    assert not calibration & evaluation
    assert not calibration & debug
    assert calibration | debug | evaluation == set(names)
    assert (debug <= evaluation) == (count < 24)


def test_few_samples_serve_every_set():
    made = split([f"{index}.jpg" for index in range(7)])
    assert made.shared
    assert (made.calibration, made.debug, made.evaluation) == (None, None, None)
    assert not split([str(index) for index in range(8)]).shared


def test_a_sample_stays_in_its_set_when_others_come():
    names = [f"{index}.jpg" for index in range(50)]
    made = split(names)
    later = [*names, *(f"new{index}.jpg" for index in range(50))]
    assert chosen(names, made.calibration) == chosen(later, made.calibration) & set(names)
    assert made == split(names[::-1])


def test_positions_are_the_digest_s_first_bytes():
    # sha256("abc") begins ba7816bf
    assert position_of("abc") == 0xBA7816BF / 2**32
