"""Runs the pipeline under conditions that must change nothing: `python -m benchmarks.same_bytes`.

Threads, the seed of Python's hashes, and the processor's instructions as PyTorch takes them, one changed at a time. All
files that the stages write are compared with those of one thread, seed 0 and the machine's own instructions. A small
network and pictures are made in a temporary folder, and quantized with `quant=best`, which learns rounding, and accepts
by measured errors. Exit code 1 if a file differs.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from onnx import numpy_helper
from rich.table import Table

from benchmarks.common import PROJECT
from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.hostile.project import OVERRIDES, make_files
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError
from stages.core.command import guarded

STAGES = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build")
USUAL = {"SOCQUANT_THREADS": "1", "PYTHONHASHSEED": "0"}
CONDITIONS: tuple[Mapping[str, str], ...] = (
    *({"SOCQUANT_THREADS": threads} for threads in ("2", "3", "4", "8")),
    *({"PYTHONHASHSEED": seed} for seed in ("1", "random")),
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    *({"ATEN_CPU_CAPABILITY": name} for name in ("avx512", "default")),
)


def measure(overrides: Sequence[str], report: Path | None) -> int:
    """Run all conditions; shows what differs.

    Args:
        overrides: of the experiment, after the small project's.
        report: JSON file for the rows.

    Returns:
        1 if a file differs.
    """
    rows = []
    table = Table("condition", "files", "that differ", "constants that differ, %", "fidelity")
    with tempfile.TemporaryDirectory() as root:
        usual = _written(Path(root) / "usual", overrides, {})
        for condition in CONDITIONS:
            name = " ".join(f"{key}={value}" for key, value in condition.items())
            folder = Path(root) / "other"
            other = _written(folder, overrides, condition)
            differ = sorted(path for path in usual.keys() | other.keys() if usual.get(path) != other.get(path))
            apart, fidelity = _share_apart(Path(root) / "usual", folder), _fidelity(folder)
            row = {"condition": name, "files": len(other), "differ": differ, "apart": apart, "fidelity": fidelity}
            rows.append(row)
            table.add_row(name, str(len(other)), ", ".join(differ[:4]) or "-", f"{100 * apart:.3g}", f"{fidelity:.5f}")
            console.print(f"{name}: {len(differ)} of {len(other)} files differ", style="dim")
            shutil.rmtree(folder)
            if report is not None:
                write_json(report, rows)
    output.print(table)
    return int(any(row["differ"] for row in rows))


def _written(folder: Path, overrides: Sequence[str], condition: Mapping[str, str]) -> dict[str, str]:
    """Run the stages in a new folder; path -> sha256 of what they wrote."""
    folder.mkdir()
    make_files(folder)
    environment = os.environ | {"PYTHONPATH": str(PROJECT)} | USUAL | dict(condition)
    for stage in (("compose", "--conf", str(PROJECT / "conf"), *OVERRIDES, *overrides), *((name,) for name in STAGES)):
        line = [sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]]
        if subprocess.run(line, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            raise UserError(f"stages.{stage[0]} failed under {dict(condition)}")
    files = (path for path in sorted((folder / "out").rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _share_apart(usual: Path, other: Path) -> float:
    """The share of the integer network's constants that are others: codes of weights, factors, shifts, tables."""
    one, two = (
        {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in onnx.load(folder / "out/quantize/integer.onnx").graph.initializer
        }
        for folder in (usual, other)
    )
    alike = [name for name, value in one.items() if name in two and two[name].shape == value.shape]
    differ = sum(int((one[name] != two[name]).sum()) for name in alike)
    differ += sum(value.size for name, value in one.items() if name not in alike)
    return differ / sum(value.size for value in one.values())


def _fidelity(folder: Path) -> float:
    metrics = json.loads((folder / "out/evaluate/metrics.json").read_text(encoding="utf-8"))
    return float(metrics["fidelity"])


def main() -> None:
    """Run the command; exits."""
    parser = benchmark_parser("benchmarks.same_bytes", __doc__, data=False)
    parser.add_argument("overrides", nargs="*", default=["quant=best"], help="of the experiment (%(default)s)")
    arguments = parser.parse_args()
    report = resolved(arguments.json)
    sys.exit(guarded(lambda: measure(arguments.overrides, report), arguments.debug))


if __name__ == "__main__":
    main()
