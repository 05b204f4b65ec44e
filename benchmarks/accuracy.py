"""Accuracy of quantized networks on real pictures: `python -m benchmarks.accuracy --network lite0 --data DIR`.

Calibrates, quantizes and simulates exactly, each preset on the same pictures, in a temporary folder.

DIR holds imagenet_sample/ (photos and labels.csv: file, index) for lite0; coco_train128/images/ and /labels/ (YOLO's
text form) and models/yolox_nano_416.onnx for yolox. By sorted name every 8th photo calibrates Lite0, every second one
YOLOX-nano, beginning at --offset; all others evaluate. A row has:

tool            socquant:<preset>, or another toolkit and its setting
weight_bits, feature_bits
top1            pictures whose best class is the label's (lite0); float_top1: of the float network
agreement       pictures whose best class is the float network's (lite0)
cosine          of the outputs with the float network's, mean over the pictures
map             COCO's mean average precision at IoU .5 to .95 (yolox), map50 at .5; float_map, float_map50
count           pictures that evaluate
seconds         of the processes of calibrate and quantize together, with imports; calibrate runs once for all
                presets. For another toolkit: of its process, without running its network
peak_mb         the larger peak memory of the two
setting         the preset's overrides; another toolkit's version
error           in the row of a toolkit that failed only: why

--ablation measures each option alone in place of the presets, added to MSE for weights and features. best,
best-per-tensor and reconstruct learn: they need PyTorch (the extra torch), and minutes each.

--peers measures other toolkits too, on the same pictures and the exported float network: each that can be imported
here or in an environment that --peer-python names. Many exclude each other: give each an environment of its own, with
torch==2.13.0 first (another may pull several GB; name it again with the others), then onnx, onnxruntime and one of
nncf==3.4.0, esp-ppq==1.3.12, amd-quark==0.13, aimet-onnx==2.42.0, olive-ai==0.13.0 (with requests) or
neural-compressor==2.6 (with onnx==1.16.2, onnxruntime==1.19.2, numpy<2). Nothing else of this project is needed there.
ONNX networks that they write run in ONNX Runtime without optimization, others in the toolkit's own simulator.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.networks import find_data
from benchmarks.common.processes import Usage, call_in_fresh_process, run_stage
from benchmarks.common.tables import Row, results_table
from benchmarks.peers.environments import Hosted, find_peers, run_peer
from benchmarks.scoring.detection import require_metric
from benchmarks.scoring.evaluation import (
    FLOAT_OUTPUTS,
    QUANTIZED_OUTPUTS,
    SAMPLES,
    TASKS,
    Task,
    closeness_to_float,
    score,
    write_float_outputs,
    write_simulated_outputs,
)
from benchmarks.scoring.evaluation_project import compose, link_data, split
from benchmarks.scoring.presets import ABLATIONS, PRESETS, Preset, select_presets
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output, warn
from stages.core.base.errors import UserError
from stages.core.command import guarded

KEYS = [
    "network", "tool", "weight_bits", "feature_bits", "top1", "float_top1", "agreement", "cosine", "map", "float_map",
    "count", "seconds", "peak_mb", "map50", "float_map50", "setting", "offset",
]  # fmt: skip
"""The keys of every row, in this order; null where one does not apply. A row that failed has `error` too."""

COLUMNS = [key for key in KEYS if key not in ("setting", "offset")]


def main() -> None:
    parser = benchmark_parser("benchmarks.accuracy", __doc__)
    parser.add_argument("--network", choices=TASKS, required=True)
    parser.add_argument(
        "--offset", type=int, default=0, metavar="N", help="the first calibration picture (%(default)s)"
    )
    parser.add_argument("--presets", metavar="A,B", help="of ours measure these only, by name; none: nothing of ours")
    parser.add_argument("--ablation", action="store_true", help="measure single options in place of the presets")
    parser.add_argument(
        "--peers",
        nargs="?",
        const="",
        metavar="A,B",
        help="measure other toolkits: all that are found, or these, by toolkit or by the row's tool",
    )
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="PYTHON",
        help="look for toolkits in this interpreter's environment too; may be given several times",
    )
    arguments = parser.parse_args()

    def work() -> None:
        presets = select_presets(ABLATIONS if arguments.ablation else PRESETS, arguments.network, arguments.presets)
        peers: list[Hosted] = []
        if arguments.peers is not None:
            names = arguments.peers.split(",") if arguments.peers else []
            peers = find_peers([sys.executable, *arguments.peer_python], names)
        data, report = arguments.data.resolve(), resolved(arguments.json)
        measure_network(arguments.network, presets, peers, data, arguments.offset, report)

    sys.exit(guarded(work, arguments.debug))


def measure_network(
    name: str, presets: Sequence[Preset], peers: Sequence[Hosted], data: Path, offset: int, report: Path | None
) -> None:
    """Measure a network under each preset and by each toolkit, write the rows as they come and print the table.

    Raises:
        UserError: if the data or a library is missing, or a preset cannot be composed.
    """
    os.environ.pop("SOCQUANT_THREADS", None)
    task = TASKS[name]
    if not task.classifies:
        require_metric()
    pictures, file = find_data(task.network, data, least=task.period)
    calibration, evaluation = split(pictures, offset, task.period)
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(complete({"network": name, "offset": offset} | row))
        if report:
            write_json(report, rows)

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        console.print(f"{name}: export, calibrate; the float network on {len(evaluation)} pictures")
        link_data(calibration, evaluation, file)
        calibrating = run_shared_stages(task)

        def scores(outputs: Path) -> Row:
            return call_in_fresh_process(score, name, outputs, evaluation, data)[0]

        def quantized_scores() -> Row:
            return scores(QUANTIZED_OUTPUTS) | call_in_fresh_process(closeness_to_float, name)[0]

        float_scores = {f"float_{key}": value for key, value in scores(FLOAT_OUTPUTS).items()}
        for preset in presets:
            console.print(f"{name}: {preset.name} {preset.weight_bits}/{preset.feature_bits}")
            add(measure_preset(task, preset, calibrating) | float_scores | quantized_scores())
        for hosted in peers:
            console.print(f"{name}: {hosted.peer.name} {hosted.peer.weight_bits}/{hosted.peer.feature_bits}")
            add(measure_peer(hosted, float_scores, quantized_scores))
    output.print(table(rows))


def complete(row: Row) -> Row:
    """A row with every key in order; None for keys that it lacks, `error` last if it has one.

    Raises:
        ValueError: for a key that no row has.
    """
    unknown = set(row) - {*KEYS, "error"}
    if unknown:
        raise ValueError(f"no such keys: {sorted(unknown)}")
    return {key: row.get(key) for key in KEYS} | ({"error": row["error"]} if "error" in row else {})


# --- the steps, each in the current (temporary) folder ---


def run_shared_stages(task: Task) -> Usage:
    """Run all stages that the presets share; gives calibrate's usage once numba's cache is filled."""
    compose(task)
    for stage in ("export", "calibset", "calibrate", "quantize"):
        run_stage(stage)
    call_in_fresh_process(write_float_outputs)
    return run_stage("calibrate")


def measure_preset(task: Task, preset: Preset, calibrating: Usage) -> Row:
    """Quantize by a preset and simulate; leaves the outputs."""
    compose(task, f"soc={preset.soc}", *preset.overrides)
    quantizing = run_stage("quantize")
    call_in_fresh_process(write_simulated_outputs)
    return {
        "tool": f"socquant:{preset.name}",
        "weight_bits": preset.weight_bits,
        "feature_bits": preset.feature_bits,
        "seconds": calibrating.seconds + quantizing.seconds,
        "peak_mb": max(calibrating.peak_mb, quantizing.peak_mb),
        "setting": " ".join((f"soc={preset.soc}", *preset.overrides)),
    }


def measure_peer(hosted: Hosted, float_scores: Row, scores: Callable[[], Row]) -> Row:
    """Let a toolkit quantize; a failure becomes the row's `error`, and all that is measured is None."""
    peer = hosted.peer
    row = {"tool": peer.name, "weight_bits": peer.weight_bits, "feature_bits": peer.feature_bits}
    result = run_peer(hosted, SAMPLES, QUANTIZED_OUTPUTS)
    if "error" not in result:
        try:
            usage = {"seconds": result["seconds"], "peak_mb": result["peak_mb"], "setting": result["version"]}
            return row | usage | float_scores | scores()
        except UserError as error:
            result = {"error": str(error)}
    warn(f"{peer.name}: {result['error']}")
    return row | {"error": result["error"]}


def table(rows: Sequence[Row]) -> Table:
    """A row a setting; columns that apply to none are left out."""
    columns = [key for key in COLUMNS if any(row[key] is not None for row in rows)]
    return results_table("accuracy", rows, columns, left=("network", "tool"))


if __name__ == "__main__":
    main()
