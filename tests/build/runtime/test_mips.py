"""The same bytes on MIPS, which QEMU emulates: with Debian's compiler, and in a board's NaN mode with zig's."""

import importlib.util
import shutil
import sys

import pytest

from tests.build.runtime import programs
from tests.build.runtime.programs import Runtime, compiled
from tests.build.runtime.small import small_codes, small_net

QEMU = "qemu-mipsel-static"
NAN_2008 = 0x400  # EF_MIPS_NAN2008 of an ELF header's e_flags

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(QEMU), reason=f"{QEMU} is missing: apt-get install qemu-user-static"),
]


def check(program, *before):
    for bits in (4, 8, 12):
        programs.agree(Runtime(program, before), small_net(bits), x=small_codes(bits))


@pytest.mark.skipif(
    not shutil.which("mipsel-linux-gnu-g++"),
    reason="mipsel-linux-gnu-g++ is missing: apt-get install g++-mipsel-linux-gnu",
)
def test_debians_compiler(tmp_path):
    check(compiled(tmp_path, "debug", "CROSS_COMPILE=mipsel-linux-gnu-", "NAN=legacy", "CXXFLAGS=-O1"), QEMU)


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="zig is missing: pip install -e '.[board]'")
def test_the_boards_nan_mode(tmp_path):
    zig = f"CXX={sys.executable} -m ziglang c++"
    program = compiled(tmp_path, "debug", zig, "TARGET=mipsel-linux-musleabihf", "CXXFLAGS=-O1")
    flags = int.from_bytes(program.read_bytes()[36:40], "little")
    assert flags & NAN_2008
    check(program, QEMU, "-cpu", "P5600")
