"""Writes the program for a Sophgo board: C++ on BMRuntime or cviruntime, and for the larger chips Python on sail."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stages.build.board_outputs import BoardOutput
from stages.build.cross_compilers import compiler_choice, cross_compilers
from stages.build.heads.board_head import BoardHead
from stages.build.heads.sources import write_head
from stages.build.tpu_mlir.steps import SMALL_CHIPS
from stages.build.venus.folder import SOURCES as SHARED
from stages.build.venus.folder import model_values, template_environment
from stages.core.base.artifacts import write_text
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = ["write_sophon"]

SOURCES = Path(__file__).parent / "src"
SHARED_SOURCES = ("inference.cpp", "picture.h", "program.h")


def write_sophon(
    folder: Path,
    config: Config,
    network_input: NetworkInput,
    outputs: Sequence[BoardOutput],
    model_file: str,
    head: BoardHead | None = None,
) -> None:
    """Write the program's folder.

    Args:
        folder: created here.
        config: the experiment, for a Sophgo SOC.
        network_input: the only input, a picture.
        outputs: the network's outputs; the compiled network gives them in float.
        model_file: what compile writes.
        head: that the program decodes; None: it prints the outputs as they are.
    """
    small = config.soc.name in SMALL_CHIPS
    values = model_values(config, network_input, [replace(output, qparams=None) for output in outputs]) | {
        "bin": model_file,
        "program": f"{config.model.name}_{config.soc.name}",
        "detects": head is not None,
        "tree": config.soc.runtime.tree,
        "libraries": config.soc.runtime.libraries["release"],
        "cross": cross_compilers(config.soc)[0],
        "cross_note": compiler_choice(config.soc),
        "runtime": "the TPU SDK" if small else "libsophon",
        "python": not small,
    }
    environment = template_environment("stages.build.sophon")
    folder.mkdir()
    for name in SHARED_SOURCES:
        shutil.copyfile(SHARED / name, folder / name)
    shutil.copyfile(SHARED / ("boxes.h" if head else "values.h"), folder / "postprocess.h")
    shutil.copyfile(SOURCES / "board.h", folder / "board.h")
    shutil.copyfile(SOURCES / ("cvi.h" if small else "bmrt.h"), folder / "accelerator.h")
    if head is not None:
        write_head(folder, head, config.model.detector)
        if not small:
            shutil.copyfile(SOURCES / "boxes.cpp", folder / "boxes.cpp")
    python = [] if small else ["board.py"]
    for name in ("model.h", "normalization.h", "Makefile", "README.md", *python):
        write_text(folder / name, environment.get_template(f"{name}.j2").render(values))
