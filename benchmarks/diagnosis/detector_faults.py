"""Detectors, and faults that are planted in them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import onnx

from benchmarks.detection.decoded_graph import decoded_graph
from benchmarks.diagnosis.faults import RANGE_FACTOR, scalable_pair, scale_channel, write_grey
from benchmarks.diagnosis.head_graphs import boxes_in_cells, class_layers, last_join, scores_first
from benchmarks.diagnosis.project import compose_command, shell
from stages.core.base.artifacts import read_json, write_json
from stages.core.base.paths import DETECTOR, FLOAT_MODEL, NODE_BITS
from stages.core.base.sources import open_source
from stages.core.config.load import load_params
from stages.core.graph.onnx_graph import Graph, load_model, parse_model
from stages.core.heads.head_file import load_head

__all__ = ["DETECTORS", "FAULTS", "BenchmarkDetector", "DetectorFault", "Planted"]

CELL_DECODING = Path(__file__).with_name("cell_decoding.py")
FEW_BITS = 4
YOLOX_INPUT = "mean: [{mean}], normal: [{normal}], color: {color}"
WHOLE = ("model.cut=false", "quant.unlike_parts=quantized")
"""The network as its exporter wrote it, in integers to its end."""


@dataclass(frozen=True)
class BenchmarkDetector:
    """A detector's sound experiment.

    Attributes:
        quant: overrides at which it loses no boxes, so that compare finds nothing.
        labelled: DIR's labels are of its classes, so that mAP is measured; else the agreement is.
        demo: on the photos of `data=detection_demo`, which show faces enough; else on DIR's.
    """

    quant: tuple[str, ...] = ("quant=int8",)
    labelled: bool = False
    demo: bool = False


DETECTORS = {
    "yolox_nano": BenchmarkDetector(("quant=a12w8", "quant.skip_nodes=[Conv_41,Mul_43,Conv_44]"), labelled=True),
    "nudenet": BenchmarkDetector(),
    "yunet": BenchmarkDetector(demo=True),
    "centerface": BenchmarkDetector(demo=True),
}


@dataclass(frozen=True)
class Planted:
    """A planted fault: the overrides that plant it, and the node that the finding must name, if any."""

    overrides: tuple[str, ...] = ()
    node: str | None = None


@dataclass(frozen=True)
class DetectorFault:
    """A fault of a detector.

    Attributes:
        name: for the table.
        detector: in which it is planted, one of `DETECTORS`.
        kind: of the finding that must name it; None: nothing is wrong.
        plant: writes the fault's files into the current folder, where the sound experiment has run.
    """

    name: str
    detector: str
    kind: str | None = None
    plant: Callable[[], Planted] = field(default=Planted)


def _given(*overrides: str) -> Callable[[], Planted]:
    return partial(Planted, overrides)


def _yolox_fed(mean: float = 0, normal: float = 1, color: str = "BGR") -> Callable[[], Planted]:
    return _given(f"model.inputs=[{{{YOLOX_INPUT.format(mean=mean, normal=normal, color=color)}}}]")


def _changed(change: Callable[[onnx.ModelProto], onnx.ModelProto], *more: str) -> Planted:
    """The network, changed, in integers to its end; the finding must name the node that joins its output."""
    changed = change(_source())
    onnx.save(changed, "changed.onnx")
    return Planted(("model.source=file:changed.onnx", *WHOLE, *more), last_join(changed).name)


def _whole() -> Planted:
    """The network as its exporter wrote it: boxes in pixels beside scores."""
    return Planted(WHOLE, last_join(_source()).name)


def _in_cells() -> Planted:
    """Boxes in cells beside scores, in a graph that no head fits: the user decodes it."""
    shutil.copy(CELL_DECODING, "cells.py")
    return _changed(boxes_in_cells, "model.detector.function=cells:decode")


def _source() -> onnx.ModelProto:
    """The network of the experiment in the current folder, before export."""
    source = load_params(Path("params.yaml")).model.source or ""
    (file,) = open_source(source, "model.source")
    return parse_model(file.read(), file.name)


def _grey() -> Planted:
    write_grey(Path("grey"))
    return Planted(("data.calibration.source=file:grey",))


def _wide_range() -> Planted:
    """A range 20 times too wide before the classes of the finest level."""
    ranges, graph = read_json(NODE_BITS), Graph(load_model(FLOAT_MODEL))
    node = graph.producers[class_layers(graph, load_head(DETECTOR))[0].input[0]].name
    write_json(Path("range.json"), {node: {key: RANGE_FACTOR * ranges[node][key] for key in ("MIN", "MAX")}})
    return Planted(("quant.node_bits=file:range.json",), node)


def _few_bits() -> Planted:
    """4 bits for the weights of the convolution that gives the finest level's classes."""
    graph = Graph(load_model(FLOAT_MODEL))
    node = class_layers(graph, load_head(DETECTOR))[0].name
    write_json(Path("width.json"), {node: {"QUANT_WEIGHT_BIT": FEW_BITS}})
    return Planted(("quant.node_bits=file:width.json",), node)


def _scaled_channel() -> Planted:
    """A channel x64 and back in the whole network as export writes it: the batch norms are folded there."""
    shell(compose_command(["--keep", "model.cut=false"]), "dvc repro export")
    network = load_model(FLOAT_MODEL)
    producer, consumer = scalable_pair(Graph(network))
    onnx.save(scale_channel(network, producer, consumer), "undone.onnx")
    return Planted(("model.source=file:undone.onnx",), producer)


FAULTS = [
    DetectorFault("sound YOLOX-nano", "yolox_nano"),
    DetectorFault("RGB for BGR", "yolox_nano", "input", _yolox_fed(color="RGB")),
    DetectorFault("0..1 for 0..255", "yolox_nano", "input", _yolox_fed(normal=255)),
    DetectorFault("stretched for letterboxed", "yolox_nano", None, _given("model.preprocess.fit=stretch")),
    DetectorFault("decoded and joined in 12 bits", "yolox_nano", None, partial(_changed, decoded_graph)),
    DetectorFault("sound NudeNet", "nudenet"),
    DetectorFault("4 bits for the classes of a level", "nudenet", None, _few_bits),
    DetectorFault("decoded and joined", "nudenet", "parts", _whole),
    DetectorFault("boxes in cells and an own decoding", "nudenet", "parts", _in_cells),
    DetectorFault("scores before boxes", "nudenet", "parts", partial(_changed, scores_first)),
    DetectorFault("sound YuNet on the X2500", "yunet", None, _given("soc=x2500")),
    DetectorFault("flat grey calibration of YuNet", "yunet", "calibration", _grey),
    DetectorFault("sound YuNet at best on the T41", "yunet", None, _given("quant=best", "soc=t41")),
    DetectorFault("sound CenterFace", "centerface"),
    DetectorFault("channel x64 and back in CenterFace", "centerface", "channel_imbalance", _scaled_channel),
    DetectorFault("range 20 times too wide in a head", "centerface", "range", _wide_range),
]
