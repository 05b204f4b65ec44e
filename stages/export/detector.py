"""What export says of a detector: which head the network has, and whether its boxes and scores share a scale."""

import shlex

import onnx

from stages.core.base.errors import UserError
from stages.core.config.overrides import list_override
from stages.core.heads.head import Head, Kind, Stage
from stages.core.heads.recognize import recognize

__all__ = ["detector_lines"]


def detector_lines(model: onnx.ModelProto) -> list[str]:
    """Describe a detector's head; nothing of a network that has none.

    Args:
        model: the canonical float network.

    Returns:
        A line on the head, and a second one where boxes and scores are joined in an output.
    """
    try:
        head = recognize(model)
    except UserError:  # what recognition cannot run, export has checked all the same
        return []
    if head is None:
        return []
    joint = _joint(head, {info.name for info in model.graph.output})
    if joint is None:
        return [f"detector: {head}"]
    cut = list_override("model.outputs", head.tensors)
    return [
        f"detector: {head}",
        f"note: boxes in pixels and scores share {joint}, and so one scale: at few bits every score may become 0. "
        f"To cut the network before it (docs/detectors.md): python -m stages.compose --keep {shlex.quote(cut)}",
    ]


def _joint(head: Head, outputs: set[str]) -> str | None:
    """The output that holds boxes in pixels and scores; None if none does."""
    if head.evidence is None or head.evidence.stages[Kind.boxes] is not Stage.decoded:
        return None
    of_boxes, of_classes = (set(head.evidence.tensors.get(kind, ())) for kind in (Kind.boxes, Kind.classes))
    return min(of_boxes & of_classes & outputs, default=None)
