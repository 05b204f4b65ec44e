import pytest

from stages.sweep.progress import point_line, watched
from stages.sweep.sweep_state import save_result
from tests.sweep.sweeps import POINTS, failure, made_up


@pytest.mark.parametrize(
    ("point", "line"),
    [
        (POINTS[0], "a4 w8: 0.5 (1.0 s, from the cache)"),
        (POINTS[1], "a8 w8: 0.75 (1.0 s, 2 stages computed)"),
        (failure(0), "a9 w8: failed: no such bits"),
    ],
)
def test_a_point_is_a_line(point, line):
    assert point_line(point, made_up()) == line


def test_points_are_shown_once_each(tmp_path, capsys):
    with watched(made_up(tmp_path), 4):
        for point in POINTS:
            save_result(tmp_path / str(point.number), point)
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["1/4", "2/4", "3/4", "4/4"]
    assert sum("failed" in line for line in lines) == 1
