import pytest

from benchmarks.accuracy import KEYS, complete, table


def test_a_row_has_every_key() -> None:
    row = complete({"tool": "x", "network": "lite0", "top1": 3})
    required = "network tool weight_bits feature_bits top1 float_top1 agreement cosine map float_map count seconds"
    assert list(row)[:12] == required.split()
    assert list(row) == KEYS
    assert (row["tool"], row["top1"], row["map"]) == ("x", 3, None)
    assert complete({"error": "why"})["error"] == "why"


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValueError, match="top2"):
        complete({"top2": 1})


def test_the_table_leaves_out_what_applies_to_none() -> None:
    shown = table([complete({"network": "lite0", "tool": "a", "top1": 3}), complete({"network": "lite0", "tool": "b"})])
    assert [column.header for column in shown.columns] == ["network", "tool", "top1"]
    assert list(shown.columns[2].cells) == ["3", "-"]
