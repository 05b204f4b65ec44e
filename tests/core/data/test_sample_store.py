import hashlib
import json

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.data.sample_store import (
    SampleReader,
    SampleWriter,
    correction_samples,
    digest,
    stored_sets,
    validation_samples,
)

SAMPLES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
STATES = np.random.default_rng(1).standard_normal((3, 1, 2, 7)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    writer = SampleWriter(tmp_path, ["images"], len(SAMPLES))
    for name, sample in zip("abc", SAMPLES, strict=True):
        writer.add(f"{name}.png", {"images": sample})
    writer.close(["a is grey"])
    return tmp_path


@pytest.fixture
def several(tmp_path):
    """A set of two inputs: pictures and states."""
    writer = SampleWriter(tmp_path, ["images", "state"], len(SAMPLES))
    for name, sample, state in zip("abc", SAMPLES, STATES, strict=True):
        writer.add(name, {"state": state, "images": sample})
    writer.close([])
    return tmp_path


def images(reader):
    return np.stack([sample["images"] for sample in reader])


def test_samples_come_back_in_order_and_again(folder):
    reader = SampleReader.open(folder)
    assert len(reader) == 3
    assert reader.arrays["images"].shape == (4, 5, 3)
    assert reader.names == ["a.png", "b.png", "c.png"]
    assert reader.warnings == ["a is grey"]
    for _ in range(2):
        np.testing.assert_array_equal(images(reader), SAMPLES)


def test_plain_numpy_reads_the_arrays(several):
    np.testing.assert_array_equal(np.load(several / "0.npy", allow_pickle=False), SAMPLES)
    states = np.load(several / "1.npy", allow_pickle=False)
    assert states.dtype == np.float32
    np.testing.assert_array_equal(states, STATES)


def test_every_input_has_its_own_shape_and_type(several):
    reader = SampleReader.open(several).subset([2, 0])
    assert {name: (array.shape, array.dtype) for name, array in reader.arrays.items()} == {
        "images": ((4, 5, 3), np.uint8), "state": ((1, 2, 7), np.float32),
    }  # fmt: skip
    for sample, index in zip(reader, (2, 0), strict=True):
        assert list(sample) == ["images", "state"]
        np.testing.assert_array_equal(sample["images"], SAMPLES[index])
        np.testing.assert_array_equal(sample["state"], STATES[index])
    np.testing.assert_array_equal(reader[1]["state"], STATES[0])


def test_a_digest_is_of_all_inputs_in_order(several):
    expected = [
        hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest()[:16] for a, b in zip(SAMPLES, STATES, strict=True)
    ]
    assert SampleReader.open(several).digests == expected


def test_a_sample_that_is_a_view_is_written_as_it_looks(tmp_path):
    flipped = SAMPLES[0][:, ::-1, ::-1]
    writer = SampleWriter(tmp_path, ["images"], 1)
    writer.add("a.png", {"images": flipped})
    writer.close([])
    np.testing.assert_array_equal(np.load(tmp_path / "0.npy")[0], flipped)
    assert SampleReader.open(tmp_path).digests == [digest({"images": flipped.copy()})]


def test_digests_are_of_the_bytes(folder):
    expected = [hashlib.sha256(sample.tobytes()).hexdigest()[:16] for sample in SAMPLES]
    assert SampleReader.open(folder).digests == expected
    assert [digest({"images": sample}) for sample in SAMPLES] == expected


@pytest.mark.parametrize("name", ["index.json", "0.npy"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        SampleReader.open(folder)


# --- one sample, some samples


def test_single_samples_are_read_by_index(folder):
    reader = SampleReader.open(folder)
    for index in (2, 0, 1, -1):
        np.testing.assert_array_equal(reader[index]["images"], SAMPLES[index])
    with pytest.raises(IndexError):
        reader[3]


def test_a_subset_is_read_like_a_set_of_its_own(folder):
    reader = SampleReader.open(folder).subset([2, 0])
    assert (len(reader), reader.names) == (2, ["c.png", "a.png"])
    assert reader.digests == [digest({"images": SAMPLES[index]}) for index in (2, 0)]
    for _ in range(2):
        np.testing.assert_array_equal(images(reader), SAMPLES[[2, 0]])
    np.testing.assert_array_equal(reader[1]["images"], SAMPLES[0])
    np.testing.assert_array_equal(reader.subset([1])[0]["images"], SAMPLES[0])


# --- correction and validation


def stored(folder, *values):
    """A set of 1x1 grey pictures of these values, named after them."""
    folder.mkdir()
    writer = SampleWriter(folder, ["images"], len(values))
    for value in values:
        writer.add(f"{value}.png", {"images": np.full((1, 1, 1), value, dtype=np.uint8)})
    writer.close([])


def values(samples):
    found = [int(sample["images"].item()) for sample in samples]
    assert samples.names == [f"{value}.png" for value in found]
    assert len(samples) == len(found)
    return found


@pytest.mark.parametrize(
    ("count", "correction", "validation"),
    [
        (1, [0], [0]),
        (2, [0], [1]),
        (4, [0, 1, 2], [3]),
        (5, [0, 1, 2, 3], [4]),
        (9, [0, 1, 2, 3, 5, 6, 7, 8], [4]),
        (13, [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12], [4, 9]),
    ],
)
def test_both_sets_come_out_of_the_calibration_set(tmp_path, count, correction, validation):
    stored(tmp_path / "calibration", *range(count))
    assert values(correction_samples(tmp_path)) == correction
    assert values(validation_samples(tmp_path)) == validation
    assert list(stored_sets(tmp_path)) == ["calibration"]


def test_sets_of_their_own_take_precedence(tmp_path):
    stored(tmp_path / "calibration", *range(6))
    stored(tmp_path / "correction", 100, 101)
    assert values(correction_samples(tmp_path)) == [100, 101]
    assert values(validation_samples(tmp_path)) == [4]
    stored(tmp_path / "validation", 200)
    assert values(validation_samples(tmp_path)) == [200]
    assert {name: values(samples) for name, samples in stored_sets(tmp_path).items()} == {
        "calibration": [0, 1, 2, 3, 4, 5], "correction": [100, 101], "validation": [200],
    }  # fmt: skip


def test_nothing_is_held_out_where_other_pictures_validate(tmp_path):
    stored(tmp_path / "calibration", *range(6))
    stored(tmp_path / "validation", 200)
    assert values(correction_samples(tmp_path)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("key", "value"), [("inputs", {}), ("inputs", []), ("names", [1]), ("digests", [])])
def test_an_index_that_calibset_does_not_write_is_damaged(folder, key, value):
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {key: value}))
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        SampleReader.open(folder)
