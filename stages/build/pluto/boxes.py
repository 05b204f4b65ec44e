"""The camera's program that prints a detector's boxes: it runs the network in the open runtime and decodes."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.build.board_outputs import BoardOutput
from stages.build.heads.board_head import BoardHead
from stages.build.heads.sources import write_head
from stages.core.config.schema import DetectorConfig

__all__ = ["Decoding", "ordered_head", "write_boxes"]

SOURCES = Path(__file__).parent / "src"


@dataclass(frozen=True)
class Decoding:
    """How the network's outputs become boxes.

    Attributes:
        board: the head, and where its tensors are in `outputs`.
        outputs: of the network, in order.
        detector: thresholds.
    """

    board: BoardHead
    outputs: Sequence[BoardOutput]
    detector: DetectorConfig

    def fits(self, order: Sequence[str]) -> bool:
        """Whether the runtime's outputs are those of the network: it ends at convolutions alone."""
        return sorted(order) == sorted(output.name for output in self.outputs)


def write_boxes(folder: Path, decoding: Decoding, order: Sequence[str]) -> None:
    """Write the program's sources.

    Args:
        folder: created here.
        decoding: of the network.
        order: the outputs' names as the runtime has them: in the order of their layers.
    """
    shutil.copytree(SOURCES, folder)
    write_head(folder, ordered_head(decoding, order), decoding.detector)


def ordered_head(decoding: Decoding, order: Sequence[str]) -> BoardHead:
    """The head with its tensors where they are when outputs come in another order."""
    board, names = decoding.board, [output.name for output in decoding.outputs]
    numbers = [names.index(name) for name in order]
    places = {tensor: replace(place, output=numbers.index(place.output)) for tensor, place in board.places.items()}
    return replace(board, places=places, sizes=tuple(board.sizes[number] for number in numbers))
