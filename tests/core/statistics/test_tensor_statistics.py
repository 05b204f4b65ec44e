import zipfile

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.statistics.tensor_statistics import HISTOGRAM_BINS, TensorStatistics, load_statistics, save_statistics


def statistics(channels, seed=0):
    rng = np.random.default_rng(seed)
    return TensorStatistics(
        low=-0.625,
        high=float(np.float32(3.3)),
        histogram=rng.integers(0, 2**40, HISTOGRAM_BINS),
        exponent=-9,
        first=-320,
        channel_low=rng.normal(size=channels).astype(np.float32),
        channel_high=rng.normal(size=channels).astype(np.float32),
        channel_mean=rng.normal(size=channels),
    )


MANY = {"images": statistics(3, seed=1), "a/Relu": statistics(1, seed=2), "logits": statistics(10, seed=3)}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "statistics.npz"
    save_statistics(path, MANY, pictures=7)
    return path


def test_statistics_come_back_exactly_and_in_order(stored):
    loaded = load_statistics(stored)
    assert list(loaded) == list(MANY)
    for name, expected in MANY.items():
        found = loaded[name]
        assert (found.low, found.high, found.exponent, found.first) == (-0.625, expected.high, -9, -320)
        for field in ("histogram", "channel_low", "channel_high", "channel_mean"):
            array = getattr(found, field)
            assert array.dtype == getattr(expected, field).dtype
            np.testing.assert_array_equal(array, getattr(expected, field))


def test_a_network_without_tensors_is_stored_too(tmp_path):
    save_statistics(tmp_path / "a.npz", {}, pictures=0)
    assert load_statistics(tmp_path / "a.npz") == {}


def test_plain_numpy_reads_how_many_pictures_there_were(stored):
    with np.load(stored, allow_pickle=False) as arrays:
        assert int(arrays["pictures"]) == 7
        assert arrays["channels"].tolist() == [3, 1, 10]


def test_the_same_statistics_give_the_same_bytes(stored, tmp_path):
    save_statistics(tmp_path / "again.npz", load_statistics(stored), pictures=7)
    assert (tmp_path / "again.npz").read_bytes() == stored.read_bytes()


def test_edges_of_the_bins():
    found = statistics(1)
    assert found.width == 1 / 512
    assert len(found.edges) == HISTOGRAM_BINS + 1
    assert found.edges[0] == -0.625
    assert found.edges[320] == 0.0
    assert found.edges[-1] == (HISTOGRAM_BINS - 320) / 512


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"statistics\.npz is missing"):
        load_statistics(tmp_path / "statistics.npz")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)


def break_compression(path):
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("histogram.npy").header_offset
    content = bytearray(path.read_bytes())
    name, extra = (int.from_bytes(content[start + at : start + at + 2], "little") for at in (26, 28))
    content[start + 30 + name + extra] = 0xFF  # a block type that deflate does not have
    path.write_bytes(content)


def encrypt(path):
    """Set the bit that asks for a password, in the archive's list of its entries."""
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("no statistics")


def lone_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def other_archive(path):
    np.savez(path, channels=np.zeros(1, dtype=np.int64))


def no_characters(path, letters=4):
    """Names whose code points Unicode has not."""
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["tensors"] = arrays["tensors"].astype(f"<U{letters}")
    arrays["tensors"].view(np.uint32)[:] = 2**31
    np.savez(path, **arrays)


def no_character(path):
    no_characters(path, 1)


DAMAGES = [cut, flip, break_compression, encrypt, empty, text, lone_array, other_archive, no_characters, no_character]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_of_another_kind_is_refused_in_one_line(stored, damage):
    damage(stored)
    with pytest.raises(UserError, match=r"statistics\.npz is damaged \(.+\): delete it") as caught:
        load_statistics(stored)
    assert "\n" not in str(caught.value)
