"""Every control with and without: `python -m benchmarks.controls`.

Takes the current project's calibration (run `dvc repro calibrate` first), quantizes it anew under each setting of bits,
methods and what stays in float, and compares float against integers on the debug pictures. A control that does nothing
shows the same cosines as the first row.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.common import run
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.console import output, track
from stages.core.base.paths import CALIBRATE, CALIBSET, EXPORT, NODE_BITS, QPARAMS, SIMILARITY
from stages.core.command import guarded

NODES = "bits.json"  # a node-bits file that this benchmark writes
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
    *([f"quant.node_bits=file:{NODES}", f"quant.node_ranges={ranges}"] for ranges in ("true", "false")),
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.controls", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("overrides", nargs="*", help="further overrides, for every row: another model, say")
    arguments = parser.parse_args()
    target = arguments.json.resolve() if arguments.json else None
    sys.exit(guarded(lambda: measure(arguments.overrides, target), debug=False))


def measure(overrides: Sequence[str], target: Path | None) -> None:
    """Print the table; write the rows as JSON."""
    project = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for part in (EXPORT, CALIBSET, CALIBRATE):
            (Path(folder) / part).parent.mkdir(exist_ok=True)
            (Path(folder) / part).symlink_to(project / part)
        os.chdir(folder)
        try:
            rows = [row([*overrides, *settings], settings) for settings in track(SETTINGS, "settings")]
            skip = [f"quant.skip_nodes=['{rows[0]['node']}']"]  # the worst node under the default
            rows.append(row([*overrides, *skip], skip))
        finally:
            os.chdir(project)
    table = Table(title="controls")
    for heading in ("setting", "features", "weights", "output cosine", "mean", "least", "at node"):
        table.add_column(heading, justify="left" if heading in ("setting", "at node") else "right")
    for entry in rows:
        measures = (f"{entry[key]:.5f}" for key in ("output", "mean", "least"))
        table.add_row(entry["setting"], str(entry["features"]), str(entry["weights"]), *measures, entry["node"])
    output.print(table)
    if target:
        write_json(target, rows)


def row(overrides: Sequence[str], settings: Sequence[str]) -> dict[str, Any]:
    """Quantize and compare under some settings."""
    if any(NODES in entry for entry in overrides):
        write_node_bits([entry for entry in overrides if NODES not in entry and "node_ranges" not in entry])
    for command in ("compose", "quantize", "compare"):
        run(command, *(overrides if command == "compose" else []))
    chosen, similarity = read_json(QPARAMS), read_json(SIMILARITY)
    least = min(similarity, key=lambda entry: entry["cosine_avg"])
    return {
        "setting": " ".join(settings) or "(the default)",
        "features": len(chosen["features"]),
        "weights": len(chosen["weights"]),
        "output": similarity[-1]["cosine_avg"],
        "mean": sum(entry["cosine_avg"] for entry in similarity) / len(similarity),
        "least": least["cosine_avg"],
        "node": least["node"],
    }


def write_node_bits(overrides: Sequence[str]) -> None:
    """Take the node-bits file of 12 bits, every second node of it, and cut the ranges to a half."""
    run("compose", *overrides, "quant.feature_bits=12")
    run("quantize")
    content = dict(list(read_json(NODE_BITS).items())[::2])
    for entry in content.values():
        entry["MIN"], entry["MAX"] = entry["MIN"] / 2, entry["MAX"] / 2
    write_json(Path(NODES), content)


if __name__ == "__main__":
    main()
