"""Whether compare names planted faults and its cures remove them: `python -m benchmarks.diagnosis --data DIR`.

Plants one fault at a time, runs the pipeline, runs the command that compare prints under its first finding, and
measures the network before and after.

In EfficientNet-Lite0, on the T40 at 8 bits. DIR holds imagenet_sample/: 200 .jpg pictures or more, and labels.csv
(columns file and index, the class). Columns: the cosine of the quantized outputs with the sound float network's (or
with its own, if the fault changes the float network) and the share of right pictures: with the fault (before), with the
cure (after), without the fault (sound).

In YOLOX-nano, NudeNet, YuNet and CenterFace. DIR holds coco_train128/images/ and /labels/ (YOLO's text form) and
models/yolox_nano_416.onnx; YuNet and CenterFace see the photos of `data=detection_demo`. Columns: mAP50-95 of
YOLOX-nano's boxes, of the others their agreement with the float network's: before, after, sound.

A row passes if the first finding is of the fault's kind and names its node, the fault did harm, and the cure restores
the network. A sound network passes if nothing is found. So do sound experiments with other SOCs, bit widths and
methods. Exit code 1 if a row fails.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.common.bars import BarResult, bar_table
from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import Row, results_table
from benchmarks.diagnosis import classifier, detectors
from benchmarks.diagnosis.detector_faults import FAULTS
from benchmarks.diagnosis.project import create_project
from stages.core.base.artifacts import write_json
from stages.core.base.console import output
from stages.core.command import guarded

LEFT = ("fault", "detector", "first_finding", "node", "cure")


def main() -> None:
    parser = benchmark_parser("benchmarks.diagnosis", __doc__)
    parser.add_argument("--faults", metavar="A,B", help="these rows only, by the tables' first column")
    arguments = parser.parse_args()
    report = resolved(arguments.json)
    names = arguments.faults.split(",") if arguments.faults else None
    sys.exit(guarded(lambda: diagnosis(arguments.data.resolve(), names, report), arguments.debug))


def diagnosis(data: Path, names: Sequence[str] | None, report: Path | None) -> int:
    """Plant each fault, print the tables, write the rows as they come.

    Args:
        data: DIR.
        names: of faults; None: all.
        report: where the rows are written.

    Returns:
        1 if a row fails, else 0.

    Raises:
        UserError: if DIR lacks something, a name is unknown, or the pipeline fails.
    """
    of_detectors = [fault.name for fault in FAULTS]
    rows: dict[str, list[Row]] = {"EfficientNet-Lite0": [], "detectors": []}
    if names is None or not set(names) <= set(of_detectors):
        with temporary_project():
            for row in classifier.classifier_rows(data, names, of_detectors):
                rows["EfficientNet-Lite0"].append(row)
                _write(report, rows)
    if names is None or set(names) & set(of_detectors):
        with temporary_project():
            for row in detectors.detector_rows(data, names):
                rows["detectors"].append(row)
                _write(report, rows)
    for network, columns in (("EfficientNet-Lite0", classifier.COLUMNS), ("detectors", detectors.COLUMNS)):
        if rows[network]:
            output.print(results_table(f"faults planted in {network}", rows[network], columns, left=LEFT))
    results = [BarResult(**result) for network in rows.values() for row in network for result in row["bars"]]
    output.print(bar_table(results, "fault"))
    passed = sum(result.passed for result in results)
    output.print(f"{passed} of {len(results)} bars are reached")
    return int(passed < len(results))


@contextlib.contextmanager
def temporary_project() -> Iterator[None]:
    """Work in a project of its own that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        create_project()
        yield


def _write(report: Path | None, rows: dict[str, list[Row]]) -> None:
    if report:
        write_json(report, [row for network in rows.values() for row in network])


if __name__ == "__main__":
    main()
