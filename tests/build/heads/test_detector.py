"""The board's decoding against Python's on the same outputs."""

import numpy as np
import pytest

from stages.core.heads.detector import MOST_DETECTIONS
from tests.build.heads.heads import (
    CONFIG,
    NETWORKS,
    Program,
    compiled,
    decisive_outputs,
    detector,
    head_of,
    repeated_scores,
)

NAMES = list(NETWORKS)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Program:
    """Decodes all heads; what the sanitizers find ends it."""
    heads = [head_of(name) for name in NAMES]
    flags = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return compiled(tmp_path_factory.mktemp("heads"), heads, flags)


def rows_of(found):
    """Detections as the program writes them, [N, 6 + 3 K]."""
    columns = [found.boxes, found.scores[:, None], found.classes[:, None]]
    points = [] if found.keypoints is None else [found.keypoints.reshape(len(found), -1)]
    return np.concatenate([*columns, *points], axis=1).astype(np.float32)


def check(program, name, outputs, folder):
    head = head_of(name)
    found = program.detect(NAMES.index(name), outputs, folder)
    assert len(found) == len(outputs)
    counts = []
    for values, rows in zip(outputs, found, strict=True):
        expected = rows_of(detector(head).detect(values, CONFIG.score_threshold))
        assert rows.shape == expected.shape
        np.testing.assert_allclose(rows[:, :4], expected[:, :4], rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(rows[:, 4], expected[:, 4], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(rows[:, 5], expected[:, 5])
        np.testing.assert_allclose(rows[:, 6:], expected[:, 6:], rtol=1e-5, atol=1e-3)
        counts.append(len(expected))
    return counts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_the_same_boxes_as_pythons(program, tmp_path, name, number):
    head = head_of(name)
    counts = check(program, name, decisive_outputs(head, number), tmp_path)
    assert min(counts) > 5
    assert max(counts) <= MOST_DETECTIONS


@pytest.mark.parametrize("name", NAMES)
def test_of_equal_scores_the_earlier_row_is_kept(program, tmp_path, name):
    head = head_of(name)
    outputs = repeated_scores(head)
    scores = head.decode(outputs).above(CONFIG.score_threshold).scores
    assert len(np.unique(scores)) < len(scores) - 5
    check(program, name, [outputs], tmp_path)
