"""Files that say the same value, each in its spelling."""

import json

import pytest

from stages.init.vendor.config_reader import read_vendor_config


def notes(folder, first, second):
    for name, content in (("a.json", first), ("b.cfg", second)):
        (folder / name).write_text(json.dumps(content))
    return read_vendor_config([folder / "a.json", folder / "b.cfg"]).notes


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("MEAN", [[127, 127, 127]], [127, 127, 127]),
        ("MEAN", [127.0, 126.5, 0], ["127", "126.50", 0.0]),
        ("MEAN", [0, 0, 0], 0),
        ("NORMAL", "58.4,57.1,57.4", [58.4, 57.1, 57.4]),
        ("COLOR", ["RGB"], "RGB"),
        ("COLOR", ["RGB", "RGB"], "RGB"),
        ("INPUT_SHAPE", [[1, 3, 224, 224]], [1, 3, 224, 224]),
        ("OUTPUT", "a, b", ["a", "b"]),
        ("QUANT_DATASET_SIZE", 20, "20"),
        ("QUANT_DATASET_PATH", "./pictures/", "pictures/"),
        ("WEIGHT_FAKE_QUANT", True, "on"),
    ],
)
def test_the_same_value_is_not_left_out(tmp_path, key, one, other):
    assert notes(tmp_path, {key: one}, {key: other}) == []
    assert notes(tmp_path, {key: other}, {key: one}) == []


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("MEAN", [127, 127, 127], [127, 127, 128]),
        ("MEAN", [[127, 127, 127], [0, 0, 0]], [127, 127, 127]),
        ("INPUT_SHAPE", [[1, 3, 8, 8], [1, 3, 8, 8]], [1, 3, 8, 8]),  # two inputs, and one
        ("OUTPUT", ["a", "b"], ["b", "a"]),
        ("WEIGHT_FAKE_QUANT", True, False),
    ],
)
def test_another_value_is_left_out_and_said(tmp_path, key, one, other):
    (note,) = notes(tmp_path, {key: one}, {key: other})
    assert note == f"b.cfg: {key}={other} is left out: a.json: {key} says {one}"
