"""Driving an installed TPU-MLIR: its calibration table from ours, and every tensor's codes from its own simulation."""

import os
import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.integer.network_params import FeatureParams
from stages.core.integer.thresholds import threshold

__all__ = ["Recording", "layer_tensors", "record", "run_tool"]

RECORDER = Path(__file__).with_name("recorder.py")
CAST = re.compile(r".*_[su]i8")
"""How the name of a quantized input ends; it begins with the input's."""
QUANTIZED = re.compile(r"!quant\.uniform<(?P<kind>[iu]8):f32, (?P<scale>[0-9.eE+-]+)")


@dataclass(frozen=True)
class Recording:
    """What the toolchain computed.

    Attributes:
        codes: tensor of the ONNX network -> codes (int64, without zero point) of each picture.
        others: names of tensors in the toolchain that have codes and stand for no tensor of the network.
        permuted: tensors whose channels the toolchain has in another order: a Focus that became a Depth2Space.
        table: the calibration table, as written.
    """

    codes: dict[str, NDArray[np.int64]]
    others: list[str]
    permuted: set[str]
    table: str


def record(
    python: Path,
    folder: Path,
    model: Path,
    chip: str,
    features: Mapping[str, FeatureParams],
    inputs: Mapping[str, NDArray[np.float32]],
    float_type: str = "F32",
) -> Recording:
    """Compile a network as far as its integers, and run them.

    Args:
        python: of the environment that TPU-MLIR is installed in.
        folder: an empty one to work in.
        model: the float network.
        chip: as TPU-MLIR names it.
        features: tensor -> its quantization parameters.
        inputs: input -> float32 [pictures, *shape].
        float_type: of the layers whose outputs have no quantization parameters.

    Raises:
        UserError: with the last lines of its log, if a step leaves no file.
    """
    shapes = ",".join(f"[{','.join(map(str, values.shape[1:]))}]" for values in inputs.values())
    name, work = "net", folder
    run_tool(
        [python.with_name("model_transform.py"), "--model_name", name, "--model_def", model, "--input_shapes",
         f"[{shapes}]", "--mlir", f"{name}.mlir"],
        work, f"{name}.mlir",
    )  # fmt: skip
    tensors = layer_tensors(work / f"{name}.mlir", features)
    table = _table(tensors, features)
    (work / "table").write_text(table)
    np.savez(work / "inputs.npz", **dict[str, Any](inputs))
    (work / "qtable").write_text(_float_layers(work / f"{name}.mlir", tensors, float_type))
    run_tool([python, RECORDER, f"{name}.mlir", chip, "table", "inputs.npz", "codes.npz", "qtable"], work, "codes.npz")
    quantized = _quantized(work / f"{name}_{chip}.mlir")
    with np.load(work / "codes.npz") as stored:
        values = {key.replace("\\", "/"): stored[key] for key in stored.files if key.replace("\\", "/") in quantized}
    known = {mlir: tensor for mlir, tensor in tensors.items() if mlir in values}
    known |= {mlir: fed for fed in inputs for mlir in values if mlir not in known and CAST.fullmatch(mlir, len(fed))
              and mlir.startswith(fed)}  # fmt: skip
    codes = {tensor: np.rint(values[mlir]).astype(np.int64) for mlir, tensor in known.items()}
    permuted = {tensor for mlir, tensor in known.items() if mlir.endswith("_Depth2Space")}
    return Recording(codes, sorted(values.keys() - known.keys()), permuted, table)


def run_tool(command: Iterable[object], folder: Path, made: str) -> None:
    """Run a step; what counts is the file that it leaves."""
    words = [str(word) for word in command]
    bin_folder = Path(words[0]).parent
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    (folder / f"{made}.log").write_text(done.stdout + done.stderr)
    if not (folder / made).exists():
        last = " | ".join((done.stdout + done.stderr).strip().splitlines()[-4:])
        raise UserError(f"TPU-MLIR left no {made}: {last}")


def _located(text: str) -> dict[str, list[str]]:
    """Name of each operation's result in an mlir file -> the operation's line; several results share one."""
    named = dict(re.findall(r'^(#loc\d+) = loc\("([^"]+)"\)', text, re.MULTILINE))
    fused = dict(re.findall(r"^(#loc\d+) = loc\(fused\[([^]]*)\]\)", text, re.MULTILINE))
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        found = re.search(r"loc\((#loc\d+)\)\s*$", line)
        if found is None or " = " not in line or "top.Weight" in line:
            continue
        names = [named.get(part.strip(), "") for part in str(fused.get(found[1], found[1])).split(",")]
        for name in filter(None, names):
            lines.setdefault(name, []).append(line)
    return lines


def layer_tensors(mlir: Path, features: Collection[str]) -> dict[str, str]:
    """Name in the mlir file -> tensor of the network, of those that have codes; `<output>_<operator>` mostly."""
    names = {}
    for name in _located(mlir.read_text()):
        tensor = name  # a structure that became another operator has one suffix more for each step
        while tensor and tensor not in features:
            tensor = tensor.rpartition("_")[0]
        if tensor:
            names[name] = tensor
    return names


def _table(tensors: Mapping[str, str], features: Mapping[str, FeatureParams]) -> str:
    lines = ["# mlir version: v1.30.2", "# op_name    threshold    min    max"]
    for name, tensor in tensors.items():
        feature = features[tensor]
        most = threshold(feature.scale, feature.zero_point, feature.bits)
        lines.append(f"{name} {most:.7f} {-most if feature.zero_point else 0:.7f} {most:.7f}")
    return "\n".join(lines) + "\n"


def _float_layers(mlir: Path, tensors: Mapping[str, str], float_type: str) -> str:
    """The qtable: all layers whose output has no codes."""
    names = [name for name, lines in _located(mlir.read_text()).items() if "top.Input" not in lines[0]]
    return "".join(f"{name} {float_type}\n" for name in names if name not in tensors)


def _quantized(mlir: Path) -> set[str]:
    """Names of the tensors that have codes in a lowered network."""
    lines = _located(mlir.read_text())
    return {name for name, found in lines.items() if any(QUANTIZED.search(line.rpartition("->")[2]) for line in found)}
