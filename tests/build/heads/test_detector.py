"""The board's decoding against Python's on the same outputs."""

import numpy as np
import pytest

from stages.core.heads.detector import FARTHEST, MOST_DETECTIONS
from stages.core.heads.head import Kind
from tests.build.heads.heads import (
    CONFIG,
    IN_PIXELS,
    NETWORKS,
    Program,
    compiled,
    decisive_outputs,
    detector,
    head_of,
    random_outputs,
    repeated_scores,
)

FEW = ["yolov8-pose", "yolox"]
"""Those of a quick run, which compiles no others."""
CODINGS = [
    *FEW, "yolov10", "scrfd", IN_PIXELS, "yolov5-face", "yolov3", "yunet", "ultraface", "centerface", "fastestdet",
]  # fmt: skip
"""One of each coding."""


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Program:
    """Decodes the heads of a quick run."""
    return compiled(tmp_path_factory.mktemp("heads"), FEW, "-O0")


@pytest.fixture(scope="module")
def every(tmp_path_factory) -> Program:
    """Decodes the heads of all networks."""
    return compiled(tmp_path_factory.mktemp("heads"), [*NETWORKS, IN_PIXELS], "-O0")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory) -> Program:
    """Decodes a head of each coding; what the sanitizers find ends it."""
    flags = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return compiled(tmp_path_factory.mktemp("heads"), CODINGS, *flags)


@pytest.fixture
def program(request, name) -> Program:
    """Decodes the head of the test's network."""
    chosen: Program = request.getfixturevalue("few" if name in FEW else "every")
    return chosen


each_coding = pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in CODINGS]
)


def rows_of(found):
    """Detections as the program writes them, [N, 6 + 3 K]."""
    columns = [found.boxes, found.scores[:, None], found.classes[:, None]]
    points = [] if found.keypoints is None else [found.keypoints.reshape(len(found), -1)]
    return np.concatenate([*columns, *points], axis=1).astype(np.float32)


def check(program, name, outputs, folder):
    head = head_of(name)
    found = program.detect(name, outputs, folder)
    assert len(found) == len(outputs)
    for values, rows in zip(outputs, found, strict=True):
        expected = rows_of(detector(head).detect(values, CONFIG.score_threshold))
        assert rows.shape == expected.shape
        assert 5 < len(rows) <= MOST_DETECTIONS
        rows[:, :4] = rows[:, :4].clip(-FARTHEST, FARTHEST)  # printed, they are clipped to the picture
        np.testing.assert_allclose(rows[:, :4], expected[:, :4], rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(rows[:, 4], expected[:, 4], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(rows[:, 5], expected[:, 5])
        np.testing.assert_allclose(rows[:, 6:], expected[:, 6:], rtol=1e-5, atol=1e-3)


@each_coding
def test_the_same_boxes_as_pythons(program, tmp_path, name):
    check(program, name, decisive_outputs(head_of(name), 3), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_boxes_of_every_network(every, tmp_path, name):
    check(every, name, decisive_outputs(head_of(name), 50), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", CODINGS)
def test_no_coding_reads_or_overflows_where_it_must_not(sanitized, tmp_path, name):
    check(sanitized, name, decisive_outputs(head_of(name), 20), tmp_path)


@each_coding
def test_of_equal_scores_the_earlier_row_is_better(program, tmp_path, name):
    head = head_of(name)
    outputs = repeated_scores(head)
    scores = head.decode(outputs).above(CONFIG.score_threshold).scores
    assert len(np.unique(scores)) < len(scores) - 5
    check(program, name, [outputs], tmp_path)


def test_of_equal_scores_the_first_class_is_the_best(few, tmp_path):
    # 20 and 25 both have the probability 1 in float32
    head = head_of("yolox")
    outputs = random_outputs(head, 0)
    for level in head.levels:
        outputs[level.views[Kind.classes].tensor][0, :] = np.array([-3, 20, 25])[:, None, None]
    found = few.detect("yolox", [outputs], tmp_path)[0]
    assert set(found[:, 5]) == {1}
    check(few, "yolox", [outputs], tmp_path)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_no_box(program, tmp_path, name, value):
    head = head_of(name)
    outputs = random_outputs(head, 1)
    views = head.levels[0].views
    outputs[views[Kind.boxes].tensor][0, 0, :4, ::2] = value
    outputs[views[Kind.classes].tensor][0, 0, 4:, 1::2] = value
    with np.errstate(invalid="ignore", over="ignore"):
        check(program, name, [outputs], tmp_path)
