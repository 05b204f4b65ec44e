"""How the converter is called: by the flat cfg, and as before it (guides of July and February 2022)."""

import shlex
from collections.abc import Sequence

from stages.build.magik.words import CALIBRATION, PTQ, cfg_name, header_name
from stages.core.base.paths import FLOAT_MODEL, NODE_BITS
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput

__all__ = ["OLD_SCRIPT", "SCRIPT", "Options", "old_options", "old_script", "options", "run_script"]

SCRIPT = "run.sh"
OLD_SCRIPT = "run_2022_02.sh"
Options = list[tuple[str, str]]


def options(config: Config) -> Options:
    """What the converter is called with, by the flat cfg."""
    return [
        ("-i", FLOAT_MODEL.name),
        ("-o", header_name(config)),
        ("-cfg", cfg_name(config)),
        ("--save_quantize_model", "true"),
    ]


def old_options(config: Config, entry: NetworkInput, outputs: Sequence[str]) -> Options:
    """The older command line, in its guide's order. Its `var` is what divides: a standard deviation."""
    return [
        ("--framework", "onnx"),
        ("--target_device", config.soc.name),
        ("--outputpath", header_name(config)),
        ("--inputpath", FLOAT_MODEL.name),
        ("--mean", ",".join(map(repr, entry.mean))),
        ("--var", ",".join(map(repr, entry.normal))),
        ("--img_width", str(entry.width)),
        ("--img_height", str(entry.height)),
        ("--img_channel", str(entry.channels)),
        ("--input_nodes", entry.name),
        ("--output_nodes", ",".join(outputs)),
        ("--post_training_quantization", "true"),
        ("--ptq_config_path", PTQ),
    ]


def run_script(config: Config) -> str:
    """A script that converts the network where the vendor's toolkit is installed."""
    return _script(
        f"""\
# Converts {FLOAT_MODEL.name} for the {config.soc.name}. Run: MAGIK_TRANSFORMKIT=.../TransformKit sh {SCRIPT}
# Gives {header_name(config).removesuffix(".mk.h")}.bin for the board and save-magik/model_quant.mgk for the PC.
# {NODE_BITS.name} carries the widths and ranges chosen here; the converter reads it from this folder.
""",
        options(config),
    )


def old_script(config: Config, entry: NetworkInput, outputs: Sequence[str]) -> str:
    """A script that converts with a toolkit of that time."""
    return _script(
        f"""\
# Converts {FLOAT_MODEL.name} for the {config.soc.name} with a toolkit of early 2022, which takes no cfg;
# for any later one use {SCRIPT}. Run: MAGIK_TRANSFORMKIT=.../TransformKit sh {OLD_SCRIPT}
# It takes no widths and ranges of single nodes: it chooses ranges from {CALIBRATION}/ by its own method.
""",
        old_options(config, entry, outputs),
    )


def _script(about: str, call: Options) -> str:
    lines = " \\\n".join(f"    {option} {shlex.quote(value)}" for option, value in call)
    return f"""\
#!/bin/sh
{about}set -eu
cd "$(dirname "$0")"
: "${{MAGIK_TRANSFORMKIT:?set it to the folder of magik-transform-tools in the vendor toolkit}}"
tool="$MAGIK_TRANSFORMKIT/magik-transform-tools"
if [ ! -x "$tool" ]; then
    echo "error: there is no program $tool: set MAGIK_TRANSFORMKIT to its folder" >&2
    exit 2
fi
"$tool" \\
{lines}
"""
