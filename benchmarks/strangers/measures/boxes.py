"""The measure of detectors."""

from benchmarks.strangers.stranger import Measured
from stages.core.base.errors import UserError
from stages.core.base.paths import DETECTOR, FLOAT_MODEL
from stages.core.config.load import load_params
from stages.core.graph.onnx_graph import load_model
from stages.core.heads.detector import load_detector
from stages.core.heads.matching import match

__all__ = ["boxes_kept"]

LEAST_BOXES = 10


def boxes_kept(measured: Measured) -> float:
    """F1 of the boxes that the quantized network shows, with the float network's as the truth (overlap of half).

    Raises:
        UserError: if the float network shows too few boxes to tell.
    """
    graph = load_model(measured.project / FLOAT_MODEL).graph
    shapes = {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in graph.output}
    config = load_params(measured.project / "params.yaml").model.detector
    detector = load_detector(measured.project / DETECTOR, config, shapes)
    assert detector is not None, "no detector was recognized"
    same = expected = boxes = 0
    for outputs in zip(measured.expected, measured.actual, strict=True):
        shown = [detector.detect(side).above(detector.score_threshold) for side in outputs]
        same += len(match(*shown).pairs)
        expected += len(shown[0])
        boxes += sum(map(len, shown))
    if expected < LEAST_BOXES:
        raise UserError(f"the float network shows {expected} boxes: {LEAST_BOXES} or more are needed to tell")
    return 2 * same / boxes
