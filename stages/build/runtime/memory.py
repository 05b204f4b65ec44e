"""Planning memory: every computed tensor gets an offset in one arena; those that are never needed together share bytes.

Greedy, as usual in small runtimes (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference,
2020): tensors one after the other, each at the lowest offset that is free throughout its life. Several orders are
tried, and the smallest arena wins. No plan can be smaller than the tensors that live at once at the fullest moment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.build.runtime.program import Program

__all__ = ["BLOCK_ALIGNMENT", "Block", "Plan", "blocks_of", "plan"]

BLOCK_ALIGNMENT = 64
"""Bytes."""


@dataclass(frozen=True)
class Block:
    """Memory of one tensor.

    Attributes:
        tensor: its number.
        size: bytes, a multiple of `BLOCK_ALIGNMENT`.
        first: the operation that produces it.
        last: the last operation that consumes it.
    """

    tensor: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """The offsets of tensors.

    Attributes:
        offsets: tensor -> its first byte in the arena.
        size: of the arena.
        least: bytes of the tensors that live at once at the fullest moment.
    """

    offsets: dict[int, int]
    size: int
    least: int


def blocks_of(program: Program) -> list[Block]:
    """The lives of a program's computed tensors; results live to the end."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for index, operation in enumerate(program.operations):
        first[operation.output] = index
        last.update(dict.fromkeys((operation.output, *operation.inputs), index))
    last.update({tensor: len(program.operations) for _, tensor in program.outputs})
    sizes = {tensor: -(-program.tensors[tensor].size // BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT for tensor in first}
    return [Block(tensor, sizes[tensor], first[tensor], last[tensor]) for tensor in first]


def plan(blocks: Sequence[Block]) -> Plan:
    """Find offsets: no two blocks that live together overlap."""
    moments = {block.first for block in blocks}  # memory only grows where a tensor is produced
    least = max((sum(b.size for b in blocks if b.first <= m <= b.last) for m in moments), default=0)
    best: Plan | None = None
    for order in PLACEMENT_ORDERS:
        offsets = _first_fit(sorted(blocks, key=order))
        size = max((offsets[block.tensor] + block.size for block in blocks), default=0)
        if best is None or size < best.size:
            best = Plan(offsets, size, least)
        if best.size == least:
            break
    assert best is not None
    return best


PLACEMENT_ORDERS: tuple[Callable[[Block], tuple[int, ...]], ...] = (
    lambda block: (-block.size, block.first),
    lambda block: (-block.size * (block.last - block.first + 1), block.first),
    lambda block: (block.first, -block.size),
    lambda block: (block.first - block.last, -block.size),
)


def _first_fit(blocks: Sequence[Block]) -> dict[int, int]:
    """Place blocks in this order, each at the lowest offset that is free."""
    placed: list[tuple[int, Block]] = []  # by offset
    offsets: dict[int, int] = {}
    for block in blocks:
        start = 0
        for offset, other in placed:
            if other.first > block.last or other.last < block.first:
                continue
            if start + block.size <= offset:
                break
            start = max(start, offset + other.size)
        offsets[block.tensor] = start
        placed.append((start, block))
        placed.sort(key=lambda at: at[0])
    return offsets
