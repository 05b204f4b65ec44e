import pytest

from benchmarks.fuzz.targets import TARGETS, Target
from stages.core.base.errors import UserError

TAKEN = {"network", "statistics", "inputs", "samples", "node_bits", "labels", "objects", "array"}
"""Targets whose seeds are taken; those of the others are near."""


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_lead_into_the_readers(tmp_path, name):
    target = TARGETS[name]
    for seed in target.seeds:
        target.tried(seed, tmp_path)
    if name in TAKEN:
        target.read(tmp_path / f"fuzzed{target.suffix}")


def refused(_path):
    raise UserError("one line")


def crashed(_path):
    raise KeyError("x")


def test_what_is_a_finding(tmp_path):
    Target(refused, []).tried(b"", tmp_path)
    with pytest.raises(KeyError):
        Target(crashed, []).tried(b"", tmp_path)
