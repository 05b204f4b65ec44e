"""Dumps, lists beside them and logs that no tool writes."""

import json
from pathlib import Path

import pytest

from stages.check.dump_comparison import compare_dumps
from stages.check.dump_folders import read_dump
from stages.check.versions import check_versions, parse_versions
from stages.core.base.errors import UserError


@pytest.fixture(autouse=True)
def dumps(tmp_path, monkeypatch):
    """A layer's dump on the PC and on the board, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for folder, name in (("pc", "conv_Quantize.bin"), ("board", "conv_Quantize_out.bin")):
        Path(folder).mkdir()
        Path(folder, name).write_bytes(bytes(24))


def compared(log=""):
    return compare_dumps("", read_dump(Path("pc")), read_dump(Path("board")), log, [], [])


ENTRY = {"file": "conv_Quantize.bin", "shape": [1, 2, 3, 4], "bits": 8, "scale": 1, "zero_point": 0}


@pytest.mark.parametrize(
    "entry",
    [
        None, [], ["bits"], "bits", {**ENTRY, "bits": 10**9}, {**ENTRY, "bits": -1}, {**ENTRY, "zero_point": 1e999},
        {**ENTRY, "shape": [1e999]}, {**ENTRY, "shape": None}, {**ENTRY, "channel_scales": ["x"]},
    ],
)  # fmt: skip
def test_a_list_that_is_damaged_is_refused(entry):
    Path("pc/model_node_info.json").write_text(json.dumps({"files": {"conv": entry}}))
    with pytest.raises(UserError, match=r"the entry of 'conv' is damaged") as caught:
        compared()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", ["1,,2", " ", ",", "0,0,0,0", "1" * 5000])
def test_a_log_of_odd_shapes_is_read(shape):
    assert len(compared(f"./D/conv_Quantize.bin--->shape:[{shape}]\n").layers) == 1


@pytest.mark.parametrize(
    "name", ["input_data_shape_1_0_0_0", f"input_data_shape_{'9' * 99}_1_1_1", "input_data_shape_7"]
)
def test_an_input_whose_name_has_odd_sizes_is_compared(name):
    for folder in ("pc", "board"):
        Path(folder, f"{name}.bin").write_bytes(bytes(99))
    assert compared().fed is not None


def test_versions_of_many_digits_are_compared():
    versions = parse_versions(f"venus version: {'9' * 6000}\nmodel version: 1.{'9' * 6000}\n")
    check_versions(versions, Path("console.log"))
