"""Board programs for small networks, linked with a stand-in for the vendor's library, and run here."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.build.board_outputs import BoardOutput
from stages.build.heads.board_head import board_head
from stages.build.venus.folder import write_venus
from stages.core.config.composition import compose
from stages.core.config.schema import Color, Config
from stages.core.data.inputs import NetworkInput
from stages.core.heads.head_file import ExportedHead
from tests.build import kept
from tests.conftest import REPOSITORY, project_overrides

TOOLKIT = Path(__file__).parent / "toolkit"
LIBRARIES = ("venus", "venus.p", "venus.d", "venus.m", "aip", "drivers", "drivers.m")
SANITIZED = "-fsanitize=address,undefined"
STRICT = "-O0 -Wextra -Werror"
GUARDED = f"{STRICT} {SANITIZED} -fno-sanitize-recover=all"
LOGITS = BoardOutput("logits", (1, 10), None)


@cache
def config(*overrides: str) -> Config:
    """An experiment: `model.name` is net."""
    return compose(project_overrides("model.name=net", *overrides), REPOSITORY / "conf")[0]


def picture(height: int = 24, width: int = 32, color: Color = Color.RGB) -> NetworkInput:
    channels = 1 if color is Color.GRAY else 3
    return NetworkInput("images", (1, channels, height, width), (0.0,) * channels, (1.0,) * channels, color)


def toolkit(folder: Path, *flags: str, cross: str = "") -> Path:
    """The vendor's tree, as far as it is needed: header, and libraries that stand in for his."""
    (folder / "lib" / "glibc").mkdir(parents=True)
    shutil.copytree(TOOLKIT / "include", folder / "include")
    compiled = folder / "fake.o"
    line = [f"{cross}g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", *flags, f"-I{TOOLKIT / 'include'}"]
    done = kept.run([*line, "-c", TOOLKIT / "fake.cpp", "-o", compiled], folder, [TOOLKIT], ["fake.o"], line[0])
    assert (done.returncode, done.stderr) == (0, "")
    for name in LIBRARIES:
        members = [compiled] if name.startswith("venus") else []
        subprocess.run([f"{cross}ar", "rcs", folder / "lib" / "glibc" / f"lib{name}.a", *members], check=True)
    return folder


def written(
    folder: Path,
    settings: Config,
    network_input: NetworkInput,
    outputs: Sequence[BoardOutput],
    exported: ExportedHead | None = None,
) -> Path:
    size = network_input.height, network_input.width
    head = board_head(exported, settings.model.detector, outputs, *size)
    write_venus(folder, settings, network_input, outputs, head)
    return folder


def program(frame: bool = False, build_type: str = "release") -> str:
    """Its file's name; `frame`: of the one for NV12."""
    return f"venus_net_{'nv12_' if frame else ''}bin_glibc_{build_type}"


def make(folder: Path, tree: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(make_line(tree, *variables), cwd=folder, capture_output=True, text=True, check=False)


def make_line(tree: Path, *words: str) -> list[str]:
    return ["make", "-s", f"TOPDIR={tree}", "libtype=glibc", *words]


def built(folder: Path, tree: Path, *goals: str, flags: str = GUARDED) -> None:
    """Compile both programs, or `goals`, for this machine, with sanitizers by default; a warning is an error."""
    compiled(folder, tree, f"CXXFLAGS={flags}", *goals)


def compiled(folder: Path, tree: Path, *words: str, cross: str = "") -> None:
    """What `make` makes with variables and goals; a warning is an error."""
    build_type = next((word.removeprefix("build_type=") for word in words if word.startswith("build_type=")), "release")
    made = [word for word in words if "=" not in word] or [program(frame, build_type) for frame in (False, True)]
    line = make_line(tree, f"CROSS_COMPILE={cross}", *words)
    done = kept.run(line, folder, [tree], made, f"{cross}g++")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@dataclass(frozen=True)
class Ran:
    """A finished program: exit code, printed lines, the bytes that the network was fed, the calls of the library."""

    code: int
    printed: list[str]
    error: str
    fed: NDArray[np.uint8] | None
    calls: list[str] = field(default_factory=list)


def run(
    folder: Path,
    run_folder: Path,
    outputs: Sequence[tuple[Sequence[int], bytes]],
    *words: object,
    frame: bool = False,
    build_type: str = "release",
    model: str = "model.bin",
    before: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run a program in `run_folder`, on a network whose outputs have the shapes and bytes `outputs`.

    Args:
        folder: where it was built.
        run_folder: for what the program reads and writes; created here.
        outputs: what the network gives, whatever it is fed.
        words: of the command line, after the model.
        frame: run the program for NV12.
        build_type: of the program.
        model: named on the command line; model.bin is there.
        before: what has to stand before the program.
        environment: more of it.
    """
    run_folder.mkdir(exist_ok=True)
    for index, (shape, content) in enumerate(outputs):
        (run_folder / f"output_{index}.shape").write_text(" ".join(map(str, shape)))
        (run_folder / f"output_{index}.bin").write_bytes(content)
    (run_folder / "model.bin").touch()
    done = subprocess.run(
        [*before, str(folder / program(frame, build_type)), model, *map(str, words)],
        cwd=run_folder,
        env=os.environ | {"FAKE": str(run_folder)} | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    fed = (
        np.frombuffer((run_folder / "input.bin").read_bytes(), np.uint8)
        if (run_folder / "input.bin").exists()
        else None
    )
    calls = (run_folder / "log").read_text().splitlines() if (run_folder / "log").exists() else []
    printed = [re.sub(r"\d+\.\d+ ms", "# ms", line) for line in done.stdout.splitlines()]
    return Ran(done.returncode, printed, done.stderr, fed, calls)
