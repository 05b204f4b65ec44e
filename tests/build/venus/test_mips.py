"""The programs on MIPS, which QEMU emulates: Debian's compiler, with the board's flags as far as its library goes."""

import shutil

import numpy as np
import pytest

from tests.build import kept
from tests.build.venus import programs
from tests.build.venus.programs import LOGITS, config, picture
from tests.build.venus.test_folder import DETECTS, YOLOX

QEMU = "qemu-mipsel-static"
CROSS = "mipsel-linux-gnu-"
NAN_2008 = 0x400  # EF_MIPS_NAN2008 of an ELF header's e_flags

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(f"{CROSS}g++"), reason=f"{CROSS}g++ is missing: apt-get install g++-mipsel-linux-gnu"
    ),
]


@pytest.fixture(scope="module")
def mips(tmp_path_factory):
    flags = ("-EL", "-march=mips32r2", "-mfp64", "-mabs=2008")
    return programs.toolkit(tmp_path_factory.mktemp("mips") / "tree", *flags, cross=CROSS)


@pytest.mark.skipif(not shutil.which(QEMU), reason=f"{QEMU} is missing: apt-get install qemu-user-static")
@pytest.mark.parametrize("detects", [False, True])
def test_the_same_as_here(tree, mips, tmp_path, detects):
    settings, output = (config(*DETECTS), YOLOX) if detects else (config(), LOGITS)
    rng = np.random.default_rng(0)
    content = rng.integers(0, 30, 72, np.uint8).tobytes() if detects else rng.normal(size=10).astype("<f4").tobytes()
    frame, photo = rng.integers(0, 256, (60 * 3 // 2 * 40), np.uint8), rng.integers(0, 256, 40 * 60 * 3, np.uint8)
    ran = []
    for name, kit in (("here", tree), ("board", mips)):
        folder = programs.written(tmp_path / name, settings, picture(), [output])
        if kit is tree:
            programs.built(folder, kit)
        else:
            variables = ("NAN=legacy", "CXXFLAGS=-Wextra -Werror", "LDFLAGS=-static")
            programs.compiled(folder, kit, *variables, cross=CROSS)
        for number, (pixels, is_frame) in enumerate([(photo, False), (frame, True)]):
            run_folder = tmp_path / f"{name}_{number}"
            run_folder.mkdir()
            (run_folder / "picture").write_bytes(pixels.tobytes())
            before = () if kit is tree else (QEMU,)
            words = ("picture", 60, 40)
            ran.append(
                programs.run(folder, run_folder, [(output.shape, content)], *words, frame=is_frame, before=before)
            )  # fmt: skip
            assert ran[-1].code == 0, ran[-1].error
    for here, board in zip(ran[:2], ran[2:], strict=True):
        assert board.printed == here.printed
        assert board.calls == here.calls
        assert np.abs(board.fed.astype(int) - here.fed).max() <= 1  # MIPS multiplies and adds in one rounding


def test_it_compiles_in_the_boards_nan_mode(tmp_path):
    # Debian has no C library of that mode: nothing to link with, and an empty list of what it lacks in its stead
    folder = programs.written(tmp_path / "net", config(*DETECTS), picture(), [YOLOX])
    (folder / "gnu").mkdir()
    (folder / "gnu" / "stubs-o32_hard_2008.h").touch()
    for source in ("inference.cpp", "inference_nv12.cpp"):
        line = f"{CROSS}g++ -std=c++11 -mfp64 -mnan=2008 -mabs=2008 -Wall -Wextra -Werror -EL -O3 -march=mips32r2"
        words = [*line.split(), "-flax-vector-conversions", "-I.", f"-I{programs.TOOLKIT / 'include'}", "-c", source]
        done = kept.run([*words, "-o", "made.o"], folder, [programs.TOOLKIT], ["made.o"], f"{CROSS}g++")
        assert (done.returncode, done.stderr) == (0, "")
        assert int.from_bytes((folder / "made.o").read_bytes()[36:40], "little") & NAN_2008
