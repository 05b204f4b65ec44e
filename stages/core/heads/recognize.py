"""Recognizing a detector's head from its graph."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import onnx

from stages.core.heads.families import cells, centers, distances, fastestdet, priors
from stages.core.heads.families.anchors import propose as propose_anchors
from stages.core.heads.head import Head
from stages.core.heads.tail import Tail, find_tail
from stages.core.heads.verify import verify

__all__ = ["recognize"]

FAMILIES = (distances.propose, cells.propose, priors.propose, centers.propose, fastestdet.propose)


def recognize(model: onnx.ModelProto, anchors: Sequence[float] = (), kind: str | None = None) -> Head | None:
    """Recognize a detector's head by what its graph computes; no name of a node or file is looked at.

    Every family proposes the heads that the channels of the last convolutions allow. A head is believed if its own
    decoding of random values gives what the graph computes from them. Where the graph ends before it decodes, the
    outputs must still be the head's, and the family must have a mark of its own; then `str(head)` says what is taken
    on trust.

    Args:
        model: a network of one picture with static shapes.
        anchors: w, h, w, h, ... in pixels, as many for each level, the finest first: for YOLOv5's outputs without
            decoding, which do not have them.
        kind: a head of this kind only, which need not have a mark of its own; None: of any.

    Returns:
        The head, whose `tensors` are where to cut; None if there is none or if several fit.

    Raises:
        UserError: if the picture's size is not static, or if ONNX Runtime cannot run the network.
    """
    tail = find_tail(model)
    if tail is None:
        return None
    undecoded = []
    for candidate in chain(propose_anchors(tail, anchors), *(propose(tail) for propose in FAMILIES)):
        if kind not in (None, candidate.kind):
            continue
        evidence = verify(candidate, tail)
        if evidence is None:
            continue
        head = replace(candidate, evidence=evidence)
        if evidence.decoded:
            return head
        if (kind or head.trusted(evidence)) and not evidence.others and not evidence.selectors:
            undecoded.append(head)
    return undecoded[0] if undecoded and all(_same(head, undecoded[0], tail) for head in undecoded) else None


def _same(head: Head, other: Head, tail: Tail) -> bool:
    """Whether two heads decode to the same: with one class, objectness and class can be exchanged."""
    one, two = head.decode(tail.cut_values), other.decode(tail.cut_values)
    return all(
        np.array_equal(a, b) for a, b in ((one.boxes, two.boxes), (one.scores, two.scores), (one.classes, two.classes))
    )
