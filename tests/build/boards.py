"""What the tests of the build stage share: configs, inputs, and stand-ins for the vendors' converters."""

import os
import subprocess
from pathlib import Path

from stages.core.config.schema import (
    Color,
    Config,
    FeatureMethod,
    ModelConfig,
    QuantConfig,
    SocConfig,
    ToolchainConfig,
    Vendor,
)
from stages.core.data.inputs import NetworkInput

PICTURE = NetworkInput("images", (1, 3, 16, 24), (127.0, 116.28, 103.53), (128.0, 57.12, 64.0), Color.RGB)
STATE = NetworkInput("state", (1, 4), (0.0,) * 4, (1.0,) * 4, Color.GRAY)

RECORDER = """#!/bin/sh
{ printf '%s\\n' "$(basename "$0")" "$@"; echo --; } >> "$RECORD"
"""


def board_config(vendor=Vendor.ingenic, soc="T40", name="net", method=FeatureMethod.MAX_ABS, bits=8, weight_bits=8):
    return Config(
        soc=SocConfig(name=soc, vendor=vendor, toolchain=ToolchainConfig("tool")),
        model=ModelConfig(name=name),
        quant=QuantConfig("q", bits, weight_bits, method),
    )


def stand_in(folder: Path, name: str) -> None:
    """An executable that appends its name and arguments, one a line, to the file $RECORD."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(RECORDER)
    (folder / name).chmod(0o755)


def run_script(
    script: Path, record: Path, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run a script from another folder; gives the finished process and each recorded call."""
    variables = {key: value for key, value in os.environ.items() if key != "MAGIK_TRANSFORMKIT"}
    finished = subprocess.run(
        ["sh", str(script)],
        env=variables | {"RECORD": str(record)} | environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    calls = record.read_text().split("--\n")[:-1] if record.exists() else []
    return finished, [call.splitlines() for call in calls]


def syntax_errors(text: str, path: Path) -> str:
    """What `sh -n` says about a script."""
    path.write_text(text)
    finished = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, check=False)
    return finished.stderr + ("" if finished.returncode == 0 else f"exit code {finished.returncode}")
