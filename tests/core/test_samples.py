import hashlib

import numpy as np
import pytest

from stages.core.errors import UserError
from stages.core.samples import SampleReader, SampleWriter, digest

SAMPLES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    writer = SampleWriter(tmp_path, "images", len(SAMPLES), SAMPLES.shape[1:])
    for name, sample in zip("abc", SAMPLES, strict=True):
        writer.add(f"{name}.png", sample)
    writer.close(["a is grey"])
    return tmp_path


def test_samples_come_back_in_order_and_again(folder):
    reader = SampleReader.open(folder)
    assert len(reader) == 3
    assert reader.shape == (4, 5, 3)
    assert reader.names == ["a.png", "b.png", "c.png"]
    assert reader.warnings == ["a is grey"]
    for _ in range(2):
        np.testing.assert_array_equal(np.stack(list(reader)), SAMPLES)


def test_plain_numpy_reads_the_array(folder):
    stored = np.load(folder / "0.npy", allow_pickle=False)
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, SAMPLES)


def test_a_sample_that_is_a_view_is_written_as_it_looks(tmp_path):
    flipped = SAMPLES[0][:, ::-1, ::-1]
    writer = SampleWriter(tmp_path, "images", 1, flipped.shape)
    writer.add("a.png", flipped)
    writer.close([])
    np.testing.assert_array_equal(np.load(tmp_path / "0.npy")[0], flipped)
    assert SampleReader.open(tmp_path).digests == [digest(flipped.copy())]


def test_digests_are_of_the_bytes(folder):
    expected = [hashlib.sha256(sample.tobytes()).hexdigest()[:16] for sample in SAMPLES]
    assert SampleReader.open(folder).digests == expected
    assert [digest(sample) for sample in SAMPLES] == expected


@pytest.mark.parametrize("name", ["index.json", "0.npy"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        SampleReader.open(folder)
