"""Every control with and without: `python -m benchmarks.controls`.

Uses the current project's calibration (run `dvc repro calibrate` first), quantizes it under each setting of bits,
methods and float nodes, and compares float against integers on the debug pictures. A control without an effect shows
the same cosines as the first row.
"""

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.processes import run_stage
from benchmarks.common.tables import Row
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.console import output, track
from stages.core.base.paths import CALIBRATE, CALIBSET, EXPORT, NODE_BITS, QPARAMS, SIMILARITY
from stages.core.command import guarded

NODE_BITS_FILE = "bits.json"
"""A node-bits file that this benchmark writes."""
SETTINGS: list[list[str]] = [
    [],
    *([f"quant.feature_method={method}"] for method in ("KL", "MSE", "ADMM", "PERCENTILE")),
    ["quant.feature_method=PERCENTILE", "quant.percentile=99"],
    *([f"quant.weight_method={method}"] for method in ("MSE", "ADMM")),
    *([f"quant.feature_bits={bits}"] for bits in (4, 10, 12, 14, 16)),
    *([f"quant.weight_bits={bits}"] for bits in (2, 4, 6, 16)),
    ["quant.fake_quant=feature"],
    ["quant.fake_quant=weight"],
    ["quant.feature_bits=32", "quant.weight_bits=8"],
    ["quant.feature_bits=8", "quant.weight_bits=32"],
    ["quant.skip_ops=[DepthwiseConv]"],
    ["quant.skip_ops=[Add]"],
    ["quant.head=float"],
    *([f"quant.node_bits=file:{NODE_BITS_FILE}", f"quant.node_ranges={ranges}"] for ranges in ("true", "false")),
]


def main() -> None:
    parser = benchmark_parser("benchmarks.controls", __doc__, data=False)
    parser.add_argument("overrides", nargs="*", help="further overrides, for every row: another model, say")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: measure(arguments.overrides, resolved(arguments.json)), arguments.debug))


def measure(overrides: Sequence[str], report: Path | None) -> None:
    """Print the table; write the rows as JSON."""
    project = Path.cwd()
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        for artifact in (EXPORT, CALIBSET, CALIBRATE):
            artifact.parent.mkdir(exist_ok=True)
            artifact.symlink_to(project / artifact)
        rows = [measure_setting([*overrides, *settings], settings) for settings in track(SETTINGS, "settings")]
        skip = [f"quant.skip_nodes=['{rows[0]['node']}']"]  # the worst node under the default
        rows.append(measure_setting([*overrides, *skip], skip))
    table = Table(title="controls")
    for heading in ("setting", "features", "weights", "output cosine", "mean", "least", "at node"):
        table.add_column(heading, justify="left" if heading in ("setting", "at node") else "right")
    for row in rows:
        cosines = (f"{row[key]:.5f}" for key in ("output", "mean", "least"))
        table.add_row(row["setting"], str(row["features"]), str(row["weights"]), *cosines, row["node"])
    output.print(table)
    if report:
        write_json(report, rows)


def measure_setting(overrides: Sequence[str], settings: Sequence[str]) -> Row:
    """Quantize and compare under some settings."""
    if any(NODE_BITS_FILE in override for override in overrides):
        write_node_bits(
            [override for override in overrides if NODE_BITS_FILE not in override and "node_ranges" not in override]
        )
    for command in ("compose", "quantize", "compare"):
        run_stage(command, *(overrides if command == "compose" else []))
    qparams, similarity = read_json(QPARAMS), read_json(SIMILARITY)
    least = min(similarity, key=lambda layer: layer["cosine_avg"])
    return {
        "setting": " ".join(settings) or "(the default)",
        "features": len(qparams["features"]),
        "weights": len(qparams["weights"]),
        "output": similarity[-1]["cosine_avg"],
        "mean": sum(layer["cosine_avg"] for layer in similarity) / len(similarity),
        "least": least["cosine_avg"],
        "node": least["node"],
    }


def write_node_bits(overrides: Sequence[str]) -> None:
    """Write every second node of the 12-bit node-bits file, its range halved."""
    run_stage("compose", *overrides, "quant.feature_bits=12")
    run_stage("quantize")
    nodes = dict(list(read_json(NODE_BITS).items())[::2])
    for node in nodes.values():
        node["MIN"], node["MAX"] = node["MIN"] / 2, node["MAX"] / 2
    write_json(Path(NODE_BITS_FILE), nodes)


if __name__ == "__main__":
    main()
