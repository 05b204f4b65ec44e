"""Where each stage writes, relative to the project's folder."""

from pathlib import Path

__all__ = [
    "AUTOTUNE",
    "BOXES",
    "BUILD",
    "BY_CLASS",
    "CALIBRATE",
    "CALIBSET",
    "CHECK",
    "COMPARE",
    "COMPILE",
    "COMPILED",
    "COMPILER_LOG",
    "CONVERTER_LOG",
    "DETECTOR",
    "DIAGNOSIS",
    "EVALUATE",
    "EXPORT",
    "FLOAT_MODEL",
    "INPUTS",
    "INTEGER_MODEL",
    "JUDGED",
    "METRICS",
    "NODE_BITS",
    "NODE_RANGES",
    "NORMALIZATION",
    "NOTES",
    "PREPARED_MODEL",
    "QPARAMS",
    "QUANTIZE",
    "QUANTIZED_MODEL",
    "REPORT",
    "SIMILARITY",
    "SIMILARITY_TABLE",
    "STATISTICS",
    "STRUCTURED_MODEL",
    "TASK_METRIC",
    "TRACK",
]

EXPORT = Path("out/export")
CALIBSET = Path("out/calibset")
CALIBRATE = Path("out/calibrate")
QUANTIZE = Path("out/quantize")
COMPARE = Path("out/compare")
BUILD = Path("out/build")
COMPILE = Path("out/compile")
EVALUATE = Path("out/evaluate")
TRACK = Path("out/track")
AUTOTUNE = Path("out/autotune")
CHECK = Path("out/check")

CONVERTER_LOG = Path("out/converter.log")
"""What the vendor's converter says while it runs, and all it said if it failed; beside what DVC keeps."""

COMPILER_LOG = Path("out/compile.log")
"""The same of compile."""
COMPILED = COMPILE / "compiled.json"
"""What Sophgo's compiler made, and how like the float network it is."""

FLOAT_MODEL = EXPORT / "model.onnx"
INPUTS = EXPORT / "inputs.json"
DETECTOR = EXPORT / "detector.json"
NORMALIZATION = EXPORT / "normalization.json"
NODE_RANGES = EXPORT / "node_ranges.json"
"""Ranges that a quantized source had, as `quant.node_bits` reads them; empty of other sources."""
STATISTICS = CALIBRATE / "statistics.npz"
QUANTIZED_MODEL = QUANTIZE / "quantized.onnx"
STRUCTURED_MODEL = QUANTIZE / "float.onnx"
"""The float network as the SOC's converter structures it; only where it does so, else `FLOAT_MODEL` is it."""
INTEGER_MODEL = QUANTIZE / "integer.onnx"
PREPARED_MODEL = QUANTIZE / "prepared.onnx"
QPARAMS = QUANTIZE / "qparams.json"
NODE_BITS = QUANTIZE / "magik_node_quant_bit_info.json"
NOTES = QUANTIZE / "notes.json"
SIMILARITY = COMPARE / "similarity.json"
SIMILARITY_TABLE = COMPARE / "similarity.csv"
DIAGNOSIS = COMPARE / "diagnosis.json"
REPORT = COMPARE / "report.html"
BOXES = COMPARE / "boxes.jpg"
"""A detector's debug pictures with the boxes of both networks; only of a detector."""
METRICS = EVALUATE / "metrics.json"
TASK_METRIC = EVALUATE / "task_metric.json"
"""What has the last word on whether the network is good; null where evaluate measured nothing of the kind."""
JUDGED = EVALUATE / "outputs.json"
"""What became of the outputs on the evaluation samples."""
BY_CLASS = EVALUATE / "by_class.csv"
