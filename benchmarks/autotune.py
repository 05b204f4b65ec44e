"""Mixed precision against uniform bit widths: `python -m benchmarks.autotune --network lite0 --data DIR`.

Calibrates as benchmarks.accuracy does, with the same DIR, in a temporary folder, and simulates exactly for the T41
(features 4, 8, 10, 12 bits, weights 2, 4, 6, 8): uniform bit widths, bit allocations of the same mean bits, and the
cheapest allocations within an error, or whose error is that of uniform bit widths at most. No evaluation picture
calibrates, and none is tuned on: errors are those on the calibration set's validation pictures, which need no label.

network, method    uniform F/W; or autotune and its arguments
mean_feature_bits, mean_weight_bits    by elements
latency, size, bitops    ms by conf/cost/t41.yaml, bytes of weights, multiplications times the bits of both operands
top1, agreement    pictures that are right, and that keep the float network's best class (lite0); count: pictures
map, map50         COCO's mean average precision (yolox)
cosine             of the outputs with the float network's, mean over the pictures
seconds            user and system seconds of the autotune call; the first call measures, later ones reuse its file
beside             load of the machine's cores by other processes at the start (one-minute average)
bars               what the row must reach -> whether it does

Further arguments are overrides for all rows, `quant.rounding=compensate` for instance.
"""

import contextlib
import math
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.networks import find_data
from benchmarks.common.processes import call_in_fresh_process, run_stage
from benchmarks.common.tables import Row, results_table
from benchmarks.scoring.detection import require_metric
from benchmarks.scoring.evaluation import (
    FLOAT_OUTPUTS,
    QUANTIZED_OUTPUTS,
    TASKS,
    closeness_to_float,
    score,
    write_float_outputs,
    write_simulated_outputs,
)
from benchmarks.scoring.evaluation_project import compose, link_data, split
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.console import console, output
from stages.core.base.paths import AUTOTUNE
from stages.core.command import guarded

SETTINGS = ("soc=t41", "quant.feature_method=OUTPUT", "quant.weight_method=MSE")
"""The settings that cost seconds and serve few bits best; every row has them."""
UNIFORM_BIT_WIDTHS = {"lite0": ("4/4", "8/4", "8/6", "8/8", "10/8", "12/8"), "yolox": ("8/6", "8/8", "10/8", "12/8")}
"""Features/weights; for YOLOX-nano, which loses accuracy early, those near 8 bits."""
NODE_BITS_FILE = AUTOTUNE / "node_bits.json"
MINIMIZED_COSTS = ("latency", "bitops")
TARGETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lite0": (("error=0.02",), ("error=0.01",)),
    "yolox": (("error=10/8",), ("error=12/8",), ("error=0.03", "--allow-float")),
}
"""Targets and further arguments. For EfficientNet-Lite0 errors of about 2 (1 - cosine) for the cosines 0.99 and 0.995,
which count as good; for YOLOX-nano the errors of the best uniform bit widths, and one below all of them."""
FLOAT_ACCURACY_MARGIN = 0.003
"""How far top-1 or mAP may fall below the float network's to be called float accuracy: 0.3 points."""
COSINE_NOISE = 5e-4
"""Difference of a cosine that is noise."""
MAX_FIRST_CALL_SECONDS = 600.0
"""User and system seconds of a first call: 5 minutes on 2 cores."""


def main() -> None:
    parser = benchmark_parser("benchmarks.autotune", __doc__)
    parser.add_argument("--network", choices=TASKS, required=True)
    parser.add_argument("overrides", nargs="*", help="further overrides, for every row")
    arguments = parser.parse_args()

    def work() -> None:
        Measurement(arguments.network, arguments.data.resolve(), arguments.overrides, resolved(arguments.json)).run()

    sys.exit(guarded(work, arguments.debug))


class Measurement:
    """Measures all rows of a network, in a temporary folder.

    Args:
        network: a name in `TASKS`.
        data: DIR.
        overrides: for every row.
        report: where the rows are written as they come; None: nowhere.
    """

    def __init__(self, network: str, data: Path, overrides: Sequence[str], report: Path | None) -> None:
        self.network, self.task = network, TASKS[network]
        self.data, self.report = data, report
        self.settings = [*SETTINGS, *overrides]
        self.rows: list[Row] = []
        self.float_scores: Row = {}
        self.evaluation: list[Path] = []

    def run(self) -> None:
        """Measure all rows and print the table.

        Raises:
            UserError: if the data or a library is missing, or the overrides cannot be composed.
        """
        if not self.task.classifies:
            require_metric()
        pictures, file = find_data(self.task.network, self.data, least=self.task.period)
        calibration, self.evaluation = split(pictures, 0, self.task.period)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            link_data(calibration, self.evaluation, file)
            compose(self.task, *self.settings)
            for stage in ("export", "calibset", "calibrate"):
                run_stage(stage)
            call_in_fresh_process(write_float_outputs)
            self.float_scores = self._score(FLOAT_OUTPUTS)
            self._measure_rows()
        output.print(table(self.rows))
        uniform = [row for row in self.rows if row["method"].startswith("uniform")]
        if not any(has_float_accuracy(row, self.float_scores) for row in uniform):
            least = accuracy(self.float_scores | {"count": 1}) - FLOAT_ACCURACY_MARGIN
            output.print(f"no uniform bit widths have float accuracy: {least:.4g} or more")

    def _measure_rows(self) -> None:
        self._tune("--mean-bits", "6")
        for bit_widths in UNIFORM_BIT_WIDTHS[self.network]:
            feature_bits, _, weight_bits = bit_widths.partition("/")
            overrides = f"quant.feature_bits={feature_bits}", f"quant.weight_bits={weight_bits}"
            uniform = self._add_row(f"uniform {bit_widths}", overrides)
            means = (_rounded_up(uniform[key]) for key in ("mean_feature_bits", "mean_weight_bits"))
            self._tune("--mean-bits", "/".join(means))
        for target, *more in TARGETS[self.network]:
            for cost in MINIMIZED_COSTS:
                self._tune("--target", target, *more, "--minimize", cost)

    def _tune(self, *arguments: str) -> None:
        """Call autotune and measure the bit widths that it chooses."""
        load = os.getloadavg()[0]
        compose(self.task, *self.settings)
        seconds = run_stage("autotune", *arguments, "--no-track").cpu
        method = f"autotune {' '.join(arguments)}"
        self._add_row(method, [f"quant.node_bits=file:{NODE_BITS_FILE}"], seconds=seconds, beside=load)

    def _add_row(
        self, method: str, overrides: Sequence[str], seconds: float | None = None, beside: float | None = None
    ) -> Row:
        console.print(f"{self.network}: {method}")
        compose(self.task, *self.settings, *overrides)
        run_stage("quantize")
        call_in_fresh_process(write_simulated_outputs)
        scores = self._score(QUANTIZED_OUTPUTS) | call_in_fresh_process(closeness_to_float, self.network)[0]
        row = {"network": self.network, "method": method, "seconds": seconds, "beside": beside}
        row |= bits_and_costs(method) | scores
        self.rows.append(row | {"bars": bars(row, self.rows, self.float_scores)})
        if self.report:
            write_json(self.report, self.rows)
        return row

    def _score(self, outputs: Path) -> Row:
        return call_in_fresh_process(score, self.network, outputs, self.evaluation, self.data)[0]


def _rounded_up(bits: float) -> str:
    """Mean bits as an argument that still allows the uniform bit widths whose mean they are."""
    return f"{math.ceil(bits * 1e4 - 1e-6) / 1e4:g}"


def bits_and_costs(method: str) -> Row:
    """Mean bits and costs from autotune's last report: of uniform bit widths, or of the chosen allocation."""
    rows = {row["name"]: row for row in read_json(AUTOTUNE / "autotune.json")["rows"]}
    row = rows.get(method) or rows["chosen"]
    means = {"mean_feature_bits": row["feature bits"], "mean_weight_bits": row["weight bits"]}
    return means | {cost: row[cost] for cost in ("latency", "size", "bitops")}


def accuracy(row: Row) -> float:
    """Top-1 as a share of the pictures, or mAP."""
    return float(row["map"] if "map" in row else row["top1"] / row["count"])


def has_float_accuracy(row: Row, float_scores: Row) -> bool:
    """Whether a row has float accuracy."""
    return accuracy(row) >= accuracy(float_scores | {"count": row["count"]}) - FLOAT_ACCURACY_MARGIN


def bars(row: Row, rows_before: Sequence[Row], float_scores: Row) -> dict[str, bool]:
    """Hold a row against what it must reach.

    Args:
        row: with all but its bars.
        rows_before: the rows before it.
        float_scores: the float network's.
    """
    if row["method"].startswith("uniform"):
        return {}
    uniform = [other for other in rows_before if other["method"].startswith("uniform")]
    if example := re.search(r"--target error=(\d+/\d+) .*--minimize (\w+)", row["method"]):
        results = _example_bars(row, uniform, example[1], example[2])
    elif "--target" in row["method"]:
        cost = row["method"].split()[-1]
        costs = (other[cost] for other in uniform if has_float_accuracy(other, float_scores))
        results = {
            "float accuracy": has_float_accuracy(row, float_scores),
            f"{cost} below uniform": row[cost] < min(costs, default=math.inf),
        }
    elif any(has_float_accuracy(other, float_scores) for other in uniform):
        # more bits can improve the cost only, whatever noise does to accuracy
        same = uniform[-1]
        close = row["cosine"] >= same["cosine"] - COSINE_NOISE
        results = {
            "as exact": close and accuracy(row) >= accuracy(same) - FLOAT_ACCURACY_MARGIN,
            "no dearer": row["latency"] <= same["latency"] * 1.000001,
        }
    elif uniform:
        results = {"cosine": row["cosine"] > uniform[-1]["cosine"], "accuracy": accuracy(row) > accuracy(uniform[-1])}
    else:
        results = {}
    if not rows_before and row["seconds"] is not None:
        results["seconds"] = row["seconds"] <= MAX_FIRST_CALL_SECONDS
    return results


def _example_bars(row: Row, uniform: Sequence[Row], bit_widths: str, cost: str) -> dict[str, bool]:
    """A target that uniform bit widths set: their accuracy for less."""
    (same,) = (other for other in uniform if other["method"] == f"uniform {bit_widths}")
    return {
        f"accuracy of {bit_widths}": accuracy(row) >= accuracy(same) - FLOAT_ACCURACY_MARGIN,
        f"{cost} below {bit_widths}": row[cost] < same[cost],
    }


def table(rows: Sequence[Row]) -> Table:
    """A row a method, with its bars."""
    columns = [key for key in rows[0] if key not in ("network", "count", "beside")]
    shown = [row | {"bars": _bars_text(row["bars"])} for row in rows]
    return results_table("autotune", shown, columns, left=("method", "bars"))


def _bars_text(held: dict[str, bool]) -> str:
    return ", ".join(f"{bar}: {'pass' if passed else 'FAIL'}" for bar, passed in held.items())


if __name__ == "__main__":
    main()
