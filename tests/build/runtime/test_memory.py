from hypothesis import given
from hypothesis import strategies as st

from stages.build.runtime.contract import Kind, Opcode
from stages.build.runtime.memory import Block, Plan, blocks_of, plan
from stages.build.runtime.program import Operation, Program, Tensor


def test_a_chain_needs_two_neighbours_at_once():
    """Sizes 64, 128, 64, 192 in a row: the fullest moment holds the last two."""
    sizes = [64, 128, 64, 192]
    blocks = [Block(i, size, i, i + 1) for i, size in enumerate(sizes)]
    actual = plan(blocks)
    assert (actual.size, actual.least) == (256, 256)


def test_what_is_taken_again_later_keeps_its_place():
    actual = plan([Block(0, 64, 0, 3), Block(1, 64, 1, 2), Block(2, 64, 2, 3)])
    assert actual == Plan(actual.offsets, 192, 192)
    assert sorted(actual.offsets.values()) == [0, 64, 128]


blocks = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 12), st.integers(0, 6)).map(
        lambda drawn: (drawn[0] * 64, drawn[1], drawn[1] + drawn[2])
    ),
    max_size=12,
).map(lambda drawn: [Block(i, *block) for i, block in enumerate(drawn)])


@given(blocks)
def test_blocks_that_live_together_never_overlap(blocks):
    actual = plan(blocks)
    for a in blocks:
        start, end = actual.offsets[a.tensor], actual.offsets[a.tensor] + a.size
        assert end <= actual.size
        for b in blocks:
            together = a is not b and a.first <= b.last and b.first <= a.last
            assert not together or end <= actual.offsets[b.tensor] or actual.offsets[b.tensor] + b.size <= start
    moments = [sum(b.size for b in blocks if b.first <= m <= b.last) for m in range(20)]
    assert actual.least == max(moments) <= actual.size


def test_lives_follow_from_the_operations():
    """Tensor 2 is a result: it lives to the end. The constant 3 has no place."""
    program = Program(
        [Tensor(Kind.u8, (65,), 8), Tensor(Kind.u16, (3,), 12), Tensor(Kind.f32, (1, 2)), Tensor(Kind.i32, (1,))],
        [
            Operation(Opcode.input, "", (3,), 0, ()),
            Operation(Opcode.table, "", (0, 3), 1, ()),
            Operation(Opcode.dequantize, "", (1,), 2, ()),
        ],
        [],
        [("y", 2)],
    )
    assert blocks_of(program)[:2] == [Block(0, 128, 0, 1), Block(1, 64, 1, 2)]
    assert Block(2, 64, 2, 3) in blocks_of(program)
