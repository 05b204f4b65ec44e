"""Writes the calibration table and the qtable of TPU-MLIR for a network whose .mlir model_transform.py has written.

    python3 tables.py NET.mlir ranges.json TABLE QTABLE

The names of the layers are known from the .mlir alone: the compiler merges and renames some. It ignores a row whose
name it does not know, and ends without a reason where one is missing, so both files are checked before it sees them.
This file needs Python 3.10, as TPU-MLIR does, and nothing else: build copies it into its folder.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Layer",
    "TableError",
    "calibration_table",
    "check_qtable",
    "check_table",
    "main",
    "read_mlir",
    "write_qtable",
]

REAL = re.compile(r"(?:!quant\.calibrated<)?(\w+)")
UNNAMED = ("Weight", "None")
"""Operators that are no layers."""
MOVES = ("Reshape", "Permute", "Depth2Space", "Slice", "Squeeze", "Unsqueeze", "Flatten", "Upsample", "MaxPool", "Tile")
"""Operators that pass on the values of their first operand."""
OPERATION = re.compile(
    r'^ *(%\w+)(?::\d+)? = "(?:top|tpu)\.(\w+)"\(([^)]*)\).* -> \(?tensor<(?:\d+x)*(.+) loc\((#\w+|"[^"]*")\)$'
)
CODES = re.compile(r"!quant\.uniform<(\w+):f32, ([0-9.eE+-]+)")
LOCATION = re.compile(r"^(#\w+) = loc\((.*)\)$")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
HEADER = """\
# mlir version: v1.30.2 cali version 1.0
# quantization threshold calculation method: {method}
# op_name    threshold    min    max
"""


class TableError(ValueError):
    """What is wrong with a .mlir, a table or a qtable: one line."""


class Layer(NamedTuple):
    """A layer of a .mlir.

    Attributes:
        name: of its first output, as tables have it.
        outputs: names of all.
        kind: its operator, as "Conv".
        operands: names of the features that it takes; weights are left out.
        type: of its first output: "f32", "f16", ..., of codes "i8" or "u8".
        scale: of its codes; 0 for float.
    """

    name: str
    outputs: tuple[str, ...]
    kind: str
    operands: tuple[str, ...]
    type: str = "f32"
    scale: float = 0.0


def read_mlir(text: str) -> list[Layer]:
    """List the layers of a .mlir in its order, inputs first.

    Raises:
        TableError: if it has none.
    """
    lines = text.splitlines()
    locations = {match[1]: tuple(QUOTED.findall(match[2])) for match in map(LOCATION.match, lines) if match}
    named: dict[str, tuple[str, ...]] = {}
    layers = []
    for match in filter(None, map(OPERATION.match, lines)):
        value, kind, operands, result, location = match.groups()
        names = locations.get(location, ()) if location.startswith("#") else (location[1:-1],)
        if kind in UNNAMED or not names:
            continue
        named[value] = names
        taken = [operand.strip().partition("#") for operand in operands.split(",")]
        known = tuple(_output(named[name], index) for name, _, index in taken if name in named)
        coded, real = CODES.match(result), REAL.match(result)
        type_name = coded[1] if coded else real[1] if real else ""
        layers.append(Layer(names[0], names, kind, known, type_name, float(coded[2]) if coded else 0.0))
    if not layers:
        raise TableError("the .mlir has no layers: model_transform.py did not write it whole, or another release did")
    return layers


def _output(names: Sequence[str], index: str) -> str:
    return names[int(index) if index else 0]


def calibration_table(layers: Iterable[Layer], ranges: dict[str, Any]) -> str:
    """Write the calibration table: a row for every output of every layer.

    Args:
        layers: of the .mlir.
        ranges: as build writes them: `tensors` maps a layer's expected name to threshold, min and max; `method` says
            how they were chosen.

    Raises:
        TableError: naming the layers that nothing is known of.
    """
    rows: dict[str, Sequence[float]] = {}
    unknown = []
    for layer in layers:
        for name in layer.outputs:
            key = _key(name, ranges["tensors"])
            if key is not None:
                rows[name] = ranges["tensors"][key]
            elif layer.kind in MOVES and layer.operands and layer.operands[0] in rows:
                rows[name] = rows[layer.operands[0]]
            else:
                unknown.append(f"{name} ({layer.kind})")
    if unknown:
        raise TableError(
            "the compiler makes layers whose ranges are not known: {}; keep the nodes they come from in float "
            "(quant.skip_nodes)".format(", ".join(unknown))
        )
    lines = ["{} {:.7f} {:.7f} {:.7f}\n".format(name, *row) for name, row in rows.items()]
    return HEADER.format(method=ranges["method"]) + "".join(lines)


def write_qtable(layers: Iterable[Layer], ranges: dict[str, Any]) -> str:
    """Write the qtable: the layers that stay in float, or take another type than the rest.

    Args:
        layers: of the .mlir.
        ranges: as build writes them: `types` maps a layer's expected name to its type.
    """
    lines = ["# layer type\n"]
    for layer in layers:
        key = _key(layer.name, ranges["types"])
        if key is not None and layer.kind != "Input":
            lines.append("{} {}\n".format(layer.name, ranges["types"][key]))
    return "".join(lines)


def check_table(text: str, layers: Iterable[Layer]) -> None:
    """Refuse a calibration table that the compiler would misread.

    Raises:
        TableError: with the line and the reason: a row of other than four columns, a name that no layer has or that is
            there twice, a number that is no plain decimal, a threshold that is not positive, min above max; or with the
            names that have no row.
    """
    known = {name for layer in layers for name in layer.outputs}
    seen: set[str] = set()
    for number, columns in _rows(text):
        if len(columns) != 4:
            raise TableError(f"line {number}: {len(columns)} columns, not name, threshold, min and max")
        name = columns[0]
        _check_name(name, number, known, seen)
        for column in columns[1:]:
            if not NUMBER.fullmatch(column):
                raise TableError(f"line {number}: {column} is no plain decimal, as 0.0078125")
        threshold, low, high = map(float, columns[1:])
        if threshold <= 0.0:
            raise TableError(f"line {number}: the threshold of {name} is {columns[1]}, not above 0")
        if low > high:
            raise TableError(f"line {number}: the min of {name} is above its max")
    missing = sorted(known - seen)
    if missing:
        raise TableError(f"no row for {_listed(missing)}")


def check_qtable(text: str, layers: Iterable[Layer], types: Sequence[str]) -> None:
    """Refuse a qtable that the compiler would misread.

    Args:
        text: of the qtable.
        layers: of the .mlir.
        types: those that the chip has, as "F16".

    Raises:
        TableError: with the line and the reason.
    """
    known = {layer.name for layer in layers}
    seen: set[str] = set()
    for number, columns in _rows(text):
        if len(columns) != 2:
            raise TableError(f"line {number}: {len(columns)} columns, not name and type")
        _check_name(columns[0], number, known, seen)
        if columns[1] not in types:
            raise TableError("line {}: the chip has no {}; it has {}".format(number, columns[1], ", ".join(types)))


def _rows(text: str) -> Iterable[tuple[int, list[str]]]:
    """The lines of a table that hold something, counted from 1, as columns."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.split()


def _check_name(name: str, number: int, known: set[str], seen: set[str]) -> None:
    if name not in known:
        near = sorted(each for each in known if name in each or each in name)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TableError(f"line {number}: no layer is called {name}{hint}")
    if name in seen:
        raise TableError(f"line {number}: {name} is there twice")
    seen.add(name)


def _key(name: str, expected: dict[str, Any]) -> Any:
    """The expected name of a layer: its own, or that of what it was made from (`NAME_r_KIND`); None if none is."""
    stem = name.rpartition("_r_")[0]
    return name if name in expected else stem if stem in expected else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def main(arguments: Sequence[str]) -> None:
    """Write and check both files."""
    mlir, ranges_file, table, qtable = arguments
    layers = read_mlir(Path(mlir).read_text(encoding="utf-8"))
    ranges = json.loads(Path(ranges_file).read_text(encoding="utf-8"))
    texts = calibration_table(layers, ranges), write_qtable(layers, ranges)
    check_table(texts[0], layers)
    check_qtable(texts[1], layers, ranges["chip_types"])
    for path, text in zip((table, qtable), texts, strict=False):
        Path(path).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TableError as error:
        sys.exit(f"error: {error}")
