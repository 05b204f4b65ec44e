"""The calls of the converter: with the flat cfg (guide of July 2022) and as before it (guide of February 2022)."""

import shlex
from collections.abc import Sequence

from stages.build.kept_results import RESULTS_OF_SCRIPT
from stages.build.magik.vendor_names import CALIBRATION_FOLDER, DEBUG_FOLDER, PTQ_CONFIG, cfg_name, header_name
from stages.core.base.paths import FLOAT_MODEL, NODE_BITS
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = [
    "RUN_SCRIPT",
    "RUN_SCRIPT_2022_02",
    "Options",
    "options",
    "options_2022_02",
    "run_script",
    "run_script_2022_02",
]

RUN_SCRIPT = "run.sh"
RUN_SCRIPT_2022_02 = "run_2022_02.sh"
Options = list[tuple[str, str]]
"""Option and value, in the order of the command line."""


def options(config: Config) -> Options:
    """The converter's options with the flat cfg."""
    return [
        ("-i", FLOAT_MODEL.name),
        ("-o", header_name(config)),
        ("-cfg", cfg_name(config)),
        ("--save_quantize_model", "true"),
    ]


def options_2022_02(config: Config, picture: NetworkInput, outputs: Sequence[str]) -> Options:
    """The options of the older command line, in its guide's order. Its `var` is the divisor: a standard deviation."""
    return [
        ("--framework", "onnx"),
        ("--target_device", config.soc.name),
        ("--outputpath", header_name(config)),
        ("--inputpath", FLOAT_MODEL.name),
        ("--mean", ",".join(map(repr, picture.mean))),
        ("--var", ",".join(map(repr, picture.normal))),
        ("--img_width", str(picture.width)),
        ("--img_height", str(picture.height)),
        ("--img_channel", str(picture.channels)),
        ("--input_nodes", picture.name),
        ("--output_nodes", ",".join(outputs)),
        ("--post_training_quantization", "true"),
        ("--ptq_config_path", PTQ_CONFIG),
    ]


def run_script(config: Config) -> str:
    """A script that converts the network where the vendor's toolkit is installed."""
    return _script(
        f"""\
# Converts {FLOAT_MODEL.name} for the {config.soc.name}. Run: MAGIK_TRANSFORMKIT=.../TransformKit sh {RUN_SCRIPT}
# Gives {header_name(config).removesuffix(".mk.h")}.bin for the board and save-magik/model_quant.mgk for the PC.
# {NODE_BITS.name} holds the bit widths and ranges chosen here; the converter reads it from its folder.
# It runs on a copy of this folder in board/ of the project, which `dvc repro` leaves alone; in a copy elsewhere, there.
""",
        options(config),
    )


def run_script_2022_02(config: Config, picture: NetworkInput, outputs: Sequence[str]) -> str:
    """A script that converts the network with a toolkit of early 2022."""
    return _script(
        f"""\
# Converts {FLOAT_MODEL.name} for the {config.soc.name} with a toolkit of early 2022, which reads no cfg;
# for any later one use {RUN_SCRIPT}. Run: MAGIK_TRANSFORMKIT=.../TransformKit sh {RUN_SCRIPT_2022_02}
# It reads no bit widths or ranges of single nodes: it chooses ranges from {CALIBRATION_FOLDER}/ by its own method.
""",
        options_2022_02(config, picture, outputs),
    )


def _script(about: str, call: Options) -> str:
    lines = " \\\n".join(f"    {option} {shlex.quote(value)}" for option, value in call)
    sets = f"{CALIBRATION_FOLDER} {DEBUG_FOLDER}"
    return f"""\
#!/bin/sh
{about}set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${{MAGIK_TRANSFORMKIT:?set it to the folder of magik-transform-tools in the vendor toolkit}}"
tool="$MAGIK_TRANSFORMKIT/magik-transform-tools"
if [ ! -x "$tool" ]; then
    echo "error: there is no program $tool: set MAGIK_TRANSFORMKIT to its folder" >&2
    exit 2
fi
{RESULTS_OF_SCRIPT}if [ "$results" != "$here" ]; then
    mkdir -p "$results"
    (cd "$results" && rm -rf {sets})
    cp -R "$here/." "$results"
fi
cd "$results"
"$tool" \\
{lines}
echo "results: $results"
"""
