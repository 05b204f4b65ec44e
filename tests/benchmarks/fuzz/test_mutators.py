import io
import json
import random
import zipfile

import onnx
import pytest

from benchmarks.fuzz.mutators import MUTATORS
from benchmarks.fuzz.targets import TARGETS

CHANGES = 100


def opened(content, suffix):
    """What the file's own parser makes of it: a checksum or a bracket that is wrong raises."""
    if suffix == ".onnx":
        return onnx.ModelProto.FromString(content).SerializeToString()
    if suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [archive.read(info) for info in archive.infolist()]
    return json.loads(content)


def turned(content):
    return bytes(letter ^ 1 for letter in content[:1]) + content[1:]


@pytest.mark.parametrize("name", ["network", "archive", "node_bits", "inputs"])
def test_a_changed_file_is_whole_and_another(name):
    target, rng = TARGETS[name], random.Random(0)
    content, made = target.seeds[0], set()
    for _ in range(CHANGES):
        found = MUTATORS[target.suffix](content, rng, turned)
        opened(found, target.suffix)
        made.add(found)
    assert len(made - {content}) > CHANGES // 4


def test_a_text_that_is_no_utf_8_leaves_a_network_as_it_is():
    content = TARGETS["network"].seeds[0]
    made = {MUTATORS[".onnx"](content, random.Random(seed), lambda held: b"\x87") for seed in range(CHANGES)}
    assert content in made


@pytest.mark.parametrize("suffix", MUTATORS)
def test_what_is_no_such_file_has_its_bytes_changed(suffix):
    assert MUTATORS[suffix](b"\xff{", random.Random(0), turned) == b"\xfe{"
