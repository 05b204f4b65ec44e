"""What is written for a network, and that it builds for every SOC and purpose."""

import subprocess

import pytest

from stages.build.board_outputs import BoardOutput
from stages.build.heads.sources import HEAD_SOURCES
from stages.core.integer.quant_params import QuantParams
from tests.build.venus import programs
from tests.build.venus.programs import LOGITS, config, picture

FILES = [
    "Makefile", "README.md", "board.h", "generate_img_input.py", "inference.cpp", "inference_nv12.cpp", "model.h",
    "picture.h", "postprocess.h", "program.h",
]  # fmt: skip
# The vendor's table: what a program links for each purpose.
NNA1 = {"release": "-lvenus", "profile": "-lvenus.p", "debug": "-lvenus.d", "nmem": "-lvenus.m"}
NNA2 = {
    "release": "-lvenus -laip -ldrivers", "profile": "-lvenus.p -laip -ldrivers",
    "debug": "-lvenus.d -laip -ldrivers", "nmem": "-lvenus -laip -ldrivers.m",
}  # fmt: skip
LINKED = {"t40": NNA1, "x2500": NNA1, "t41": NNA2, "a1": NNA2}
TREES = {
    "t40": "InferenceKit/nna1/mips720-glibc229",
    "x2500": "InferenceKit/nna1/mips720-glibc229",
    "t41": "InferenceKit/nna2/mips720-glibc229/T41",
    "a1": "InferenceKit/nna2/mips720-glibc229/A1",
}
YOLOX = BoardOutput("y", (1, 12, 6), QuantParams(8, 0.0625, 3))
DETECTS = ("model.detector.kind=yolox", "model.detector.classes=1", "model.detector.strides=[8]")


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def lines(folder, *variables):
    """The commands that make would run."""
    (folder / "kit" / "include").mkdir(parents=True, exist_ok=True)
    (folder / "kit" / "include" / "venus.h").touch()
    done = subprocess.run(
        ["make", "-n", "TOPDIR=kit", *variables], cwd=folder, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines() if "g++" in line]


def test_files_and_the_same_bytes_again(tmp_path):
    first = contents(programs.written(tmp_path / "a", config(), picture(), [LOGITS]))
    assert sorted(first) == FILES
    assert contents(programs.written(tmp_path / "b", config(), picture(), [LOGITS])) == first
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in first.values())


@pytest.mark.parametrize("soc", LINKED)
@pytest.mark.parametrize("build_type", ["release", "profile", "debug", "nmem"])
def test_the_line_for_the_board(tmp_path, soc, build_type):
    folder = programs.written(tmp_path / "net", config(f"soc={soc}"), picture(), [LOGITS])
    first, second = lines(folder, f"build_type={build_type}")
    assert first[0] == "mips-linux-gnu-g++"
    flags = "-std=c++11 -mfp64 -mnan=2008 -mabs=2008 -Wall -EL -O3 -march=mips32r2 -flax-vector-conversions -muclibc"
    assert set(flags.split()) < set(first)
    defines = {"profile": ["-DVENUS_PROFILE"], "debug": ["-DVENUS_DEBUG"], "nmem": ["-DVENUS_NMEM"]}
    assert [word for word in first if word.startswith("-D")] == defines.get(build_type, [])
    wanted = f"-Lkit/lib/uclibc {LINKED[soc][build_type]} -lpthread -lrt -ldl -lm"
    for line, source, name in ((first, "inference", "venus_net"), (second, "inference_nv12", "venus_net_nv12")):
        assert " ".join(line).endswith(f"{source}.cpp -o {name}_bin_uclibc_{build_type} {wanted}")
    (with_glibc, _) = lines(folder, "libtype=glibc", f"build_type={build_type}")
    assert "-muclibc" not in with_glibc
    assert {"-Lkit/lib/glibc", f"venus_net_bin_glibc_{build_type}"} < set(with_glibc)


@pytest.mark.parametrize("soc", TREES)
def test_the_toolkits_tree_and_libraries_are_named(tmp_path, soc):
    text = contents(programs.written(tmp_path / "net", config(f"soc={soc}"), picture(), [LOGITS]))
    assert f"TOPDIR ?= magik-toolkit/{TREES[soc]}\n" in text["Makefile"]
    assert f"`net_{soc}_magik.bin`" in text["README.md"]
    for build_type, names in LINKED[soc].items():
        libraries = ", ".join(f"`lib{name[2:]}.so`" for name in names.split())
        assert f"| `{build_type}` | {libraries} |" in text["README.md"]


def test_make_says_where_the_toolkit_is_not(tmp_path):
    folder = programs.written(tmp_path / "net", config(), picture(), [LOGITS])
    done = programs.make(folder, tmp_path / "nowhere")
    assert done.returncode == 2
    wanted = f"TOPDIR={tmp_path / 'nowhere'}: no include/venus.h there; give the toolkit's folder that ends in"
    assert f"{wanted} {TREES['t40']}\n" in done.stderr


def test_make_refuses_another_build_type(tmp_path):
    folder = programs.written(tmp_path / "net", config(), picture(), [LOGITS])
    done = programs.make(folder, tmp_path, "build_type=fast")
    assert done.returncode == 2
    assert "build_type=fast: give one of release, profile, debug, nmem" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("build_type", ["release", "profile", "debug", "nmem"])
@pytest.mark.parametrize("soc", LINKED)
def test_it_builds_for_every_soc_and_purpose(plain_tree, tmp_path, soc, build_type):
    """Each purpose with a classifier on one generation of SOCs, and with a detector on the other."""
    detects = (LINKED[soc] is NNA1) == (build_type in ("profile", "nmem"))
    more, output = (DETECTS, YOLOX) if detects else ((), LOGITS)
    folder = programs.written(tmp_path / "net", config(f"soc={soc}", *more), picture(), [output])
    programs.built(folder, plain_tree, f"build_type={build_type}", flags=programs.STRICT)
    for frame in (False, True):
        assert (folder / programs.program(frame, build_type)).exists()
    assert programs.make(folder, plain_tree, f"build_type={build_type}", "clean").returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, *(HEAD_SOURCES if detects else ())])
