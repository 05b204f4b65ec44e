"""TPU-MLIR's steps: as arguments of its tools, and as a script.

Options: TPU-MLIR 1.30.2. Its --scale multiplies. Samples in npz files are normalized already, so they get neither mean
nor scale.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from stages.build.kept_results import RESULTS_OF_SCRIPT
from stages.core.config.schema import Calibration, Config
from stages.core.data.inputs import NetworkInput
from stages.core.tpu_mlir.calls import HERE

__all__ = ["SMALL_CHIPS", "model_suffix", "run_script", "steps"]

INSIDE = '"$here"'
SMALL_CHIPS = ("cv180x", "cv181x", "cv182x", "cv183x")
"""Chips whose networks are .cvimodel files."""
TOLERANCE = "0.8,0.5"
"""Least cosine and euclidean similarity of the compiled network's outputs to the float ones: the guide's."""


def model_suffix(chip: str) -> str:
    """The suffix of a chip's compiled network."""
    return ".cvimodel" if chip in SMALL_CHIPS else ".bmodel"


def steps(config: Config, inputs: Sequence[NetworkInput], samples: Sequence[str], quantize: str) -> dict[str, Any]:
    """The calls of the tools, and the names of what they write.

    Args:
        config: the experiment.
        inputs: of the network.
        samples: the files of calibration samples, below the folder.
        quantize: what most layers run in, as "INT8".

    Returns:
        The calls `transform`, `calibrate` (None where this project's table is taken) and `deploy`; `name`, `chip`,
        `quantize`, and `model`, the file that is made.
    """
    test_input = samples[0]
    name, chip = config.model.name, config.soc.name
    model = f"{name}_{chip}_{quantize.lower()}{model_suffix(chip)}"
    shapes = ",".join(f"[{','.join(map(str, network_input.shape))}]" for network_input in inputs)
    pixels = [] if test_input.endswith(".npz") else _pixel_options(inputs[0])
    # fmt: off
    transform = [
        "model_transform.py", "--model_name", name, "--model_def", f"{HERE}/model.onnx",
        "--input_shapes", f"[{shapes}]", *pixels, "--test_input", f"{HERE}/{test_input}",
        "--test_result", f"{name}_top_outputs.npz", "--mlir", f"{name}.mlir",
    ]
    tables = ["--calibration_table", f"{name}_table", "--quantize_table", f"{name}_qtable"]
    deploy = [
        "model_deploy.py", "--mlir", f"{name}.mlir", "--quantize", quantize, "--chip", chip,
        *(tables if quantize == "INT8" else []), "--test_input", f"{name}_in_f32.npz",
        "--test_reference", f"{name}_top_outputs.npz", "--tolerance", TOLERANCE, "--model", model,
    ]
    # fmt: on
    calibrate = None
    if quantize == "INT8" and config.quant.calibration is Calibration.vendor:
        calibrate = _calibrate(config, test_input.rpartition("/")[0], len(samples))
    names = {"name": name, "chip": chip, "quantize": quantize, "model": model}
    return names | {"transform": transform, "calibrate": calibrate, "deploy": deploy}


def _calibrate(config: Config, folder: str, count: int) -> list[str]:
    """The call of `run_calibration.py`, which writes its own table over ours."""
    name, quant = config.model.name, config.quant
    method = quant.vendor_method.value
    # fmt: off
    call = [
        "run_calibration.py", f"{name}.mlir", "--dataset", f"{HERE}/{folder}", "--input_num", str(count),
        "--cali_method", method, "--chip", config.soc.name, "-o", f"{name}_table",
    ]
    # fmt: on
    if quant.vendor_cosine is not None:
        call += ["--search", "search_qtable", "--expected_cos", f"{quant.vendor_cosine:g}"]
        call += ["--quantize_method_list", method.removeprefix("use_"), "--pre_qtable", f"{name}_qtable"]
        call += ["--quantize_table", f"{name}_qtable"]
    return call


def run_script(calls: dict[str, Any]) -> str:
    """A script of the same steps, for where TPU-MLIR is installed.

    Args:
        calls: what `steps` gives.
    """
    name = calls["name"]
    tables = f'python3 "$here/tables.py" {shlex.quote(f"{name}.mlir")} "$here/ranges.json"'
    tables += f" {shlex.quote(f'{name}_table')} {shlex.quote(f'{name}_qtable')}"
    return f"""\
#!/bin/sh
# Compiles model.onnx for the {calls["chip"]} with TPU-MLIR, whose tools are on PATH. Run: sh run.sh [FOLDER]
# FOLDER gets all that is written; without one see README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
{RESULTS_OF_SCRIPT}work=${{1:-$results}}
mkdir -p "$work"
cd "$work"
{_shell(calls["transform"])}
{tables if calls["quantize"] == "INT8" else f": all layers run in {calls['quantize']}, so there is no table"}
{_shell(calls["calibrate"]) if calls["calibrate"] else ": the table has the ranges of this project"}
{_shell(calls["deploy"])}
test -s {shlex.quote(calls["model"])}
echo "$(pwd)/"{shlex.quote(calls["model"])}
"""


def _shell(call: Sequence[str]) -> str:
    """A call on lines of a script: options and their values stay together."""
    words = [f"{'' if word == (rest := word.removeprefix(HERE)) else INSIDE}{shlex.quote(rest)}" for word in call]
    lines = [words[0]]
    for word in words[1:]:
        if word.startswith("--"):
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return " \\\n    ".join(lines)


def _pixel_options(picture: NetworkInput) -> list[str]:
    """The options that turn a picture into the network's input."""
    mean = ",".join(f"{value:.7g}" for value in picture.mean)
    scale = ",".join(f"{1 / value:.9g}" for value in picture.normal)
    return ["--mean", mean, "--scale", scale, "--pixel_format", picture.color.value.lower()]
