"""The folder of the reference runtime: model file, sources, Makefile."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from stages.build.runtime.binary import model_bytes
from stages.build.runtime.memory import blocks_of, plan
from stages.build.runtime.translate import translate
from stages.core.base.artifacts import write_text
from stages.core.base.file_names import file_names
from stages.core.data.inputs import NetworkInput

__all__ = ["SOURCES", "Built", "write_runtime"]

SOURCES = Path(__file__).parent / "src"
"""The C++ sources."""
README, COMPILER_LINE = "README.md", "make CROSS_COMPILE=COMPILER-"
WITHOUT_VENDOR = {
    "mips-linux-gnu-": {
        'make CXX="python -m ziglang c++" TARGET=mipsel-linux-musleabihf': "# the board, with pip's ziglang",
        "make CROSS_COMPILE=mipsel-linux-gnu- NAN=legacy": "# an emulator, with Debian's g++-mipsel-linux-gnu",
    }
}
"""Compiler of the board -> lines that do without it, and what they are for."""


@dataclass(frozen=True)
class Built:
    """The files that were written.

    Attributes:
        model: the model file.
        size: its bytes.
        arena: bytes of all features while it runs.
        least: bytes of the tensors that live at once at the fullest moment: no plan needs fewer.
    """

    model: Path
    size: int
    arena: int
    least: int


def write_runtime(
    folder: Path,
    name: str,
    model: onnx.ModelProto,
    inputs: Sequence[NetworkInput],
    compilers: Sequence[str] = (),
) -> Built:
    """Write `folder`: NAME.sqm, and the sources that run it.

    Args:
        folder: created here.
        name: of the network.
        model: the integer model.
        inputs: the network's inputs.
        compilers: of the board, which the folder's README names.

    Raises:
        UnsupportedError: naming a node that the runtime does not do; nothing is written then.
    """
    program = translate(model, inputs)
    memory = plan(blocks_of(program))
    content = model_bytes(program, memory)
    shutil.copytree(SOURCES, folder)
    if compilers:
        _name_compilers(folder / README, compilers)
    path = folder / Path(file_names([name])[0]).with_suffix(".sqm")
    path.write_bytes(content)
    return Built(path, len(content), memory.size, memory.least)


def _name_compilers(path: Path, compilers: Sequence[str]) -> None:
    """Give the line for the board its compiler, and each other compiler a line."""
    lines = path.read_text().splitlines()
    (index,) = (index for index, line in enumerate(lines) if line.startswith(COMPILER_LINE))
    comment, others = lines[index].find("#"), WITHOUT_VENDOR.get(compilers[0], {})
    calls = [f"make CROSS_COMPILE={compiler}".ljust(comment) + lines[index][comment:] for compiler in compilers]
    calls[1:] = [f"{call}, if its system is of that kind" for call in calls[1:]]
    calls += [f"{call.ljust(comment)}{'' if len(call) < comment else ' '}{use}" for call, use in others.items()]
    write_text(path, "\n".join([*lines[:index], *calls, *lines[index + 1 :], ""]))
