"""Writes the networks and photos of the docs' pages into the current folder, out of pinned packages.

`yolo`: best.onnx, a YOLOv8n that finds people's faces, hands, feet and so on, and photos/ in the folders train and val.
`classifier`: lite0.onnx, EfficientNet-Lite0 with ImageNet's 1000 classes, and pictures/ with photos to calibrate and 20
labelled ones to evaluate.
`keras`: emotion_model.hdf5, a small network of Keras.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx

from benchmarks.common import PROJECT
from benchmarks.first_run.cases import EMOTION
from stages.core.base.console import counted, output
from stages.core.base.sources import open_source
from stages.core.command import Parser, guarded
from stages.core.config.composition import compose
from stages.export.network import exported_network

EPILOG = """\
examples:
  python -m benchmarks.docs.material yolo            best.onnx and photos/
  python -m benchmarks.docs.material classifier      lite0.onnx and pictures/; needs the extra torch
  python -m benchmarks.docs.material keras           emotion_model.hdf5
"""
CONF = PROJECT / "conf"
LABEL = re.compile(r"imagenet_\d+_(\d+)\.jpg")


def main() -> None:
    parser = Parser("benchmarks.docs.material", __doc__, EPILOG)
    parser.add_argument("name", choices=list(WRITERS), help="what to write")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    sys.exit(guarded(WRITERS[arguments.name], arguments.debug))


def write_yolo() -> None:
    """Write best.onnx, and photos/ in the two parts that `init` takes as they are."""
    config = compose(["model=nudenet", "data=detection_demo"], CONF)[0]
    (network,) = open_source(config.model.source or "")
    Path("best.onnx").write_bytes(network.read())
    sets = {"train": config.data.calibration.source, "val": config.data.evaluation.source}
    counts = []
    for part, sources in sets.items():
        folder = Path("photos", part)
        folder.mkdir(parents=True, exist_ok=True)
        files = list(_files(sources))
        for name, content in files:
            (folder / name).write_bytes(content)
        counts.append(f"{folder}/ with {counted(len(files), 'photo')}")
    output.print(f"written: best.onnx, {', '.join(counts)}")


def write_classifier() -> None:
    """Write lite0.onnx, and pictures/ in the two parts that `init` takes as they are; labels.csv beside them."""
    config = compose(["model=efficientnet_lite0"], CONF)[0]
    onnx.save(exported_network(config.model, lambda _: None).model, "lite0.onnx")
    labels = list[tuple[str, int]]()
    for part, sources in (
        ("calibration", config.data.calibration.source),
        ("evaluation", config.data.evaluation.source),
    ):
        folder = Path("pictures", part)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in _files(sources):
            (folder / name).write_bytes(content)
            if part == "evaluation" and (match := LABEL.fullmatch(name)):
                labels.append((name, int(match[1])))
    with Path("pictures", "evaluation", "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("file", "label"), *labels])
    output.print(f"written: lite0.onnx, pictures/calibration, pictures/evaluation with {counted(len(labels), 'label')}")


def write_keras() -> None:
    """Write emotion_model.hdf5."""
    for name, content in _files(EMOTION):
        Path(name).write_bytes(content)
        output.print(f"written: {name}")


WRITERS = {"yolo": write_yolo, "classifier": write_classifier, "keras": write_keras}


def _files(sources: "str | list[str]") -> Iterator[tuple[str, bytes]]:
    for source in [sources] if isinstance(sources, str) else sources:
        for file in open_source(source):
            yield Path(file.name).name, file.read()


if __name__ == "__main__":
    main()
