"""Boxes that quantization loses or invents, and scores that collapse."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from stages.compare.diagnose.finding import Effect, Finding
from stages.compare.diagnose.part_findings import cut_override
from stages.compare.gather.observed_boxes import ObservedBoxes, PictureBoxes, in_picture
from stages.core.base.console import counted
from stages.core.config.schema import Config
from stages.core.heads.box_counts import BoxCounts
from stages.core.heads.detections import Detections
from stages.core.statistics.average_precision import AREAS
from stages.core.statistics.shares import MIN_BOXES, likely_share, surely_more

__all__ = ["box_findings", "boxes_agree", "boxes_differ", "boxes_words", "few_but_all_found"]

FEW_BOXES = 3
"""So few boxes tell that a network is good if it finds all of them and no others; a dead one finds none."""
TOLERATED = 0.1
"""So many boxes a sound network of 8 bits may lose: those near the threshold or half hidden."""
FEW_SCORES = 4
"""So few different scores cannot put boxes in order."""
MAX_EXAMPLES = 3
SIZES = tuple(name for name in AREAS if name != "all")


def box_findings(boxes: ObservedBoxes | None, counts: BoxCounts | None, config: Config, samples: str) -> list[Finding]:
    """Find boxes lost and invented, beyond what a sound network of 8 bits does to boxes near the threshold.

    Args:
        boxes: on the debug pictures; None of a network that is no detector.
        counts: on the pictures that the verdict goes by; the same.
        config: the experiment.
        samples: says which pictures these are.
    """
    if boxes is None or counts is None:
        return []
    findings = [_disagreement(boxes, counts, config, samples)] if boxes_differ(counts) else []
    return findings + _collapsed(boxes)


def boxes_agree(boxes: BoxCounts) -> bool:
    """Whether both networks find the same, of enough boxes to tell."""
    return boxes.count >= MIN_BOXES and not boxes_differ(boxes)


def boxes_differ(boxes: BoxCounts) -> bool:
    """Whether more are lost, or invented, than a sound network may lose, and not by chance."""
    sides = ((boxes.lost, boxes.count), (boxes.invented, boxes.quantized_count))
    return any(surely_more(differ, count, TOLERATED) for differ, count in sides)


def few_but_all_found(boxes: BoxCounts) -> bool:
    """Whether both networks find the same few boxes."""
    return FEW_BOXES <= boxes.count < MIN_BOXES and not boxes.lost and not boxes.invented


def boxes_words(boxes: BoxCounts, samples: str) -> str:
    """Say how many boxes both networks have, in a clause, and how little that says where it is little.

    Args:
        boxes: of both.
        samples: says on which pictures.
    """
    if not boxes.count:
        return _counts(boxes, samples)
    if few_but_all_found(boxes):
        return f"{_counts(boxes, samples)}, and no others"
    if boxes.count < MIN_BOXES:
        return f"{_counts(boxes, samples)}, too few to go by"
    low, high = likely_share(boxes.count - boxes.lost, boxes.count)
    return _counts(boxes, samples, f" (95 % CI {100 * low:.0f} to {100 * high:.0f} %)")


def _counts(boxes: BoxCounts, samples: str, share: str = "") -> str:
    where = f"on {samples}"
    own = f" and {boxes.invented} of its own" if boxes.invented else ""
    if not boxes.count:
        return f"the float network shows no box {where}, the quantized one {boxes.quantized_count or 'none'}"
    of = "1 box" if boxes.count == 1 else f"{boxes.count} boxes"
    return f"the quantized network has {boxes.count - boxes.lost} of the float network's {of}{share}{own} {where}"


def _disagreement(boxes: ObservedBoxes, counts: BoxCounts, config: Config, samples: str) -> Finding:
    evidence: dict[str, float | str] = {
        "float_boxes": counts.count, "quantized_boxes": counts.quantized_count, "lost": counts.lost,
        "invented": counts.invented, "score_threshold": boxes.threshold,
    }  # fmt: skip
    clauses, seen = [_counts(counts, samples)], boxes.counts
    if seen.lost:
        clauses.append(f"lost are {_shares(list(_lost(boxes)), list(_shown(boxes)))}")
        clauses.append(f"such as {_examples(boxes)}")
    evidence |= {f"lost_{size}": count for size, count in Counter(_size(*each) for each in _lost(boxes)).items()}
    cure, effect = None, None
    cut = boxes.lost_if_cut
    if cut is not None and cut < seen.lost:
        cure = cut_override(config)
        metric = f"boxes kept of the debug pictures' {seen.count}"
        effect = Effect(metric, seen.count - seen.lost, seen.count - cut)
    return Finding("boxes", None, "; ".join(clauses), evidence, cure, effect)


Box = tuple[PictureBoxes, Detections, int]
"""A box of a picture: the detections, and which."""


def _lost(boxes: ObservedBoxes) -> Iterator[Box]:
    for picture in boxes.pictures:
        yield from ((picture, picture.shown[0], int(index)) for index in picture.lost)


def _shown(boxes: ObservedBoxes) -> Iterator[Box]:
    for picture in boxes.pictures:
        yield from ((picture, picture.shown[0], index) for index in range(len(picture.shown[0])))


def _size(picture: PictureBoxes, detections: Detections, index: int) -> str:
    """Small, medium or large, by the pixels that it covers in the picture."""
    x0, y0, x1, y1 = in_picture(detections.boxes[index : index + 1], picture.placement)[0]
    area = max(x1 - x0, 0.0) * max(y1 - y0, 0.0)
    return next(size for size in SIZES if AREAS[size][0] <= area < AREAS[size][1])


def _shares(lost: Sequence[Box], shown: Sequence[Box]) -> str:
    """Say what is lost by size, and of which class most."""
    by_size, sizes = (Counter(_size(*box) for box in side) for side in (lost, shown))
    by_class, classes = (Counter(int(found.classes[index]) for _, found, index in side) for side in (lost, shown))
    parts = [f"{by_size[size]} of {sizes[size]} {size}" for size in SIZES if sizes[size]]
    most = min(by_class, key=lambda number: (-by_class[number], number))
    words = ", ".join(parts)
    return words if len(classes) == 1 else f"{words}, most of class {most} ({by_class[most]} of {classes[most]})"


def _examples(boxes: ObservedBoxes) -> str:
    best = sorted(_lost(boxes), key=lambda box: -float(box[1].scores[box[2]]))[:MAX_EXAMPLES]
    return ", ".join(
        f"class {found.classes[index]} of score {found.scores[index]:.2f} in {picture.name.rpartition('/')[2]}"
        for picture, found, index in best
    )


def _collapsed(boxes: ObservedBoxes) -> list[Finding]:
    """Scores of so few values that they do not put boxes in order."""
    reference, quantized = boxes.scores()
    values = [len(np.unique(side)) for side in (reference, quantized)]
    if len(quantized) < MIN_BOXES or values[1] > FEW_SCORES or values[0] < MIN_BOXES:
        return []
    sentence = (
        f"the scores of the quantized network's {len(quantized)} boxes have only {counted(values[1], 'value')}; the "
        f"float network's {len(reference)} have {values[0]}"
    )
    return [Finding("scores", None, sentence, {"float_values": values[0], "quantized_values": values[1]})]
