import pytest

from benchmarks.board import passes, table

ROW = {
    "network": "lite0", "bits": "8/8", "layers": 62, "equal_native": True, "equal_mips": True, "ratio": 2.0,
    "seconds_mips": 1.5, "bytes": 100, "load_ms": 3.0, "peak_kb": 4.0, "arena_kb": 5.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"equal_mips": None, "seconds_mips": None}, True),
        ({"equal_native": False}, False),
        ({"equal_mips": False}, False),
        ({"ratio": 5.1}, False),
        ({"ratio": 5.1, "bits": "12/8"}, True),
        ({"seconds_mips": 5.1}, False),
    ],
)
def test_bars(change, expected):
    assert passes(ROW | change) is expected


def test_what_was_not_measured_is_a_dash():
    shown = table([ROW, ROW | {"equal_mips": None}])
    assert list(shown.columns[4].cells) == ["yes", "-"]
