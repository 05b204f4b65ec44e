"""Accuracy of quantized networks on real pictures: `python -m benchmarks.accuracy --network lite0 --data DIR`.

Calibrates, quantizes and simulates exactly, each preset on the same pictures, in a temporary folder.

DIR holds imagenet_sample/ (photos and labels.csv: file, index) for lite0; coco_train128/images/ and /labels/ (YOLO's
text form) and models/yolox_nano_416.onnx for yolox. By sorted name every 8th photo calibrates Lite0, every second one
YOLOX-nano, beginning at --offset; all others evaluate. A row has:

tool            socquant:<preset>, or another toolkit and its setting
weight_bits, feature_bits
top1            pictures whose best class is the label's (lite0); float_top1: the float network's
agreement       pictures whose best class is the float network's (lite0)
cosine          of the outputs with the float network's, mean over the pictures
map             COCO's mean average precision at IoU .5 to .95 (yolox), map50 at .5; float_map, float_map50
count           pictures that evaluate
seconds         of the processes of calibrate and quantize together, imports and all; calibrate runs once for all
                presets. Another toolkit's: of its process, without running what it has made
peak_mb         the larger peak memory of the two
setting         the preset's overrides; another toolkit's version
error           only in the row of a toolkit that failed: why

--ablation measures each option alone, added to the least squared error (MSE) of weights and features, in place of the
presets. best, best-per-tensor and reconstruct learn: they need PyTorch (the extra torch), and minutes each.

--peers measures other toolkits too, on the same pictures and the exported float network: each that can be imported
here or in an environment that --peer-python names. Many do not go together: give each an environment of its own, with
torch==2.13.0 first (another may pull several GB; name it again in what follows), then onnx, onnxruntime and one of
nncf==3.4.0, esp-ppq==1.3.12, amd-quark==0.13, aimet-onnx==2.42.0, olive-ai==0.13.0 (with requests) or
neural-compressor==2.6 (with onnx==1.16.2, onnxruntime==1.19.2, numpy<2). Nothing else of this project is needed there.
Quantized networks that they write run in ONNX Runtime without optimization, others in the toolkit's own simulator.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.table import Table

from benchmarks.bars import Row
from benchmarks.common import Usage, alone, link_pictures, run
from benchmarks.detection import require_metric
from benchmarks.evaluation import FLOAT, QUANTIZED, SAMPLES, TASKS, Task, float_outputs, moved, score, simulated_outputs
from benchmarks.networks import find_data
from benchmarks.peers.environments import Hosted, find_peers, run_peer
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output, warn
from stages.core.base.errors import UserError, did_you_mean
from stages.core.command import guarded

T = TypeVar("T")

KEYS = [
    "network", "tool", "weight_bits", "feature_bits", "top1", "float_top1", "agreement", "cosine", "map", "float_map",
    "count", "seconds", "peak_mb", "map50", "float_map50", "setting", "offset",
]  # fmt: skip
"""The keys of every row, in this order; null where one does not apply. A row that failed has `error` too."""

SHOWN = [key for key in KEYS if key not in ("setting", "offset")]


@dataclass(frozen=True)
class Preset:
    """A setting of ours.

    Attributes:
        name: what --presets and the row's tool call it; several widths may share it.
        weight_bits: for the row; the overrides must say so too.
        feature_bits: for the row; the overrides must say so too.
        soc: whose arithmetic.
        overrides: of the config.
        networks: those that it is for.
    """

    name: str
    weight_bits: int
    feature_bits: int
    soc: str
    overrides: tuple[str, ...]
    networks: tuple[str, ...] = tuple(TASKS)


PRESETS = [
    Preset("int8", 8, 8, "t40", ("quant=int8",)),
    Preset("a8w4", 4, 8, "t40", ("quant=a8w4",)),
    Preset("a4w4", 4, 4, "t40", ("quant=a4w4",)),
    Preset("best", 8, 8, "t40", ("quant=best",)),
    Preset("best", 4, 8, "t40", ("quant=best", "quant.weight_bits=4"), ("lite0",)),
    Preset("best", 4, 4, "t40", ("quant=best", "quant.weight_bits=4", "quant.feature_bits=4"), ("lite0",)),
    Preset("best-per-tensor", 8, 8, "t40", ("quant=best", "quant.channel_scales=never"), ("yolox",)),
]
"""What a run measures."""

WIDTHS = [("int8", 8, 8, ("lite0", "yolox")), ("a8w4", 4, 8, ("lite0",)), ("a4w4", 4, 4, ("lite0",))]
"""Where --ablation measures each option: the preset of `conf/quant/`, its weight and feature bits, the networks."""

BASE = {"edge_bits": "8", "weight_method": "MSE", "feature_method": "MSE"}
"""What every option is added to: keys of `quant`."""

OPTIONS: dict[str, dict[str, str]] = {
    "max-abs": {"weight_method": "MAX_ABS", "feature_method": "MAX_ABS"},
    "base": {},
    "output-ranges": {"feature_method": "OUTPUT"},
    "equalization": {"equalization": "cross_layer"},
    "corrections": {"weight_correction": "true", "feature_correction": "true"},
    "compensate": {"rounding": "compensate"},
    "compensate+corrections": {"rounding": "compensate", "weight_correction": "true", "feature_correction": "true"},
    "channel-scales": {"channel_scales": "always"},
    "reconstruct": {"rounding": "reconstruct"},
}
"""Each option alone: what it changes of the base."""

ABLATIONS = [
    Preset(
        name, weights, features, "t40", (f"quant={quant}", *(f"quant.{k}={v}" for k, v in (BASE | option).items())), on
    )
    for quant, weights, features, on in WIDTHS
    for name, option in OPTIONS.items()
] + [preset for preset in PRESETS if preset.name.startswith("best")]
"""What --ablation measures instead: each option alone, and the best together."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", choices=TASKS, required=True)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of pictures and networks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
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
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()

    def work() -> None:
        presets = chosen(ABLATIONS if arguments.ablation else PRESETS, arguments.network, arguments.presets)
        peers: list[Hosted] = []
        if arguments.peers is not None:
            names = arguments.peers.split(",") if arguments.peers else []
            peers = find_peers([sys.executable, *arguments.peer_python], names)
        accuracy(arguments.network, presets, peers, arguments.data.resolve(), arguments.offset, arguments.json)

    sys.exit(guarded(work, arguments.debug))


def chosen(presets: Sequence[Preset], network: str, names: str | None) -> list[Preset]:
    """Pick presets of a network by name, in the order of the list.

    Args:
        presets: to pick from.
        network: lite0 or yolox.
        names: separated by commas; None: all, "none": none.

    Raises:
        UserError: for a name that none of them has.
    """
    fitting = [preset for preset in presets if network in preset.networks]
    if names is None:
        return fitting
    wanted = [] if names == "none" else names.split(",")
    known = list(dict.fromkeys(preset.name for preset in fitting))
    for name in wanted:
        if name not in known:
            raise UserError(f"--presets: {network} has no preset {name!r}; {did_you_mean(name, known)}")
    return [preset for preset in fitting if preset.name in wanted]


def split(pictures: Sequence[T], offset: int, period: int) -> tuple[list[T], list[T]]:
    """Every period-th picture from the offset on, and all others.

    Raises:
        UserError: for an offset that is not below the period.
    """
    if not 0 <= offset < period:
        raise UserError(f"--offset {offset}: must be 0 to {period - 1}: one picture in {period} calibrates")
    return list(pictures[offset::period]), [
        picture for index, picture in enumerate(pictures) if index % period != offset
    ]


def accuracy(
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
    target = report.resolve() if report else None
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(complete({"network": name, "offset": offset} | row))
        if target:
            write_json(target, rows)

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        console.print(f"{name}: export, calibrate; the float network on {len(evaluation)} pictures")
        prepare(calibration, evaluation, file)
        calibrating = first_run(task)

        def scores(outputs: Path) -> Row:
            return alone(score, name, outputs, evaluation, data)[0]

        def quantized_scores() -> Row:
            return scores(QUANTIZED) | alone(moved, name)[0]

        plain = {f"float_{key}": value for key, value in scores(FLOAT).items()}
        for preset in presets:
            console.print(f"{name}: {preset.name} {preset.weight_bits}/{preset.feature_bits}")
            add(measure(task, preset, calibrating) | plain | quantized_scores())
        for hosted in peers:
            console.print(f"{name}: {hosted.peer.name} {hosted.peer.weight_bits}/{hosted.peer.feature_bits}")
            add(measure_peer(hosted, plain, quantized_scores))
    output.print(table(rows))


def complete(row: Row) -> Row:
    """A row with every key in order; null what it lacks, `error` last if it has one.

    Raises:
        ValueError: for a key that no row has.
    """
    unknown = set(row) - {*KEYS, "error"}
    if unknown:
        raise ValueError(f"no such keys: {sorted(unknown)}")
    return {key: row.get(key) for key in KEYS} | ({"error": row["error"]} if "error" in row else {})


# --- the steps: each runs in the current (temporary) folder ---


def prepare(calibration: Sequence[Path], evaluation: Sequence[Path], file: Path | None) -> None:
    """Link what the config names into the current folder."""
    link_pictures(Path("calibration"), calibration, len(calibration))
    link_pictures(Path("evaluation"), evaluation, len(evaluation))
    if file:
        Path("network.onnx").symlink_to(file)


def compose(task: Task, *overrides: str) -> None:
    run(
        "compose",
        *task.network.overrides,
        "data=folder",
        "data.calibration.source=file:calibration",
        "data.calibration.size=null",
        "data.debug.source=file:evaluation",
        "data.evaluation.source=file:evaluation",
        "data.evaluation.labels=null",
        "data.evaluation.task=none",
        *overrides,
    )


def first_run(task: Task) -> Usage:
    """Make all that the presets share; gives what calibrate took once numba's cache is filled."""
    compose(task)
    for stage in ("export", "calibset", "calibrate", "quantize"):
        run(stage)
    alone(float_outputs)
    return run("calibrate")


def measure(task: Task, preset: Preset, calibrating: Usage) -> Row:
    """Quantize by a preset and simulate; leaves the outputs."""
    compose(task, f"soc={preset.soc}", *preset.overrides)
    quantizing = run("quantize")
    alone(simulated_outputs)
    return {
        "tool": f"socquant:{preset.name}",
        "weight_bits": preset.weight_bits,
        "feature_bits": preset.feature_bits,
        "seconds": calibrating.seconds + quantizing.seconds,
        "peak_mb": max(calibrating.peak_mb, quantizing.peak_mb),
        "setting": " ".join((f"soc={preset.soc}", *preset.overrides)),
    }


def measure_peer(hosted: Hosted, plain: Row, scores: Callable[[], Row]) -> Row:
    """Let a toolkit quantize; a failure becomes the row's `error`, all that is measured null."""
    peer = hosted.peer
    named = {"tool": peer.name, "weight_bits": peer.weight_bits, "feature_bits": peer.feature_bits}
    found = run_peer(hosted, SAMPLES, QUANTIZED)
    if "error" not in found:
        try:
            taken = {"seconds": found["seconds"], "peak_mb": found["peak_mb"], "setting": found["version"]}
            return named | taken | plain | scores()
        except UserError as error:
            found = {"error": str(error)}
    warn(f"{peer.name}: {found['error']}")
    return named | {"error": found["error"]}


def table(rows: Sequence[Row]) -> Table:
    """A row a setting; the columns that apply to none are left out."""
    columns = [key for key in SHOWN if any(row[key] is not None for row in rows)]
    shown = Table(title="accuracy")
    for key in columns:
        shown.add_column(key.replace("_", " "), justify="left" if key in ("network", "tool") else "right")
    for row in rows:
        shown.add_row(*(_cell(row[key]) for key in columns))
    return shown


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if value >= 2 else f"{value:.4f}"
    return str(value)


if __name__ == "__main__":
    main()
