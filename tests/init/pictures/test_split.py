import pytest

from stages.calibset.inspect import warnings_for
from stages.core.data.sample_files import in_part, position_of
from stages.init.pictures.split import split


def chosen(names, part):
    return {name for name in names if in_part(name, part)}


@pytest.mark.parametrize(
    ("count", "counts"),
    [
        (8, (4, 4, 4)),
        (19, (9, 4, 10)),
        (20, (10, 4, 10)),
        (23, (10, 4, 13)),
        (24, (10, 4, 10)),
        (128, (51, 16, 61)),
        (1000, (64, 16, 920)),
    ],
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


@pytest.mark.parametrize(("count", "few"), [(7, True), (19, True), (20, False), (1000, False)])
def test_it_knows_what_calibset_will_call_few(count, few):
    made = split([f"{index}.jpg" for index in range(count)])
    assert made.few == few == bool(warnings_for(made.counts[0], {}))


def test_a_sample_stays_in_its_set_when_others_come():
    names = [f"{index}.jpg" for index in range(50)]
    made = split(names)
    later = [*names, *(f"new{index}.jpg" for index in range(50))]
    assert chosen(names, made.calibration) == chosen(later, made.calibration) & set(names)
    assert made == split(names[::-1])


def test_positions_are_the_digest_s_first_bytes():
    # sha256("abc") begins ba7816bf
    assert position_of("abc") == 0xBA7816BF / 2**32
