"""The report's section on a detector's boxes: pictures worst first, and plots."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from stages.compare.background import Background
from stages.compare.diagnose.box_findings import boxes_words
from stages.compare.gather.gather import Gathered
from stages.compare.gather.observed_boxes import ObservedBoxes, PictureBoxes
from stages.compare.gather.picture_sets import DEBUG_KEY
from stages.compare.render.box_pictures import ShownPicture, box_sheet, jpeg_bytes, side_picture
from stages.compare.render.report_figures import Drawing, Figure, draw_plot
from stages.core.config.schema import Config
from stages.core.data.inputs import only_picture
from stages.core.data.sample_files import read_samples, select

__all__ = ["BoxDrawings", "BoxPair", "BoxSection", "begin_boxes", "pair_caption", "worst_pictures"]

MOST_PICTURES = 8


@dataclass(frozen=True)
class BoxPair:
    """A debug picture with the boxes of both networks.

    Attributes:
        reference: data URI, with the float network's boxes.
        quantized: data URI, with the quantized network's.
        caption: what there is.
    """

    reference: str
    quantized: str
    caption: str


@dataclass(frozen=True)
class BoxSection:
    """What the report shows of a detector.

    Attributes:
        sentence: how many boxes both networks have.
        threshold: score from which a box is shown.
        pairs: pictures, worst first.
        plots: of all boxes.
        sheet: the pictures in one, a JPEG file; None without pictures.
    """

    sentence: str
    threshold: float
    pairs: Sequence[BoxPair]
    plots: Sequence[Figure]
    sheet: bytes | None


@dataclass(frozen=True)
class BoxDrawings:
    """The section while it is drawn."""

    boxes: ObservedBoxes
    samples: str
    pairs: Sequence[tuple[Future[str], Future[str], str]]
    plots: Sequence[Drawing]
    sheet: Future[str] | None

    def section(self) -> BoxSection:
        """Wait until it is drawn."""
        pairs = [BoxPair(one.result(), other.result(), caption) for one, other, caption in self.pairs]
        sheet = jpeg_bytes(self.sheet.result()) if self.sheet else None
        plots = [drawing.figure() for drawing in self.plots]
        return BoxSection(boxes_words(self.boxes.counts, self.samples), self.boxes.threshold, pairs, plots, sheet)


def begin_boxes(gathered: Gathered, config: Config, background: Background) -> BoxDrawings | None:
    """Have the boxes drawn; the pictures are read again, since nothing keeps them.

    Args:
        gathered: what was found in them.
        config: where they are and how they are fitted.
        background: draws.

    Returns:
        None of a network that is no detector.
    """
    boxes = gathered.boxes
    if boxes is None:
        return None
    shown = _read(gathered, boxes, config)
    pairs = [
        (
            background.draw(side_picture, each, False),
            background.draw(side_picture, each, True),
            pair_caption(each.boxes),
        )
        for each in shown
    ]
    plots = []
    if boxes.counts.count or boxes.counts.quantized_count:
        caption = "Scores of the same boxes; on the diagonal both are equal, dotted: the threshold"
        plots.append(Drawing(draw_plot(background, "score_plot", boxes), caption))
    if boxes.counts.count:
        caption = "Precision over recall of the quantized network, the float network's boxes being the truth"
        plots.append(Drawing(draw_plot(background, "agreement_plot", boxes), caption))
    sheet = background.draw(box_sheet, shown) if shown else None
    return BoxDrawings(boxes, gathered.judged.words(gathered.debug.noun), pairs, plots, sheet)


def worst_pictures(boxes: ObservedBoxes) -> list[int]:
    """Choose the pictures to show: most boxes lost and invented first, then most that changed, then most boxes."""

    def badness(index: int) -> tuple[int, int, int, int]:
        picture = boxes.pictures[index]
        different = len(picture.matches.missed) + len(picture.matches.invented)
        return -len(picture.lost) - len(picture.invented), -different, -len(picture.shown[0]), index

    return sorted(range(len(boxes.pictures)), key=badness)[:MOST_PICTURES]


def _read(gathered: Gathered, boxes: ObservedBoxes, config: Config) -> list[ShownPicture]:
    """The pictures to show; none if the network takes another thing than one picture, or numbers in its place."""
    inputs = gathered.networks.inputs
    if not only_picture(inputs):
        return []
    files, chosen = select(config.data.debug, inputs, DEBUG_KEY), worst_pictures(boxes)
    samples = read_samples([files[index] for index in chosen], inputs, config.model.preprocess, DEBUG_KEY)
    return [
        ShownPicture(pixels, inputs[0].color, boxes.pictures[index])
        for index, read in zip(chosen, samples, strict=True)
        if (pixels := read.sample[inputs[0].name]).dtype == np.uint8
    ]


def pair_caption(picture: PictureBoxes) -> str:
    """Say how many boxes both networks show, and where those are that one of them does not."""
    counts = [f"{len(side)} {name}" for name, side in zip(("float", "quantized"), picture.shown, strict=True)]
    lost, invented = len(picture.lost), len(picture.invented)
    counted = {
        "lost": lost,
        "invented": invented,
        "fainter when quantized": len(picture.matches.missed) - lost,
        "fainter in float": len(picture.matches.invented) - invented,
    }
    changes = [f"{count} {word}" for word, count in counted.items() if count]
    return f"{picture.name.rpartition('/')[2]}: boxes {', '.join(counts)}{'; ' if changes else ''}{', '.join(changes)}"
