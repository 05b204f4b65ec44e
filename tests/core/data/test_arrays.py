import io
import re

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import Color
from stages.core.data.arrays import read_array
from stages.core.data.inputs import NetworkInput

PICTURE = NetworkInput("images", (1, 3, 4, 6), (0.0,) * 3, (1.0,) * 3, Color.RGB)
STATE = NetworkInput("state", (2, 1, 5), (0.0,), (1.0,), Color.RGB)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
NUMBERS = np.random.default_rng(1).standard_normal((2, 1, 5)).astype(np.float32)


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def npz(**values):
    file = io.BytesIO()
    np.savez(file, **values)
    return file.getvalue()


def read(content, suffix, entry):
    return read_array(SourceFile(f"a{suffix}", lambda: content), suffix, entry, "data.debug")


FOURTH = np.pad(PIXELS, ((0, 0), (0, 0), (0, 1)), constant_values=99)


@pytest.mark.parametrize(
    ("content", "suffix", "dtype"),
    [
        (npy(PIXELS), ".npy", np.uint8),
        (npy(PIXELS[None]), ".npy", np.uint8),
        (npy(FOURTH), ".npy", np.uint8),
        (npy(PIXELS.astype(np.float64)), ".npy", np.float32),
        (npz(images=PIXELS, other=NUMBERS), ".npz", np.uint8),
        (PIXELS.tobytes(), ".bin", np.uint8),
        (FOURTH.tobytes(), ".bin", np.uint8),
        (PIXELS.astype("<f4").tobytes(), ".bin", np.float32),
        (FOURTH.astype("<f4").tobytes(), ".bin", np.float32),
    ],
)
def test_pixels_of_a_picture(content, suffix, dtype):
    found = read(content, suffix, PICTURE)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (npy(NUMBERS), ".npy"),
        (npy(NUMBERS[None]), ".npy"),
        (npy(NUMBERS.astype(np.float64)), ".npy"),
        (npz(state=NUMBERS), ".npz"),
        (NUMBERS.tobytes(), ".bin"),
    ],
)
def test_numbers_of_a_tensor(content, suffix):
    found = read(content, suffix, STATE)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, NUMBERS)


def test_the_1_in_front_of_a_tensor_may_be_missing():
    entry = NetworkInput("x", (1, 10), (0.0,), (1.0,), Color.RGB)
    np.testing.assert_array_equal(read(npy(NUMBERS.ravel()), ".npy", entry), NUMBERS.reshape(1, 10))


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        (b"123", ".bin", "a.bin has 3 bytes; input 'state' takes [2, 1, 5]: 10 bytes (uint8) or 40 (float32)"),
        (b"", ".bin", "a.bin has 0 bytes"),
        (b"123", ".npy", "a.npy cannot be read"),
        (b"123", ".npz", "a.npz cannot be read"),
        (b"", ".npy", "a.npy cannot be read"),
        (npy(NUMBERS)[:-4], ".npy", "a.npy cannot be read"),
        (npz(states=NUMBERS), ".npz", "a.npz has no entry for input 'state'; did you mean 'states'?"),
        (npy(NUMBERS.reshape(2, 5)), ".npy", "a.npy has shape [2, 5]; input 'state' takes [2, 1, 5]"),
        (npy(np.full((2, 1, 5), np.nan)), ".npy", "a.npy holds values that are infinite or not a number"),
        (npy(np.full((2, 1, 5), 1e300)), ".npy", "a.npy holds values that are infinite"),
        (npy(np.full((2, 1, 5), "text")), ".npy", "a.npy holds <U4: give uint8 or float32"),
        (npy(np.full((2, 1, 5), None)), ".npy", "a.npy cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(content, suffix, message):
    with pytest.raises(UserError, match="^data.debug: " + re.escape(message)):
        read(content, suffix, STATE)


def test_a_picture_input_is_nhwc():
    with pytest.raises(UserError, match=re.escape("has shape [3, 4, 6]; input 'images' takes [4, 6, 3] (NHWC)")):
        read(npy(PIXELS.transpose(2, 0, 1)), ".npy", PICTURE)
    with pytest.raises(UserError, match=re.escape("(NHWC): save it with the channels last, np.moveaxis(array, -3")):
        read(npy(PIXELS.transpose(2, 0, 1)[None]), ".npy", PICTURE)
