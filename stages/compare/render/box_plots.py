"""Plots of a detector's boxes: SVG text, the same for the same numbers."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.compare.gather.observed_boxes import ObservedBoxes, PictureBoxes, in_picture
from stages.core.data.objects import Objects
from stages.core.heads.box_counts import MARGIN
from stages.core.heads.matching import match
from stages.core.render.page import BLUE, ORANGE, RED, SOFT
from stages.core.render.svg import style, svg_text
from stages.core.statistics.average_precision import FoundBoxes, evaluate_boxes

__all__ = ["agreement_plot", "score_plot"]

PANEL_INCHES = (3.3, 2.9)
AXES_FRAME = (0.17, 0.17, 0.8, 0.68)
OVERLAPS = ((0, "0.5", "-"), (5, "0.75", "--"))
"""Index among pycocotools' overlaps, words, line."""

Doubles = NDArray[np.float64]


def score_plot(boxes: ObservedBoxes) -> str:
    """Draw the score of each box in the quantized network over that in the float one; lost and invented ones at 0."""
    pairs, lost, invented = _scores(boxes)
    with style():
        figure = Figure(figsize=PANEL_INCHES)
        axes = _square(figure, "score in the float network", "score in the quantized one")
        axes.axline((0, 0), slope=1.0, color=SOFT, linewidth=0.9)
        for line in (axes.axvline, axes.axhline):
            line(boxes.threshold, color=SOFT, linewidth=0.8, linestyle=":")
        axes.plot(*pairs, "o", color=BLUE, markersize=3.5, alpha=0.7, label=f"both ({len(pairs[0])})")
        axes.plot(lost, np.zeros(len(lost)), "x", color=RED, markersize=6, label=f"lost ({len(lost)})", clip_on=False)
        axes.plot(
            np.zeros(len(invented)), invented, "^", color=ORANGE, markersize=5, label=f"invented ({len(invented)})",
            clip_on=False,
        )  # fmt: skip
        _legend(axes, 3)
        return svg_text(figure)


def agreement_plot(boxes: ObservedBoxes) -> str:
    """Draw precision over recall of the quantized network's boxes, the float network's shown ones being the truth.

    It is averaged over the classes that the float network shows, of which there must be one.
    """
    evaluated = evaluate_boxes([_truth(each) for each in boxes.pictures], [_found(each) for each in boxes.pictures])
    with style():
        figure = Figure(figsize=PANEL_INCHES)
        axes = _square(figure, "recall", "precision")
        for index, overlap, line in OVERLAPS:
            precisions = evaluated.precisions[index, :, :, 0]  # recall x class
            precisions = precisions[:, (precisions > -1).all(axis=0)]
            curve = precisions.mean(axis=1)
            label = f"overlap {overlap} (mean {precisions.mean():.3f})"
            axes.plot(np.linspace(0, 1, len(curve)), curve, line, color=BLUE, linewidth=1.4, label=label, clip_on=False)
        _legend(axes, 1)
        return svg_text(figure)


def _scores(boxes: ObservedBoxes) -> tuple[tuple[Doubles, Doubles], Doubles, Doubles]:
    """Scores of the boxes that both have, [2, N]; of lost ones; of invented ones."""
    both: list[tuple[float, float]] = []
    lost, invented = list[float](), list[float]()
    for picture in boxes.pictures:
        reference, quantized = (
            side.above(MARGIN * picture.threshold) for side in (picture.reference, picture.quantized)
        )
        pairs = match(reference, quantized).pairs
        both += zip(reference.scores[pairs[:, 0]].tolist(), quantized.scores[pairs[:, 1]].tolist(), strict=True)
        lost += picture.shown[0].scores[picture.lost].tolist()
        invented += picture.shown[1].scores[picture.invented].tolist()
    pairs_of_scores = np.array(both, np.float64).reshape(-1, 2).T
    return (pairs_of_scores[0], pairs_of_scores[1]), np.array(lost), np.array(invented)


def _truth(picture: PictureBoxes) -> Objects:
    """The boxes that the float network shows, as objects of the picture."""
    shown = picture.shown[0]
    return Objects.of_boxes(in_picture(shown.boxes, picture.placement), shown.classes)


def _found(picture: PictureBoxes) -> FoundBoxes:
    """All boxes of the quantized network, the faint ones too."""
    found = picture.quantized
    return FoundBoxes(in_picture(found.boxes, picture.placement), found.scores.astype(np.float64), found.classes)


def _square(figure: Figure, x: str, y: str) -> Axes:
    axes = figure.add_axes(AXES_FRAME)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.6)
    return axes


def _legend(axes: Axes, columns: int) -> None:
    """Above the axes, where no mark is."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.15, 1.0), ncols=columns, borderaxespad=0.2, columnspacing=0.9,
        fontsize=7, handlelength=1.6, handletextpad=0.4,
    )  # fmt: skip
