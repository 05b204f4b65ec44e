import pytest

from stages.core.statistics.shares import likely_share, surely_more


@pytest.mark.parametrize(
    ("lost", "count", "surely"),
    [
        (1, 1, False),  # 0.1
        (2, 2, True),  # 0.01
        (1, 5, False),
        (2, 5, False),  # 0.0815 by hand: 1 - 0.9**5 - 5 * 0.1 * 0.9**4
        (3, 5, True),
        (4, 20, False),  # 0.133
        (5, 20, True),  # 0.0432
        (0, 0, False),
        (15, 100, False),
        (20, 100, True),
    ],
)
def test_more_than_tolerated_and_not_by_chance(lost, count, surely):
    assert surely_more(lost, count, 0.1) == surely


@pytest.mark.parametrize(
    ("lost", "count", "tolerated", "surely"),
    [
        (1, 1, 0.04, True),
        (1, 1, 0.05, False),  # exactly 0.05 is chance
        (2, 2, 0.2, True),  # 0.04
        (2, 2, 0.3, False),  # 0.09
        (101, 1000, 0.1, False),
        (101, 1001, 0.1, True),  # of more than a thousand none is chance
        (100, 1001, 0.1, False),
    ],
)
def test_how_many_are_tolerated(lost, count, tolerated, surely):
    assert surely_more(lost, count, tolerated) == surely


def test_a_share_of_few_is_uncertain():
    """By hand: 17 of 20."""
    assert likely_share(17, 20) == pytest.approx((0.640, 0.948), abs=1e-3)
    assert likely_share(0, 10) == pytest.approx((0.0, 0.278), abs=1e-3)
    assert likely_share(10, 10) == pytest.approx((0.722, 1.0), abs=1e-3)
