import struct
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.build.runtime.binary import model_bytes, pack_weights
from stages.build.runtime.contract import Kind, Opcode
from stages.build.runtime.memory import Plan
from stages.build.runtime.program import Operation, Program, Tensor


def test_four_bits_lie_two_a_byte_the_first_below():
    assert pack_weights(np.array([1, -1, 7, -8, 3], np.int8), 4) == bytes([0xF1, 0x87, 0x03])


def test_other_widths_have_no_gaps():
    assert pack_weights(np.array([1, -2, 0, -1], np.int8), 2) == bytes([0b11001001])
    assert pack_weights(np.array([-1, 0, 1, -32], np.int8), 6) == bytes([0b00111111, 0b00010000, 0b10000000])
    assert pack_weights(np.array([-2, 258], np.int16), 16) == bytes([0xFE, 0xFF, 0x02, 0x01])


@given(st.integers(2, 16), st.data())
def test_packed_weights_can_be_read_back(bits, data):
    limit = 2 ** (bits - 1)
    values = data.draw(st.lists(st.integers(-limit, limit - 1), min_size=1, max_size=40))
    number = int.from_bytes(pack_weights(np.array(values, np.int16), bits), "little")
    actual = [(number >> (bits * i)) & (2 * limit - 1) for i in range(len(values))]
    assert [value - 2 * limit if value >= limit else value for value in actual] == values


def test_the_file_word_by_word():
    table = Tensor(Kind.u8, (2,), 1, values=np.array([1, 0]))
    weights = Tensor(Kind.weights, (3,), 4, values=np.array([1, -1, 2]))
    computed = Tensor(Kind.u16, (1, 3), 12, 5, "a")
    program = Program(
        [table, weights, computed],
        [Operation(Opcode.table, "lay", (0, 1), 2, (-1,))],
        [("in", 6, 3)],
        [("out", 2)],
    )
    content = model_bytes(program, Plan({2: 64}, 128, 128))
    magic, version, crc, length = struct.unpack_from("<8s3I", content)
    assert (magic, version, length) == (b"SOCQUANT", 2, len(content))
    assert crc == zlib.crc32(content[16:])
    counts = struct.unpack_from("<9I", content, 20)
    words = [
        *(0, 1, 0, 1, 0, 0, 0, 1, 2),  # table: u8, 1 bit, zero point 0, constant at 0, no name, rank 1
        *(4, 4, 0, 1, 0, 0, 0, 1, 3),  # weights: 4 bits, first in their own section
        *(1, 12, 5, 0, 64, 0, 1, 2, 1, 3),  # made: u16, zero point 5, at 64 of the arena, "a", rank 2
        *(5, 4, 3, 2, 0, 1, 2, 1, 2**32 - 1),  # table operation "lay": two inputs, output 2, one attribute
        *(8, 2, 6, 3),  # input "in"
        *(12, 3, 2),  # output "out"
    ]
    names = b"a\0\0\0lay\0in\0\0out\0"
    assert counts == (3, 1, 1, 1, len(words), len(names), 8, 4, 128)
    body = struct.pack(f"<{len(words)}I", *words) + names + bytes([1, *[0] * 7]) + bytes([0xF1, 0x02, 0, 0])
    assert content[56:] == body
