"""Reading the profile log that a board program built with `build_type=profile` prints.

Form, from the vendor's samples: a title (`===== Detailed DispatchProfiler Summary ... =====`), a heading that begins
with LayerName, a row a layer, then a second table, a row an operator type, whose heading has CalledTimes, and
`Total: 37.351 ms`. Long names push the columns aside, so rows are split at white space; what is missing reads N/A.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.core.base.errors import UserError, one_line
from stages.core.base.texts import read_text

__all__ = ["LayerRow", "OperatorRow", "ProfileRun", "averaged", "parse_log", "read_log"]

NOT_AVAILABLE = "N/A"
SHAPE_COLUMNS = ("FilterShape", "Stride", "Pad", "Dila")  # after the shapes of inputs and output
BANDWIDTH_COLUMN = re.compile(r"(Total)?(BW|BandWidth)\(MB\)", re.IGNORECASE)
LINE_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*)+")  # what terminals and kernels put in front: [   12.345678]
COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
TOTAL_LINE = re.compile(r"^Total:\s*([0-9.]+)\s*ms\b")
HEADING = "LayerName OperatorType InputShape OutputShape FilterShape Stride Pad Dila Avg(ms) ..."


@dataclass(frozen=True)
class LayerRow:
    """A layer's row.

    Attributes:
        name: as the converter named it.
        operator: the vendor's type: Convolution, ...
        inputs: shapes of the inputs, NHWC; of several where the row has several.
        output: shape of the output, NHWC.
        filter: [height, width, channels in, channels out]; empty: none.
        average: ms, over the cycles.
        gops: 10^9 operations, two a multiplication; None: not said.
        megabytes: 2^20 bytes moved; None: not said.
    """

    name: str
    operator: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    filter: tuple[int, ...]
    average: float
    gops: float | None = None
    megabytes: float | None = None


@dataclass(frozen=True)
class OperatorRow:
    """An operator type's row in the second table.

    Attributes:
        operator: the vendor's type.
        average: ms of all its layers.
        called: how many there are.
    """

    operator: str
    average: float
    called: int


@dataclass(frozen=True)
class ProfileRun:
    """One profile.

    Attributes:
        line: where its heading stands in the file, from 1.
        layers: in the order they ran.
        operators: the second table; empty if the log lacks it.
        total: ms, as the log has it; else the sum of the layers.
    """

    line: int
    layers: tuple[LayerRow, ...]
    operators: tuple[OperatorRow, ...]
    total: float

    @property
    def lost(self) -> float:
        """The share of the total that no row accounts for: above 0 where rows are missing."""
        return 1 - sum(row.average for row in self.layers) / self.total if self.total else 0.0


def read_log(path: Path) -> list[ProfileRun]:
    """Read a log's runs.

    Raises:
        UserError: if the file cannot be read or is no profile log.
    """
    try:
        return parse_log(read_text(path, errors="replace"), str(path))
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give the log in it") from None
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error


def parse_log(text: str, name: str) -> list[ProfileRun]:
    """Find the runs in a log; lines around them and between their rows are passed over.

    Args:
        text: the log.
        name: the file's, for errors.

    Raises:
        UserError: if there is no run, or a row is damaged.
    """
    lines = [_cleaned(line) for line in text.splitlines()]
    starts = [index for index, line in enumerate(lines) if _is_layer_heading(line)]
    if not starts:
        first = next((line for line in lines if line), "")
        seen = f"its first line is {first[:60]!r}" if first else "it is empty"
        raise UserError(
            f"{name} is no profile log: expected a line {HEADING}; {seen}. "
            "A board program built with build_type=profile prints it"
        )
    runs = [_run(lines, start, end, name) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    with_layers = [run for run in runs if run.layers]
    if not with_layers:
        raise UserError(f"{name}, line {starts[0] + 1}: expected rows of layers below this heading; there are none")
    return with_layers


def averaged(runs: Sequence[ProfileRun], name: str) -> ProfileRun:
    """Average several runs of the same network: the mean of each layer's time.

    Args:
        runs: at least one.
        name: the file's, for errors.

    Raises:
        UserError: if their layers are not the same.
    """
    first = runs[0]
    layers = [[(row.name, row.operator, row.inputs) for row in run.layers] for run in runs]
    for index, of_run in enumerate(layers):
        if of_run != layers[0]:
            raise UserError(
                f"{name}: run {index + 1} (line {runs[index].line}) has other layers than run 1 "
                f"({len(of_run)}, not {len(layers[0])}): pick one with --run"
            )
    columns = zip(*(run.layers for run in runs), strict=True)
    rows = tuple(replace(rows[0], average=_mean([row.average for row in rows])) for rows in columns)
    return ProfileRun(first.line, rows, first.operators, _mean([run.total for run in runs]))


def _run(lines: Sequence[str], start: int, end: int, name: str) -> ProfileRun:
    stop = next((index for index in range(start + 1, end) if _is_operator_heading(lines[index])), end)
    columns = lines[start].split()
    if columns[: len(HEADING.split()) - 2] != HEADING.split()[:-2]:
        raise UserError(f"{name}, line {start + 1}: expected the columns {HEADING}; found {' '.join(columns)!r}")
    layers = tuple(_layers(lines, range(start + 1, stop), columns[8:], name))
    operators: list[OperatorRow] = []
    if stop < end:
        heading = lines[stop].split()
        operators = [row for line in lines[stop + 1 : end] if (row := _operator(line.split(), heading)) is not None]
    totals = [float(match[1]) for line in lines[start + 1 : end] if (match := TOTAL_LINE.match(line)) is not None]
    return ProfileRun(start + 1, layers, tuple(operators), totals[0] if totals else sum(row.average for row in layers))


def _layers(lines: Sequence[str], span: range, columns: Sequence[str], name: str) -> Iterator[LayerRow]:
    """Parse rows; a name that stands on a line of its own belongs to the next."""
    before = ""
    for index in span:
        row = _layer(lines[index], columns) or (_layer(f"{before} {lines[index]}", columns) if before else None)
        if row is None and lines[index].count("{") > 1:
            raise UserError(
                f"{name}, line {index + 1}: expected a layer's row with {' '.join(columns)} at its end; "
                f"found {lines[index][:100]!r}"
            )
        if row is not None:
            yield row
        before = lines[index] if row is None else ""


def _layer(line: str, columns: Sequence[str]) -> LayerRow | None:
    """Parse a row from both ends: names may hold blanks, and several inputs several shapes."""
    fields = line.split()
    front, values = fields[: -len(columns)], _values(fields[-len(columns) :], columns)
    first = next(
        (i for i, field in enumerate(front) if i >= 2 and (field.startswith("{") or field == NOT_AVAILABLE)), None
    )
    if first is None or values is None or front[first - 1].startswith("{"):
        return None
    shapes = [_shape(field) for field in front[first:]]
    average = values.get("Avg(ms)")
    if len(shapes) < 2 + len(SHAPE_COLUMNS) or None in shapes or average is None:
        return None
    known = [shape for shape in shapes if shape is not None]
    *inputs, output, kernel = known[: -len(SHAPE_COLUMNS) + 1]
    megabytes = next((value for column, value in values.items() if BANDWIDTH_COLUMN.fullmatch(column)), None)
    return LayerRow(
        " ".join(front[: first - 1]),
        front[first - 1],
        tuple(shape for shape in inputs if shape),
        output,
        kernel,
        average,
        values.get("GOPs"),
        megabytes,
    )


def _operator(fields: Sequence[str], heading: Sequence[str]) -> OperatorRow | None:
    values = _values(fields[1:], heading[1:])
    if values is None:
        return None
    average, called = values.get("Avg(ms)"), values.get("CalledTimes")
    return None if average is None or called is None else OperatorRow(fields[0], average, round(called))


def _values(fields: Sequence[str], columns: Sequence[str]) -> dict[str, float | None] | None:
    """Numbers by column, N/A as None; None if there are more or fewer, or one is no number."""
    if len(fields) != len(columns):
        return None
    numbers: dict[str, float | None] = {}
    for column, text in zip(columns, fields, strict=True):
        if text == NOT_AVAILABLE:
            numbers[column] = None
            continue
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            return None
        if not (math.isfinite(number) and number >= 0):
            return None
        numbers[column] = number
    return numbers


def _shape(text: str) -> tuple[int, ...] | None:
    """Sizes in {1,2,3}; empty for N/A; None for anything else."""
    if text in (NOT_AVAILABLE, "{}"):
        return ()
    match = re.fullmatch(r"\{(\d+(?:,\d+)*)\}", text)
    return tuple(int(size) for size in match[1].split(",")) if match else None


def _cleaned(line: str) -> str:
    """A line without colours and time stamps; lists and percentages in one piece, neighbouring lists apart."""
    line = LINE_PREFIX.sub("", COLOUR_CODE.sub("", line).strip())
    line = re.sub(r"\{[^{}]*\},?", lambda match: f" {_joined(match[0])} ", line)
    return re.sub(r"(\d)\s+%", r"\1%", line).strip()


def _joined(shape: str) -> str:
    return "".join(shape.split()).removesuffix(",")


def _is_layer_heading(line: str) -> bool:
    return line.startswith("LayerName") and "Avg(ms)" in line.split()


def _is_operator_heading(line: str) -> bool:
    return line.startswith("OperatorType") and {"Avg(ms)", "CalledTimes"} <= {*line.split()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
