"""Records as Caffe's convert_imageset writes them, encoded here by hand."""

import struct

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import Color, PictureSet, PreprocessConfig
from stages.core.data.arrays import read_array
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.lmdb_records import read_datum
from stages.core.data.sample_files import read_samples, select

INPUT = NetworkInput("x", (1, 3, 2, 4), (1.0, 2.0, 3.0), (2.0, 4.0, 0.5), Color.RGB)
BYTES = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
FLOATS = np.linspace(-2, 2, 24, dtype=np.float32).reshape(3, 2, 4)
KEY = "data.calibration"


def datum(values, encoded=False):
    """Fields 1 to 3: the sizes; 4: bytes; 5: a label; 6: floats; 7: whether it is compressed."""
    sizes = b"".join(bytes([number << 3, size]) for number, size in enumerate(values.shape, 1))
    if values.dtype == np.uint8:
        content = bytes([4 << 3 | 2, values.size]) + values.tobytes()
    else:
        content = b"".join(bytes([6 << 3 | 5]) + struct.pack("<f", value) for value in values.ravel())
    return sizes + content + bytes([5 << 3, 7]) + (bytes([7 << 3, 1]) if encoded else b"")


def test_records_of_bytes_and_of_floats():
    np.testing.assert_array_equal(read_datum(datum(BYTES)), BYTES)
    np.testing.assert_array_equal(read_datum(datum(FLOATS)), FLOATS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xff\xff", "no Datum"),
        (datum(BYTES, encoded=True), "a compressed picture"),
        (datum(BYTES)[2:], r"says \[0, 2, 4\], and it has 24 values"),
        (datum(BYTES).replace(bytes([1 << 3, 3]), bytes([1 << 3, 4])), r"says \[4, 2, 4\], and it has 24 values"),
    ],
)
def test_what_is_no_record_is_refused(content, message):
    with pytest.raises(UserError, match=f"data: a.datum cannot be read: .*{message}"):
        read_array(SourceFile("a.datum", lambda: content), ".datum", INPUT, "data")


def test_a_record_lies_channels_first():
    found = read_array(SourceFile("a.datum", lambda: datum(BYTES)), ".datum", INPUT, "data")
    np.testing.assert_array_equal(found, np.moveaxis(BYTES, 0, -1))


def test_preprocessed_arrays_are_what_the_network_is_fed(tmp_path):
    np.save(tmp_path / "a.npy", FLOATS)
    np.savez(tmp_path / "b.npz", x=FLOATS[None])
    FLOATS.tofile(tmp_path / "c.bin")
    chosen = select(PictureSet(source=f"file:{tmp_path}", preprocessed=True), [INPUT], KEY)
    for read in read_samples(chosen, [INPUT], PreprocessConfig(), KEY):
        np.testing.assert_allclose(feeds(read.sample, [INPUT])["x"], FLOATS[None], atol=1e-6)
    assert len(chosen) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (BYTES, "holds uint8: preprocessed values are float32"),
        (np.moveaxis(FLOATS, 0, -1), r"has shape \[2, 4, 3\]; preprocessed, input 'x' takes \[1, 3, 2, 4\]"),
        (np.full_like(FLOATS, np.inf), "infinite or not a number"),
    ],
)
def test_what_the_network_would_not_take_is_refused(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values)
    chosen = select(PictureSet(source=f"file:{tmp_path}", preprocessed=True), [INPUT], KEY)
    with pytest.raises(UserError, match=message):
        list(read_samples(chosen, [INPUT], PreprocessConfig(), KEY))


def test_a_picture_is_not_preprocessed(tmp_path):
    (tmp_path / "a.png").touch()
    chosen = select(PictureSet(source=f"file:{tmp_path}", preprocessed=True), [INPUT], KEY)
    with pytest.raises(UserError, match=r"a\.png is a picture, and data\.calibration\.preprocessed=true"):
        list(read_samples(chosen, [INPUT], PreprocessConfig(), KEY))


def test_a_database_is_a_set_of_samples(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(tmp_path / "set"), map_size=2**20) as database, database.begin(write=True) as writing:
        for index in range(4):
            writing.put(f"{index:08d}".encode(), datum(FLOATS + index))
    chosen = select(PictureSet(source=f"file:{tmp_path / 'set'}", size=2, preprocessed=True), [INPUT], KEY)
    assert [sample.name for sample in chosen] == ["00000000.datum", "00000002.datum"]
    found = [feeds(read.sample, [INPUT])["x"] for read in read_samples(chosen, [INPUT], PreprocessConfig(), KEY)]
    np.testing.assert_allclose(np.stack(found), [FLOATS[None], FLOATS[None] + 2], atol=1e-6)


def test_a_database_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "data.mdb").touch()
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(UserError, match=r'needs the package lmdb: pip install -e "\.\[lmdb\]"'):
        select(PictureSet(source=f"file:{tmp_path}"), [INPUT], KEY)
