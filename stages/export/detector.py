"""A detector's head: finding it, ending the network before its decoding, and saying so."""

from collections.abc import Sequence

import onnx

from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind, ModelConfig
from stages.core.heads.families.anchors import ANCHORS
from stages.core.heads.head import Head, Kind, Stage
from stages.core.heads.head_file import ExportedHead
from stages.core.heads.recognize import recognize
from stages.core.heads.tail import SELECTORS
from stages.export.cut import Cut, extract
from stages.export.shapes import graph_shapes

__all__ = ["detector_lines", "find_head", "without_decoding"]


VARYING_ROWS = SELECTORS - {"TopK"}
"""Operators whose result has, or may have, another number of rows on each picture."""


def find_head(model: onnx.ModelProto, config: ModelConfig) -> ExportedHead | None:
    """Find the head that `model.detector` speaks of, and decide whether to cut it off.

    Args:
        model: the canonical float network.
        config: whose `outputs` are the user's word on where to end.

    Returns:
        None if there is no head that is known, or none is wanted.

    Raises:
        UserError: if a kind is named and the network has no such head, or one that needs anchors; if the head has
            another number of classes than is said; if a graph that is kept whole returns another number of rows for
            each picture.
    """
    kind = config.detector.kind
    if kind is DetectorKind.none or config.detector.function is not None:
        return None
    head = _recognized(model, kind, config.detector.anchors)
    if head is None and kind is not DetectorKind.auto:
        raise UserError(_why_not(model, config.detector))
    if head is None:
        return None
    classes = config.detector.classes
    if classes not in (None, head.classes):
        raise UserError(
            f"model.detector.classes={classes}: the network's {head.name} head has {head.classes}; leave it null"
        )
    outputs = [info.name for info in model.graph.output]
    ends = {*head.tensors, *(head.evidence.others if head.evidence else ())}
    cut = set(outputs) == ends or (config.cut and not config.outputs)
    varying = sorted(VARYING_ROWS.intersection(head.evidence.selectors if head.evidence else ()))
    if varying and not cut:
        raise UserError(
            f"the outputs have as many rows as {varying[0]} finds, so that two networks' cannot be compared: leave "
            "model.cut=true and model.outputs=[], which end the network before it"
        )
    return ExportedHead(head, cut)


def _recognized(model: onnx.ModelProto, kind: DetectorKind, anchors: Sequence[float]) -> Head | None:
    try:
        return recognize(model, anchors, None if kind is DetectorKind.auto else kind.value)
    except UserError:  # what recognition cannot run, export has checked all the same
        return None


def _why_not(model: onnx.ModelProto, detector: DetectorConfig) -> str:
    """Say why the network has no head of the kind that is named: it lacks anchors, if any would make it one."""
    kind, levels = detector.kind, len(detector.strides)
    if kind is DetectorKind.yolov5 and not detector.anchors:
        for count in ANCHORS:
            if _recognized(model, kind, [1.0] * (2 * count * levels)) is not None:
                return (
                    "model.detector.anchors=[]: the graph ends before it decodes, and does not have them: give widths "
                    f"and heights in pixels, w,h,w,h,..., {count} for each of the {levels} strides"
                )
    return (
        f"model.detector.kind={kind.value}: the network's last convolutions are no such head; kind=auto looks for "
        "others, model.detector.function=module:function takes your own decoding"
    )


def without_decoding(model: onnx.ModelProto, head: Head) -> onnx.ModelProto:
    """End a network at its head's last convolutions, and at outputs that are not the head's, such as prototypes."""
    others = head.evidence.others if head.evidence else ()
    outputs = list(dict.fromkeys([*head.tensors, *others]))
    return extract(model, Cut(list(graph_shapes(model)), outputs, []))


def detector_lines(exported: ExportedHead | None, outputs: list[str]) -> list[str]:
    """Describe a detector's head; nothing of a network that has none.

    Args:
        exported: the head.
        outputs: of the network before it was cut.

    Returns:
        A line on the head, and a second one on the cut or, without it, where boxes and scores are joined in an output.
    """
    if exported is None:
        return []
    head = exported.head
    if exported.cut:
        if set(head.tensors) >= set(outputs):
            return [f"detector: {head}"]
        ends = f"the network ends at its {len(head.tensors)} last convolutions, and boxes are decoded in float"
        return [f"detector: {head}", f"cut: {ends} (model.cut=false keeps {', '.join(outputs)})"]
    joint = _joint(head, set(outputs))
    if joint is None:
        return [f"detector: {head}"]
    cut = "model.cut=true model.outputs=[]"
    return [
        f"detector: {head}",
        f"note: {joint} joins boxes in pixels and scores; cut before their decoding, both keep more of their precision "
        f"(docs/detectors.md): python -m stages.compose --keep {cut}",
    ]


def _joint(head: Head, outputs: set[str]) -> str | None:
    """The output that holds boxes in pixels and scores; None if none does."""
    if head.evidence is None or head.evidence.stages[Kind.boxes] is not Stage.decoded:
        return None
    of_boxes, of_classes = (set(head.evidence.tensors.get(kind, ())) for kind in (Kind.boxes, Kind.classes))
    return min(of_boxes & of_classes & outputs, default=None)
