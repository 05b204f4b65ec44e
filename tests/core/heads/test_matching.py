"""Which boxes are the same objects."""

import numpy as np

from stages.core.heads.detections import Detections
from stages.core.heads.matching import match


def found(*boxes):
    """Boxes x0, y0, x1, y1, class; the best first."""
    rows = np.array(boxes, np.float32).reshape(-1, 5)
    return Detections(rows[:, :4], np.linspace(0.9, 0.5, len(rows), dtype=np.float32), rows[:, 4].astype(np.int64))


def test_each_box_is_found_once_and_by_its_class():
    reference = found((0, 0, 10, 10, 0), (20, 0, 30, 10, 1), (40, 0, 50, 10, 0))
    other = found((0, 1, 10, 11, 0), (0, 0, 10, 10, 0), (20, 0, 30, 10, 0), (40, 0, 50, 5.1, 0))
    matches = match(reference, other)
    assert matches.pairs.tolist() == [[0, 0], [2, 3]]  # the first one takes it, though the second fits better
    assert (matches.missed.tolist(), matches.invented.tolist()) == ([1], [1, 2])


def test_nothing_is_missed_of_nothing():
    one, nothing = found((0, 0, 10, 10, 0)), found()
    assert (match(nothing, one).invented.tolist(), match(one, nothing).missed.tolist()) == ([0], [0])
    assert len(match(nothing, nothing).pairs) == 0
