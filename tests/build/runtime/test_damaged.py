"""Model files that are damaged: no crash, no read or write out of bounds (the sanitizers watch), no endless run."""

import resource
import struct
import zlib

import numpy as np
import pytest

from tests.build.runtime.programs import Forked, model_file
from tests.build.runtime.small import float_codes, float_net, small_codes, small_net

MUTANTS = 2000
HEADER = 56

pytestmark = pytest.mark.slow


@pytest.fixture
def forked(debug, tmp_path):
    server = Forked(debug.program, tmp_path)
    yield server
    server.close()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A few changed bytes or words, mostly where the records are; or cut, or with a piece moved."""
    actual = bytearray(content)
    records = HEADER + 4 * struct.unpack_from("<I", content, 36)[0]
    for _ in range(rng.integers(1, 4)):
        end = records if rng.random() < 0.8 else len(actual)
        how = rng.integers(0, 6)
        at = int(rng.integers(16, end - 4))
        if how == 0:
            actual[at] ^= 1 << int(rng.integers(0, 8))
        elif how <= 3:
            word = at // 4 * 4
            edges = [0, 1, 2, 3, 255, 65535, 2**16, 2**30, 2**31 - 1, 2**31, 2**32 - 1, int(rng.integers(0, 2**32))]
            near = struct.unpack_from("<I", actual, word)[0] + int(rng.integers(-2, 3))
            value = near if rng.random() < 0.4 else edges[int(rng.integers(0, len(edges)))]
            struct.pack_into("<I", actual, word, value % 2**32)
        elif how == 4:
            other = int(rng.integers(16, end - 4))
            length = int(rng.integers(1, 33))
            piece = actual[other : other + length]
            actual[at : at + len(piece)] = piece
        else:
            del actual[at : at + int(rng.integers(1, 9))]
    return bytes(actual)


def repaired(content: bytes) -> bytes:
    """With the length and the checksum that belong to what it holds, so that it gets past them."""
    body = struct.pack("<I", len(content)) + content[20:]
    return content[:12] + struct.pack("<I", zlib.crc32(body)) + body


NETS = {"codes": (small_net, small_codes), "floats": (float_net, float_codes)}


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("part", range(4))
def test_damaged_files_end_in_an_error_or_in_some_result(forked, tmp_path, part, kind):
    rng = np.random.default_rng(part)
    network, codes = (make() for make in NETS[kind])
    content = model_file(network.model(network.reference(x=codes)))
    (tmp_path / "in.bin").write_bytes(bytes(codes.size))
    survived = 0
    for number in range(MUTANTS // 8):
        mutant = mutated(content, rng)
        fixed = number % 4 != 0
        path = tmp_path / "mutant.sqm"
        path.write_bytes(repaired(mutant) if fixed else mutant)
        code, said = forked.run(path, tmp_path / "in.bin", "-o", tmp_path)
        assert code in (0, 2), (number, said[-2000:])
        assert (code == 2) == said.startswith("error: "), said[-2000:]
        if not fixed and mutant != content:
            assert code == 2
        survived += code == 0
    assert survived > 10  # the mutations are not all caught by the same check
    forked.close()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3 * 2**20  # KB


def test_every_shorter_file_is_refused(forked, tmp_path):
    net = small_net()
    content = model_file(net.model(net.reference(x=small_codes())))
    path = tmp_path / "short.sqm"
    for length in [*range(60), *range(60, len(content), 97)]:
        for how in (content[:length], repaired(content[:length]) if length > 20 else b""):
            path.write_bytes(how)
            assert forked.run(path, path)[0] == 2, length


def hand_made(records: list[int], tensors: int, operations: int, names: bytes = b"", arena: int = 0) -> bytes:
    """A model file without inputs and outputs, its length and checksum right."""
    words = struct.pack(f"<{len(records)}I", *records)
    header = struct.pack("<2I", 2, 0) + struct.pack(
        "<10I", 0, tensors, operations, 0, 0, len(records), len(names), 0, 0, arena
    )
    return repaired(b"SOCQUANT" + header + words + names)


U8, F32, MOVE = 0, 2, 1


def refusal(debug, path, content):
    path.write_bytes(content)
    done = debug.run(path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_a_name_that_many_records_share_is_not_copied_without_end(debug, tmp_path):
    """8,000 tensors with one name of 1 MB."""
    tensor = [F32, 0, 0, 0, 0, 0, 2**20, 1, 1]
    content = hand_made(tensor * 8000, 8000, 0, bytes([65]) * 2**20, arena=4)
    assert "is damaged: its names are too long" in refusal(debug, tmp_path / "names.sqm", content)
    few = hand_made(tensor * 8, 8, 0, bytes([65]) * 2**20, arena=4)
    (tmp_path / "few.sqm").write_bytes(few)
    assert debug.run(tmp_path / "few.sqm").returncode == 0


def test_a_run_without_end_is_refused_before_it_begins(debug, tmp_path):
    """60,000 moves of a megabyte, of a file of 3 MB."""
    size, moves = 2**20, 60_000
    tensors = [word for offset in (0, size) for word in (U8, 8, 0, 0, offset, 0, 0, 1, size)]
    move = [MOVE, 0, 0, 1, 0, 1, 6, 0, 0, 1, size, 0, 1]
    content = hand_made(tensors + move * moves, 2, moves, arena=2 * size)
    assert "is damaged: a run of it would take hours" in refusal(debug, tmp_path / "moves.sqm", content)
    (tmp_path / "few.sqm").write_bytes(hand_made(tensors + move * 3, 2, 3, arena=2 * size))
    assert debug.run(tmp_path / "few.sqm").returncode == 0


def test_more_records_than_any_network_has_are_refused(debug, tmp_path):
    content = hand_made([], 2**20, 1)
    assert "is damaged: it has too many records" in refusal(debug, tmp_path / "records.sqm", content)


def test_an_operation_that_writes_over_what_it_reads_is_refused(debug, tmp_path):
    """The fuzzer found it: copying elements to where they overlap is not defined."""
    for offset, refused in ((0, True), (4, True), (8, False)):
        tensors = [word for start in (0, offset) for word in (U8, 8, 0, 0, start, 0, 0, 1, 8)]
        move = [MOVE, 0, 0, 1, 0, 1, 6, 0, 0, 1, 8, 0, 1]
        path = tmp_path / "model.sqm"
        path.write_bytes(hand_made(tensors + move, 2, 1, arena=16))
        done = debug.run(path)
        assert (done.returncode, "writes over what it reads" in done.stderr) == ((2, True) if refused else (0, False))
