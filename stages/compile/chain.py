"""The steps from a network to a compiled one, in a folder of their own."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compile.layers import Arrays, layer_rows
from stages.compile.tools import Tools
from stages.core.base.artifacts import read_json
from stages.core.base.errors import UserError
from stages.core.statistics.metrics import distance
from stages.core.tpu_mlir.calls import with_folder
from stages.core.tpu_mlir.compiled import weight_file
from stages.core.tpu_mlir.names import CAST_SUFFIX
from stages.core.tpu_mlir.tables import (
    Layer,
    TableError,
    calibration_table,
    check_qtable,
    check_table,
    read_mlir,
    write_qtable,
)

__all__ = ["Compiled", "compile_network"]

INTEGER_NAMES = {"i8": "int8", "u8": "int8", "i16": "int16"}
VERSION_MARK = "TPU-MLIR "
STEPS = {"i8": 127, "u8": 255, "i16": 127 * 257}
"""Codes up to the threshold, by the type of a layer's output: some that float layers take have 16 bits."""
MAX_OWN_SCALES = 0.5
"""Part of the layers: where more got scales of their own the table was not read."""
FLOAT_ROUNDING = 2.0**-7
"""Of the largest value: what sums of F16 or BF16 numbers in another order may differ by."""
SCALE_TOLERANCE = 1e-5
"""Relative: the table has seven decimals."""


@dataclass(frozen=True)
class Compiled:
    """What the compiler made.

    Attributes:
        record: what `compiled.json` says of it.
        rows: its layers, as `layer_rows` gives them.
        files: what is kept, in the work folder.
    """

    record: dict[str, Any]
    rows: list[dict[str, Any]]
    files: list[str]


def compile_network(board: Path, work: Path, tools: Tools, integer: onnx.ModelProto) -> Compiled:
    """Run all steps and check what came of them.

    Args:
        board: the folder that build has written.
        work: an empty folder; all steps run in it.
        tools: the compiler.
        integer: the integer model, to compare with.

    Raises:
        UserError: if a step fails, or made another network than was asked for.
    """
    calls = read_json(board / "steps.json")
    name, prefix = calls["name"], Path(calls["model"]).stem
    if calls["quantize"] == "INT8":
        prefix += "_sym"
    said = tools.run(
        with_folder(calls["transform"], board), work, f"{name}.mlir", f"{name}_in_f32.npz", f"{name}_top_outputs.npz"
    )
    if calls["quantize"] == "INT8":
        _write_tables(board, work, name)
    if calls["calibrate"]:
        tools.run(with_folder(calls["calibrate"], board), work, f"{name}_table")
    # it clears away the outputs that it has compared, but for this option
    kept = f"{prefix}_model_outputs.npz"
    tools.run([*calls["deploy"], "--cache_skip"], work, calls["model"], kept)
    # and the weights of the network before compiling, which simulates it in a thirtieth of the time
    lowered = f"{prefix}_tpu.mlir"
    tools.run([*calls["deploy"], "--not_gen_bmodel"], work, lowered)
    dumped = f"{name}_tpu_outputs.npz"
    inputs = ["--input", f"{name}_in_f32.npz", "--model", lowered]
    tools.run(["model_runner.py", *inputs, "--output", dumped, "--dump_all_tensors"], work, dumped)
    shutil.move(work / kept, work / f"{name}_model_outputs.npz")

    layers = _layers(work / f"{name}.mlir")
    compiled = _layers(work / lowered)
    own_scales = _check_layers(calls, layers, compiled, work, lowered)
    top, simulated = _arrays(work / f"{name}_top_outputs.npz"), _arrays(work / dumped)
    record = {
        "compiler": next((line.partition(VERSION_MARK)[2].strip() for line in said if VERSION_MARK in line), ""),
        "chip": calls["chip"],
        "model": calls["model"],
        "lowered": lowered,
        "bytes": (work / calls["model"]).stat().st_size,
        "layers": dict(sorted(Counter(layer.kind for layer in layers).items())),
        "types": _types(layers, compiled),
        "own_scales": own_scales,
        "outputs": _outputs(top, simulated, _arrays(work / f"{name}_model_outputs.npz"), compiled),
    }
    files = [calls["model"], lowered, weight_file(work / lowered), f"{name}.mlir"]
    files += [f"{name}_{part}.npz" for part in ("in_f32", "top_outputs", "tpu_outputs", "model_outputs")]
    tables = [f"{name}_table", f"{name}_qtable"] if calls["quantize"] == "INT8" else []
    feeds = _arrays(work / f"{name}_in_f32.npz")
    rows = layer_rows(layers, compiled, (top, simulated), read_json(board / "ranges.json")["layers"], integer, feeds)
    return Compiled(record, rows, [*files, *tables])


def _write_tables(board: Path, work: Path, name: str) -> None:
    """Write both tables for the layers that the compiler really has, and check them."""
    ranges = read_json(board / "ranges.json")
    layers = _layers(work / f"{name}.mlir")
    try:
        table, qtable = calibration_table(layers, ranges), write_qtable(layers, ranges)
        check_table(table, layers)
        check_qtable(qtable, layers, ranges["chip_types"])
    except TableError as error:
        raise UserError(f"no calibration table for {name}.mlir: {error}") from error
    (work / f"{name}_table").write_text(table, encoding="utf-8")
    (work / f"{name}_qtable").write_text(qtable, encoding="utf-8")


def _layers(path: Path) -> list[Layer]:
    try:
        return read_mlir(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path.name}: {error}") from error


def _check_layers(
    calls: Mapping[str, Any], layers: Sequence[Layer], compiled: Sequence[Layer], work: Path, lowered: str
) -> list[str]:
    """Refuse a network for another chip, or one that does not follow the tables.

    Returns:
        The layers that got another scale than the table's: the compiler lets some share one, as a Concat's operands.
    """
    if f'module.chip = "{calls["chip"]}"' not in (work / lowered).read_text(encoding="utf-8"):
        raise UserError(f"{lowered} is not for the {calls['chip']}: which TPU-MLIR is this?")
    if calls["quantize"] != "INT8":
        return []
    by_name = {name: layer for layer in compiled for name in layer.outputs}
    thresholds = {name: float(row[0]) for name, *row in _rows(work / f"{calls['name']}_table")}
    floats = [name for name, _ in _rows(work / f"{calls['name']}_qtable")]
    coded = [name for name in floats if name in by_name and by_name[name].scale]
    if coded:
        raise UserError(f"{lowered}: {coded[0]} has codes, although the qtable keeps it in float")
    quantized = [name for name in thresholds if name in by_name and by_name[name].scale]
    others = [name for name in quantized if not _follows(by_name[name], thresholds[name])]
    if len(others) > MAX_OWN_SCALES * len(layers):
        raise UserError(f"{lowered} does not follow the calibration table: {len(others)} layers have other scales")
    return others


def _follows(layer: Layer, threshold: float) -> bool:
    step = threshold / STEPS[layer.type]
    return abs(layer.scale - step) <= SCALE_TOLERANCE * step


def _rows(path: Path) -> list[list[str]]:
    """The rows of a table."""
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def _types(layers: Sequence[Layer], compiled: Sequence[Layer]) -> dict[str, int]:
    """How many layers of the network run in each type."""
    names = {layer.name for layer in layers if layer.kind != "Input"}
    kinds = Counter(INTEGER_NAMES.get(layer.type, layer.type) for layer in compiled if layer.name in names)
    return dict(sorted(kinds.items()))


def _outputs(top: Arrays, simulated: Arrays, compiled: Arrays, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """How like the float outputs those of the compiled network are, and whether they equal the simulated ones.

    `codes_apart` is the largest difference to those in codes; None of an output in float. `near_simulation` allows one
    code, and in float what 16 bits round.
    """
    scales = {output: layer.scale for layer in layers for output in layer.outputs}
    rows = []
    for output, values in compiled.items():
        stem = output.removesuffix(CAST_SUFFIX)
        reference = top.get(output, top.get(stem))
        before = simulated.get(output, simulated.get(stem))
        if reference is None or before is None or reference.size != values.size or before.size != values.size:
            raise UserError(f"the compiled network's output {output} is none of the float network's")
        measured = distance(reference.astype(np.float32).reshape(-1), values.astype(np.float32).reshape(-1))
        difference = float(np.abs(before.reshape(-1).astype(np.float64) - values.reshape(-1)).max())
        codes = round(difference / scales[stem]) if scales.get(stem) else None
        largest = float(np.abs(before).max(initial=0.0))
        rows.append(
            {
                "output": stem,
                "cosine": measured.cosine,
                "euclidean_similarity": measured.euclidean_similarity,
                "equals_simulation": difference == 0.0,
                "largest_difference": difference,
                "codes_apart": codes,
                "near_simulation": difference <= FLOAT_ROUNDING * largest if codes is None else codes <= 1,
            }
        )
    return rows


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}
