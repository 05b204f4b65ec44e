"""When a reading is told from chance. Values are written down here; their bytes are struct's."""

import struct

import numpy as np
import pytest

from stages.check.checked_layer import TensorForm
from stages.check.readings import best_match


def names(match):
    return [step.name for step in match.board.steps + match.pc.steps]


def floats(*values: float, order: str = "<") -> bytes:
    return struct.pack(f"{order}{len(values)}f", *values)


@pytest.mark.parametrize(
    ("pc", "board"),
    [
        ((-0.430484, -3.953, -2.325, -0.4379), (-1.77319, -1.518, -1.887, -1.827)),
        ((0.252162, -1.014, 1.686, 1.052, 0.6866), (-0.240475, -1.181, 1.899, 1.115, 0.5376)),
        ((0.0, 0.0, 0.5, 0.0), (0.0, 0.25, 0.0, 0.0)),
    ],
)
def test_floats_that_differ_are_read_as_they_are(pc, board):
    match = best_match(floats(*pc), floats(*board), TensorForm((1, 1, 1, len(pc)), None))
    assert (match.equal, names(match)) == (False, [])
    np.testing.assert_array_equal(match.expected.ravel(), np.float32(pc))


def test_two_floats_of_another_byte_order_are_told():
    match = best_match(floats(0.25, -3.5), floats(0.25, -3.5, order=">"), TensorForm((1, 1, 1, 2), None))
    assert (match.equal, names(match)) == (True, ["big-endian float32"])


@pytest.mark.parametrize(
    ("pc", "board", "shape"),
    [
        ([128] * 64, [0] * 64, (1, 4, 4, 4)),  # signed codes of a layer that holds 0 alone, or one that did not run
        ([128, 131], [0, 3], (1, 1, 1, 2)),
        ([9, 9, 200], [200, 9, 9], (1, 1, 1, 3)),  # three classes are no colours
    ],
)
def test_few_codes_that_fit_another_reading_are_chance(pc, board, shape):
    match = best_match(bytes(pc), bytes(board), TensorForm(shape, 8))
    assert (match.equal, names(match)) == (False, [])


def test_many_codes_are_no_chance():
    codes = np.random.default_rng(0).integers(0, 2, 64) * 5
    match = best_match(bytes(codes.tolist()), bytes(((codes - 128) % 256).tolist()), TensorForm((1, 4, 4, 4), 8))
    assert (match.equal, names(match)) == (True, ["signed codes"])


def test_a_reading_that_leaves_a_few_values_different_needs_many_that_agree():
    codes = np.random.default_rng(1).integers(0, 256, 48)
    signed = (codes - 128) % 256
    signed[:2] = codes[:2]
    match = best_match(bytes(codes.tolist()), bytes(signed.tolist()), TensorForm((1, 4, 4, 3), 8))
    assert (match.equal, names(match)) == (False, ["signed codes"])
    match = best_match(bytes(codes[:9].tolist()), bytes(signed[:9].tolist()), TensorForm((1, 1, 1, 9), 8))
    assert (match.equal, names(match)) == (False, [])


def test_bytes_are_not_read_as_signed_codes_of_12_bits():
    codes = struct.pack("<4H", 100, 900, 1700, 2500)
    match = best_match(codes, bytes([7, 9, 11, 13]), TensorForm((1, 1, 1, 4), 12))
    assert match is not None
    assert not match.equal
