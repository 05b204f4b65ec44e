"""Detectors: heads, precision, a planted fault, time: `python -m benchmarks.detection --data DIR --json FILE`.

DIR holds coco_train128/images/ and /labels/ (YOLO's text form), 128 photos, and models/yolox_nano_416.onnx. By sorted
name every second photo calibrates, all others evaluate (T40, 8 bits). Exit code 1 if a bar is missed. Parts:

heads      what export recognizes in YOLOX-nano and in the detectors of conf/model/ that a package carries
precision  YOLOX-nano's mAP (IoU .5 to .95) by the pipeline, and by hand: the source's graph as it was exported, boxes
           decoded, suppressed and scored by benchmarks/scoring/detection.py and pycocotools. The two must be equal to
           four digits. The pipeline undoes the letterbox by the resized picture's width and height, which are whole
           pixels: by hand both that and the single ratio of YOLOX's own demo (one_ratio) are measured
           Both at 8 bits and with 10-bit features
cut        NudeNet's YOLOv8n: its boxes at 8 bits beside the float network's, ended at the last convolutions; whole
           (model.cut=false), where the joint of boxes in pixels and scores stays in float; and whole in 8 bits
           (quant.unlike_parts=quantized too), where they share a scale
fault      YOLOX-nano with its decoding in the graph, whole, in integers to its end, with 10-bit features: the first
           finding of compare, and the mAP once the overrides that it gives are taken. sound is the mAP without fault
time       seconds of evaluate on YOLOX-nano, and the share of decoding and suppression (the median of three)
"""

import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx

from benchmarks.common.bars import BarResult, bar_table
from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.processes import call_in_fresh_process
from benchmarks.common.tables import Row, results_table
from benchmarks.detection import project
from benchmarks.detection.by_hand import precisions_by_hand
from benchmarks.detection.decoded_graph import decoded_graph
from benchmarks.detection.time_shares import evaluate_seconds
from benchmarks.scoring.detection import require_metric
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.console import console, output
from stages.core.base.paths import DETECTOR, DIAGNOSIS
from stages.core.command import guarded

HEADS = {
    project.YOLOX: ("YOLOX-like", 80),
    "nudenet": ("YOLOv8-like", 18),
    "yunet": ("YuNet-like", 1),
    "centerface": ("CenterFace-like", 1),
}
"""Detector -> the family and the number of classes that its authors give it."""
COLUMNS = {
    "heads": ["detector", "family", "classes", "strides", "cut_tensors", "difference"],
    "precision": ["detector", "map", "by_hand", "one_ratio"],
    "cut": ["detector", "agreement", "float", "missed", "invented"],
    "fault": ["detector", "finding", "cure", "float", "before", "after", "sound"],
    "time": ["detector", "evaluate_s", "detect_s", "share"],
}
LEFT = ("detector", "family", "finding", "cure")
SAME = 5e-5
"""Two precisions are equal to four digits."""
CUT_GAIN = 0.3
"""How much better NudeNet's boxes must agree when the network ends before its decoding."""
CURED_MARGIN = 0.01
PRESETS = ("int8", "a10w8")
FAULT_PRESET = "a10w8"
"""At 8 bits YOLOX-nano has too little to lose."""
WHOLE = ("model.cut=false", "quant.unlike_parts=quantized")
"""The network as its exporter wrote it, in integers to its end."""
MOST_SHARE = 0.2
TURNS = 3


def main() -> None:
    parser = benchmark_parser("benchmarks.detection", __doc__)
    parser.add_argument("--part", choices=PARTS, help="measure this one only")
    arguments = parser.parse_args()
    parts = [arguments.part] if arguments.part else list(PARTS)
    data, report = arguments.data.resolve(), resolved(arguments.json)
    sys.exit(guarded(lambda: int(not measure(parts, data, report)), arguments.debug))


def measure(parts: list[str], data: Path, report: Path | None) -> bool:
    """Measure parts, print their tables and write the rows; gives whether every bar is reached.

    Raises:
        UserError: if the data or a library is missing, or a stage fails.
    """
    os.environ.pop("SOCQUANT_THREADS", None)
    require_metric()
    rows: dict[str, list[Row]] = {}
    results: list[BarResult] = []
    for part in parts:
        console.print(part)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            rows[part], held = PARTS[part](data)
        results += held
        output.print(results_table(part, rows[part], COLUMNS[part], left=LEFT))
        if report:
            write_json(report, rows)
    output.print(bar_table(results, "detector"))
    return all(result.passed for result in results)


def heads(data: Path) -> tuple[list[Row], list[BarResult]]:
    """What export recognizes."""
    project.link_pictures(data)
    rows, results = [], []
    for name, expected in HEADS.items():
        project.run(project.labelled(data) if name == project.YOLOX else project.unlabelled(name), "export")
        found = read_json(DETECTOR)
        family, classes = found.get("name"), _classes(found)
        evidence = found.get("evidence") or {}
        rows.append(
            {
                "detector": name,
                "family": family,
                "classes": classes,
                "strides": [level["stride"] for level in found.get("levels", [])],
                "cut_tensors": len(found.get("tensors", [])),
                "difference": evidence.get("difference"),
            }
        )
        bar = f"{expected[0]}, {expected[1]} {'class' if expected[1] == 1 else 'classes'}"
        results.append(BarResult(name, bar, f"{family}, {classes}", (family, classes) == expected))
    return rows, results


def _classes(found: Mapping[str, Any]) -> int | None:
    """Number of classes of a head as JSON; SSD's have the background too, which none of `HEADS` is."""
    levels = found.get("levels")
    return int(levels[0]["views"]["classes"]["count"]) if levels else None


def precision(data: Path) -> tuple[list[Row], list[BarResult]]:
    """YOLOX-nano by the pipeline and by hand: the float network, and each preset."""
    pictures = project.link_pictures(data)
    project.run(project.labelled(data), "export", "calibset", "calibrate")
    rows: list[Row] = []
    for preset in PRESETS:
        project.run(project.labelled(data, f"quant={preset}"), "quantize")
        metrics = project.evaluate()
        exact, _ = call_in_fresh_process(precisions_by_hand, pictures, data, True)
        one_ratio, _ = call_in_fresh_process(precisions_by_hand, pictures, data, False)
        for side, name in (("float", "float"), ("quantized", preset)):
            if side == "quantized" or not rows:
                row: Row = {"detector": f"{project.YOLOX} {name}", "map": metrics[side]["map"]}
                rows.append(row | {"by_hand": exact[side], "one_ratio": one_ratio[side]})
    results = [
        BarResult(
            row["detector"], f"map = {row['by_hand']:.4f} by hand", row["map"], abs(row["map"] - row["by_hand"]) < SAME
        )
        for row in rows
    ]
    return rows, results


def cut(data: Path) -> tuple[list[Row], list[BarResult]]:
    """NudeNet, ended before its decoding and whole."""
    project.link_pictures(data)
    rows: list[Row] = []
    for name, overrides in (
        ("nudenet", ()),
        ("nudenet whole", ("model.cut=false",)),
        ("nudenet whole in 8 bits", WHOLE),
    ):
        project.run(project.unlabelled("nudenet", *overrides), *project.QUANTIZING)
        metrics = project.evaluate()
        rows.append({"detector": name, "agreement": metrics["agreement"], **metrics["boxes"]})
    ended, _, whole = (row["agreement"] for row in rows)
    bar = f"agreement >= {whole:.3f} whole in 8 bits + {CUT_GAIN:g}"
    return rows, [BarResult("nudenet", bar, ended, ended >= whole + CUT_GAIN)]


def fault(data: Path) -> tuple[list[Row], list[BarResult]]:
    """YOLOX-nano that decodes in its graph, whole, and after the cure of the first finding."""
    project.link_pictures(data)
    bits = f"quant={FAULT_PRESET}"
    project.run(project.labelled(data, bits), *project.QUANTIZING)
    sound = project.evaluate()["quantized"]["map"]
    onnx.save(decoded_graph(onnx.load("network.onnx")), "decoded.onnx")
    project.run(project.labelled(data, bits, *WHOLE, file="decoded.onnx"), *project.QUANTIZING, "compare")
    before = project.evaluate()
    findings = read_json(DIAGNOSIS)["findings"]
    first = findings[0] if findings else dict.fromkeys(("kind", "node", "cure", "sentence"))
    metrics = project.cured(first["cure"]) if first["cure"] else None
    after = metrics["quantized"]["map"] if metrics else None
    name = "yolox_nano decoded"
    row: Row = {
        "detector": name,
        "finding": first["kind"],
        "cure": first["cure"],
        "float": before["float"]["map"],
        "before": before["quantized"]["map"],
        "after": after,
        "sound": sound,
    }
    told = {"sentence": first["sentence"], "findings": [finding["kind"] for finding in findings]}
    least = sound - CURED_MARGIN
    return [row | told], [
        BarResult(name, "the first finding has a cure", first["cure"], first["cure"] is not None),
        BarResult(name, f"map before < {least:.4f}", row["before"], row["before"] < least),
        BarResult(name, f"map cured >= {least:.4f}", after, after is not None and after >= least),
    ]


def time(data: Path) -> tuple[list[Row], list[BarResult]]:
    """How long evaluate takes on YOLOX-nano, and what of it is decoding and suppression."""
    project.link_pictures(data)
    project.run(project.labelled(data), *project.QUANTIZING)
    turns = [call_in_fresh_process(evaluate_seconds)[0] for _ in range(TURNS)]
    row: Row = {"detector": project.YOLOX}
    row |= {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
    bar = f"share <= {MOST_SHARE:g}"
    return [row], [BarResult(project.YOLOX, bar, row["share"], row["share"] <= MOST_SHARE)]


PARTS: dict[str, Callable[[Path], tuple[list[Row], list[BarResult]]]] = {
    "heads": heads, "precision": precision, "cut": cut, "fault": fault, "time": time,
}  # fmt: skip


if __name__ == "__main__":
    main()
