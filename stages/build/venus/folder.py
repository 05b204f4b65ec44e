"""Writes the folder of the board program: C++ sources and the files generated for this network."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from stages.build.board_outputs import BoardOutput
from stages.build.heads.board_head import BoardHead
from stages.build.heads.sources import write_head
from stages.core.base.artifacts import write_text
from stages.core.config.schema import Anchor, Color, Config
from stages.core.data.inputs import NetworkInput
from stages.core.integer.quant_params import QuantParams

__all__ = ["COMMON_SOURCES", "GENERATED_FILES", "SOURCES", "model_values", "template_environment", "write_venus"]

SOURCES = Path(__file__).parent / "src"
COMMON_SOURCES = ("board.h", "inference.cpp", "inference_nv12.cpp", "picture.h", "program.h")
"""The C++ sources that are the same for every network; postprocess.h is boxes.h or values.h. A detector has those of
`stages/build/heads` too."""
GENERATED_FILES = ("Makefile", "README.md", "generate_img_input.py", "model.h")
"""The files that are generated for each network."""

BUILD_TYPE_RESULTS = {
    "release": "results",
    "profile": "the time of every layer",
    "debug": "dumps of every layer",
    "nmem": "how much of the unit's memory is used",
}


def write_venus(
    folder: Path,
    config: Config,
    network_input: NetworkInput,
    outputs: Sequence[BoardOutput],
    head: BoardHead | None = None,
) -> None:
    """Write the program's folder.

    Args:
        folder: created here.
        config: the experiment, for an Ingenic SOC.
        network_input: the only input, a picture.
        outputs: the network's outputs, in order.
        head: that the program decodes; None: it prints the outputs as they are.
    """
    texts = _generated_texts(config, network_input, outputs, detects=head is not None)
    folder.mkdir()
    for name in COMMON_SOURCES:
        shutil.copyfile(SOURCES / name, folder / name)
    shutil.copyfile(SOURCES / ("boxes.h" if head else "values.h"), folder / "postprocess.h")
    if head is not None:
        write_head(folder, head, config.model.detector)
    for name, text in texts.items():
        write_text(folder / name, text)


def _generated_texts(
    config: Config, network_input: NetworkInput, outputs: Sequence[BoardOutput], *, detects: bool
) -> dict[str, str]:
    """File name -> text of each generated file."""
    values = model_values(config, network_input, outputs) | {
        "detects": detects,
        "tree": config.soc.runtime.tree,
        "libraries": config.soc.runtime.libraries,
        "purposes": BUILD_TYPE_RESULTS,
    }
    environment = template_environment("stages.build.venus")
    return {name: environment.get_template(f"{name}.j2").render(values) for name in GENERATED_FILES}


def model_values(config: Config, network_input: NetworkInput, outputs: Sequence[BoardOutput]) -> dict[str, Any]:
    """What `model.h` is rendered with."""
    model, soc = config.model, config.soc
    preprocess = model.preprocess
    picture = network_input.color is not Color.GRAY
    return {
        "name": model.name,
        "soc": soc.name,
        "bin": f"{model.name}_{soc.name.lower()}_magik.bin",
        "input": network_input,
        "board_channels": max(soc.input_channels, network_input.channels) if picture else network_input.channels,
        "preprocess": preprocess,
        "shorter_side": preprocess.shorter_side or max(network_input.height, network_input.width),
        "centered": _c_bool(preprocess.anchor is Anchor.center),
        "outputs": outputs,
    }


def template_environment(package: str) -> jinja2.Environment:
    """The templates of a package, with C++ values as filters.

    Args:
        package: whose folder `templates` comes first; those of this one, which other boards share, come after.
    """
    loaders = [jinja2.PackageLoader(name, "templates") for name in dict.fromkeys([package, "stages.build.venus"])]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"c": _c_string, "qparams": _c_qparams, "list_of": _c_list, "floats": _c_floats}
    return environment


# --- values in C++ syntax ---------------------------------------------------------------------------------------


def _c_bool(value: bool) -> str:
    return "true" if value else "false"


def _c_string(text: str) -> str:
    """A string literal; other characters than plain ASCII as three-digit octal bytes of UTF-8."""
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'


def _c_list(values: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def _c_floats(values: Sequence[float]) -> str:
    """The shortest literals of the nearest float32 numbers."""
    return "{" + ", ".join(f"{np.float32(value)}f" for value in values) + "}"


def _c_qparams(qparams: QuantParams | None) -> str:
    """Bits, scale, zero point of an output; 32 bits for float."""
    return "32, 1.0f, 0" if qparams is None else f"{qparams.bits}, {qparams.scale}f, {qparams.zero_point}"
