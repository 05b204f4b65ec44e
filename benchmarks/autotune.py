"""Widths a node against uniform ones: `python -m benchmarks.autotune --network lite0 --data DIR`.

Calibrates as benchmarks.accuracy does, with the same DIR, in a temporary folder, and simulates exactly for the T41
(features 4, 8, 10, 12 bits, weights 2, 4, 6, 8): uniform widths, allotments of the same mean bits, and the cheapest
allotments within an error, or that err no more than uniform widths. No evaluation picture calibrates, and none is tuned
on: errors are those on the calibration set's validation pictures, which need no label.

network, method    uniform F/W; or autotune and what it was asked for
mean_feature_bits, mean_weight_bits    by elements
latency, size, bitops    ms by conf/cost/t41.yaml, bytes of weights, multiplications times the bits of both operands
top1, agreement    pictures that are right, and that keep the float network's best class (lite0); count: of how many
map, map50         COCO's mean average precision (yolox)
cosine             of the outputs with the float network's, mean over the pictures
seconds            user and system seconds of the autotune call; the first one measures, later ones find that on disk
beside             load of the machine's cores when it began, by other processes (one-minute average)
bars               what the row must reach -> whether it does

Further arguments are overrides for all rows, `quant.rounding=compensate` for instance.
"""

import argparse
import contextlib
import math
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.accuracy import compose, prepare, split
from benchmarks.bars import Row
from benchmarks.common import alone, run
from benchmarks.detection import require_metric
from benchmarks.evaluation import FLOAT, QUANTIZED, TASKS, float_outputs, moved, score, simulated_outputs
from benchmarks.networks import find_data
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.console import console, output
from stages.core.base.paths import AUTOTUNE
from stages.core.command import guarded

SETTINGS = ("soc=t41", "quant.feature_method=OUTPUT", "quant.weight_method=MSE")
"""What takes seconds and serves narrow widths best; every row has it."""
UNIFORM = {"lite0": ("4/4", "8/4", "8/6", "8/8", "10/8", "12/8"), "yolox": ("8/6", "8/8", "10/8", "12/8")}
"""Uniform widths, features/weights; of YOLOX-nano, which bears little, those that are not far from 8 bits."""
BITS = AUTOTUNE / "node_bits.json"
COSTS = ("latency", "bitops")
TARGETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lite0": (("error=0.02",), ("error=0.01",)),
    "yolox": (("error=10/8",), ("error=12/8",), ("error=0.03", "--allow-float")),
}
"""What is to be reached, and further arguments. Of EfficientNet-Lite0 errors of about twice what is missing of a cosine
of 0.99 and 0.995, which count as good; of YOLOX-nano what the best uniform widths have, and more than any has."""
POINTS = 0.003
"""How much top-1 or mAP may fall below the float network's to be called float accuracy: 0.3 points."""
NOISE = 5e-4
"""Difference of a cosine that says nothing."""
LIMIT = 600.0
"""User and system seconds of a first call: 5 minutes on 2 cores."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.autotune",
        description=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", choices=TASKS, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of pictures and networks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("overrides", nargs="*", help="further overrides, for every row")
    arguments = parser.parse_args()

    def work() -> None:
        target = arguments.json.resolve() if arguments.json else None
        measure(arguments.network, arguments.data.resolve(), arguments.overrides, target)

    sys.exit(guarded(work, arguments.debug))


def measure(name: str, data: Path, overrides: Sequence[str], target: Path | None) -> None:
    """Measure all rows, write them as they come and print the table.

    Raises:
        UserError: if the data or a library is missing, or the overrides cannot be composed.
    """
    task = TASKS[name]
    if not task.classifies:
        require_metric()
    pictures, file = find_data(task.network, data, least=task.period)
    calibration, evaluation = split(pictures, 0, task.period)
    rows: list[Row] = []
    settings = [*SETTINGS, *overrides]

    def add(method: str, *more: str, seconds: float | None = None, beside: float | None = None) -> Row:
        console.print(f"{name}: {method}")
        compose(task, *settings, *more)
        run("quantize")
        alone(simulated_outputs)
        found = alone(score, name, QUANTIZED, evaluation, data)[0] | alone(moved, name)[0]
        row = {"network": name, "method": method, "seconds": seconds, "beside": beside, **spent(method), **found}
        rows.append(row | {"bars": bars(row, rows, plain)})
        if target:
            write_json(target, rows)
        return row

    def tuned(*asked: str) -> Row:
        beside = os.getloadavg()[0]
        compose(task, *settings)
        seconds = run("autotune", *asked, "--no-track").cpu
        return add(f"autotune {' '.join(asked)}", f"quant.node_bits=file:{BITS}", seconds=seconds, beside=beside)

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare(calibration, evaluation, file)
        compose(task, *settings)
        for stage in ("export", "calibset", "calibrate"):
            run(stage)
        alone(float_outputs)
        plain = alone(score, name, FLOAT, evaluation, data)[0]
        tuned("--mean-bits", "6")
        for bit_widths in UNIFORM[name]:
            features, _, weights = bit_widths.partition("/")
            same = add(f"uniform {bit_widths}", f"quant.feature_bits={features}", f"quant.weight_bits={weights}")
            tuned("--mean-bits", f"{_rounded_up(same['mean_feature_bits'])}/{_rounded_up(same['mean_weight_bits'])}")
        for wanted, *more in TARGETS[name]:
            for cost in COSTS:
                tuned("--target", wanted, *more, "--minimize", cost)
    output.print(table(rows))
    if not any(float_like(row, plain) for row in rows if row["method"].startswith("uniform")):
        output.print(f"no uniform widths have float accuracy: {accuracy(plain | {'count': 1}) - POINTS:.4g} or more")


def _rounded_up(bits: float) -> str:
    """Mean bits as an argument that still allows the uniform widths whose mean they are."""
    return f"{math.ceil(bits * 1e4 - 1e-6) / 1e4:g}"


def spent(method: str) -> Row:
    """Mean bits and costs as the last report of autotune has them: of uniform widths, or of what it chose."""
    rows = {row["name"]: row for row in read_json(AUTOTUNE / "autotune.json")["rows"]}
    row = rows.get(method) or rows["chosen"]
    means = {"mean_feature_bits": row["feature bits"], "mean_weight_bits": row["weight bits"]}
    return means | {cost: row[cost] for cost in ("latency", "size", "bitops")}


def accuracy(row: Row) -> float:
    """Top-1 as a share of the pictures, or mAP."""
    return float(row["map"] if "map" in row else row["top1"] / row["count"])


def float_like(row: Row, plain: Row) -> bool:
    """Whether a row has float accuracy."""
    return accuracy(row) >= accuracy(plain | {"count": row["count"]}) - POINTS


def bars(row: Row, before: Sequence[Row], plain: Row) -> dict[str, bool]:
    """Hold a row against what it must reach.

    Args:
        row: with all but its bars.
        before: the rows before it.
        plain: the float network's score.
    """
    if row["method"].startswith("uniform"):
        return {}
    found: dict[str, bool] = {}
    uniform = [other for other in before if other["method"].startswith("uniform")]
    if example := re.search(r"--target error=(\d+/\d+) .*--minimize (\w+)", row["method"]):
        (same,) = (other for other in uniform if other["method"] == f"uniform {example[1]}")
        found = {
            f"accuracy of {example[1]}": accuracy(row) >= accuracy(same) - POINTS,
            f"{example[2]} below {example[1]}": row[example[2]] < same[example[2]],
        }
    elif "--target" in row["method"]:
        cost = row["method"].split()[-1]
        least = min((other[cost] for other in uniform if float_like(other, plain)), default=math.inf)
        found = {"float accuracy": float_like(row, plain), f"{cost} below uniform": row[cost] < least}
    elif any(float_like(other, plain) for other in uniform):
        # more bits can win nothing but cost, whatever noise makes of it
        same = uniform[-1]
        found = {
            "as exact": row["cosine"] >= same["cosine"] - NOISE and accuracy(row) >= accuracy(same) - POINTS,
            "no dearer": row["latency"] <= same["latency"] * 1.000001,
        }
    elif uniform:
        found = {"cosine": row["cosine"] > uniform[-1]["cosine"], "accuracy": accuracy(row) > accuracy(uniform[-1])}
    if not before and row["seconds"] is not None:
        found["seconds"] = row["seconds"] <= LIMIT
    return found


def table(rows: Sequence[Row]) -> Table:
    """A row a method; costs beside those of uniform 8/8."""
    keys = [key for key in rows[0] if key not in ("network", "bars", "count", "beside")]
    shown = Table(title="autotune")
    for key in (*keys, "bars"):
        shown.add_column(key.replace("_", " "), justify="left" if key in ("method", "bars") else "right")
    for row in rows:
        held = ", ".join(f"{bar}: {'pass' if passed else 'FAIL'}" for bar, passed in row["bars"].items())
        shown.add_row(*(_cell(row.get(key)) for key in keys), held)
    return shown


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
