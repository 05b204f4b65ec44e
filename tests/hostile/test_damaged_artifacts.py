"""Artifacts that a hand or a disk has damaged: whoever reads one says which, and how to have it again."""

from pathlib import Path

import pytest

from stages.core.base.checksums import CHECKSUMS_FILE
from tests.conftest import run_here
from tests.test_bad_inputs import refused

READERS = {
    "out/export/model.onnx": ("calibrate", "quantize", "build", "evaluate", "bisect"),
    "out/export/inputs.json": ("calibset", "calibrate", "quantize", "infer"),
    "out/export/detector.json": ("infer", "compare", "build"),
    "out/export/normalization.json": ("compare",),
    "out/export/settings.json": ("calibset", "calibrate", "quantize"),
    "out/export/check.json": ("track",),
    "out/export/checksums.json": ("calibset", "calibrate", "quantize", "infer"),
    "out/calibset/settings.json": ("quantize",),
    "out/calibset/checksums.json": ("calibrate", "quantize", "evaluate"),
    "out/calibset/calibration/index.json": ("calibrate", "quantize", "evaluate"),
    "out/calibset/calibration/0.npy": ("calibrate", "quantize", "build", "autotune"),
    "out/calibrate/statistics.npz": ("quantize", "autotune"),
    "out/calibrate/checksums.json": ("quantize", "autotune"),
    "out/quantize/integer.onnx": ("infer", "build", "evaluate", "track"),
    "out/quantize/quantized.onnx": ("track", "compare"),
    "out/quantize/prepared.onnx": ("build", "compare"),
    "out/quantize/qparams.json": ("infer", "build", "evaluate", "track", "bisect"),
    "out/quantize/magik_node_quant_bit_info.json": ("build", "track"),
    "out/quantize/notes.json": ("compare",),
    "out/quantize/checksums.json": ("infer", "build", "evaluate", "track"),
    "out/compare/similarity.json": ("track", "bisect"),
    "out/compare/settings.json": ("track",),
    "out/compare/report.html": ("track",),
    "out/compare/checksums.json": ("track",),
    "out/evaluate/metrics.json": ("track",),
    "out/evaluate/settings.json": ("track",),
    "out/evaluate/predictions.csv": ("track",),
    "out/evaluate/task_metric.json": ("compare",),
    "out/evaluate/outputs.json": ("compare",),
    "out/evaluate/checksums.json": ("track", "compare"),
}
"""Each artifact, and commands that read it; the quickest first."""
ARGUMENTS = {
    "infer": ["evaluation/ant"],
    "autotune": ["--mean-bits", "6"],
}
QUICK = ("out/export/inputs.json", "out/export/checksums.json", "out/quantize/integer.onnx")
CASES = [
    pytest.param(path, name, marks=() if path in QUICK and name == names[0] else pytest.mark.slow)
    for path, names in READERS.items()
    for name in names
]


def flipped(content: bytes) -> bytes:
    """The same with one bit flipped in the middle: it may still be read, as another value."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def damaged(path: str, name: str) -> None:
    """Running a command ends with one line that names the artifact and how to make it anew."""
    result = run_here("-m", f"stages.{name}", *ARGUMENTS.get(name, []))
    refused(result, f"{path} is damaged", f"run `dvc repro --force --single-item {path.split('/')[1]}`")


@pytest.mark.parametrize(("path", "name"), CASES)
def test_a_flipped_bit_is_noticed(evaluated, path: str, name: str) -> None:
    Path(path).write_bytes(flipped(Path(path).read_bytes()))
    damaged(path, name)


VALID = {
    ("out/export/normalization.json", b"[]"),
    ("out/quantize/notes.json", b"[]"),
    ("out/evaluate/task_metric.json", b"null"),
    *((f"out/{stage}/settings.json", b"{}") for stage in ("export", "calibset", "compare", "evaluate")),
}
"""Other content that these may hold: of settings it is said that they are others."""


UNREAD = {
    "out/quantize/quantized.onnx",
    "out/quantize/prepared.onnx",
    "out/quantize/magik_node_quant_bit_info.json",
    "out/compare/report.html",
    "out/evaluate/predictions.csv",
}
"""What the quickest command only copies."""


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b"[" * 100_000])
def test_other_content_is_noticed_where_no_checksum_is(evaluated, content: bytes) -> None:
    """As of artifacts that came without `checksums.json`: their forms are validated."""
    for path in Path("out").rglob(CHECKSUMS_FILE):
        path.unlink()
    # compare begins with removing its own results, which others read
    for path, (name, *_) in sorted(READERS.items(), key=lambda item: item[1][0] == "compare"):
        if Path(path).is_file() and path not in UNREAD and (path, content) not in VALID:
            whole = Path(path).read_bytes()
            Path(path).write_bytes(content)
            damaged(path, name)
            Path(path).write_bytes(whole)
