"""Detectors: boxes that the program prints against NumPy's, from the same output tensors."""

from dataclasses import replace

import numpy as np
import pytest

from stages.build.board_outputs import BoardOutput
from stages.core.config.schema import DetectorConfig, DetectorKind
from stages.core.heads.detector import MOST_DETECTIONS, Detector
from stages.core.heads.head_file import ExportedHead
from stages.core.integer.dumps import packed
from stages.core.integer.quant_params import QuantParams
from tests.build.heads.heads import board_outputs_of, head_of, random_outputs
from tests.build.venus import detection, programs
from tests.build.venus.programs import config, picture

pytestmark = pytest.mark.slow

HEIGHT, WIDTH, STRIDES, CLASSES = 64, 96, [8, 16, 32], 3
GRIDS = [(HEIGHT // stride, WIDTH // stride) for stride in STRIDES]
CELLS = sum(h * w for h, w in GRIDS)
ANCHORS = np.array([[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 40]], [[60, 90], [56, 60], [80, 50]]])
LETTERBOX = ("model.preprocess.fit=letterbox",)


def detector(kind, **more):
    return DetectorConfig(kind=kind, classes=CLASSES, score_threshold=0.35, nms_threshold=0.5, **more)


def program(tree, folder, detector_config, shapes, qparams=None, preprocess=LETTERBOX):
    """A built program for a detector whose outputs are exported in these shapes."""
    settings = config(*preprocess)
    settings = replace(settings, model=replace(settings.model, detector=detector_config))
    outputs = [
        BoardOutput(f"y{i}", (s[0], s[2], s[3], s[1]) if len(s) == 4 else s, qparams and qparams[i])
        for i, s in enumerate(shapes)
    ]
    programs.written(folder, settings, picture(HEIGHT, WIDTH), outputs)
    programs.built(folder, tree, programs.program())
    return folder


def printed_boxes(done):
    assert done.code == 0, done.error
    lines = [line.removeprefix("box: ").split() for line in done.printed if line.startswith("box: ")]
    return np.array(lines, dtype=np.float64).reshape(-1, 6)


def check(folder, run_folder, tensors, boxes, qparams=None, size=None, at=(0, 0, WIDTH, HEIGHT)):
    """Run on a picture of `size` that lies `at` left, top, width, height in the input, or on the input's own pixels."""
    run_folder.mkdir()
    width, height = size or (WIDTH, HEIGHT)
    (run_folder / "photo.rgb").write_bytes(bytes(height * width * 3))
    given = []
    for index, tensor in enumerate(tensors):
        shape = tensor.shape if tensor.ndim != 4 else tensor.transpose(0, 2, 3, 1).shape
        given.append((shape, packed(tensor, qparams and qparams[index])))
    done = programs.run(folder, run_folder, given, "photo.rgb", *(size or ()))
    expected = detection.suppressed(*boxes, 0.35, 0.5)
    assert len(expected) > 5
    good = (boxes[1] >= 0.35).sum()
    assert len(expected) + 5 < good < len(boxes[0])  # some to drop by their score, some by what they overlap
    expected = expected[:MOST_DETECTIONS]
    expected[:, :4] = (expected[:, :4] - [at[0], at[1]] * 2) * ([width / at[2], height / at[3]] * 2)
    expected[:, :4] = np.clip(expected[:, :4], 0, [width, height] * 2)
    printed = printed_boxes(done)
    assert done.printed[2].startswith(f"{len(expected)} boxes in {width} x {height} pixels")
    np.testing.assert_allclose(printed[:, :4], expected[:, :4], rtol=0, atol=0.0502)  # printed to a tenth
    np.testing.assert_allclose(printed[:, 4], expected[:, 4], rtol=0, atol=0.000051)
    np.testing.assert_array_equal(printed[:, 5], expected[:, 5])


def rows_of(seed, logits=False):
    """[cells, 5 + classes], as a trained YOLOX has them: some boxes of each class that lie over each other."""
    rng = np.random.default_rng(seed)
    boxes = np.column_stack([rng.uniform(-1, 2, (CELLS, 2)), rng.normal(1, 0.4, (CELLS, 2))])
    scores = rng.uniform(0, 1, (CELLS, 1 + CLASSES)) ** 0.5
    values = np.log(scores / (1 - scores)) if logits else scores
    return np.concatenate([boxes, values], axis=1).astype(np.float32)


def maps_of(rows):
    """[1, n, h, w] a stride."""
    ends = np.cumsum([h * w for h, w in GRIDS])[:-1]
    return [
        part.reshape(1, h, w, -1).transpose(0, 3, 1, 2)
        for part, (h, w) in zip(np.split(rows, ends), GRIDS, strict=True)
    ]


def test_yolox_in_one_tensor(tree, tmp_path):
    shape = (1, CELLS, 5 + CLASSES)
    folder = program(tree, tmp_path / "net", detector(DetectorKind.yolox), [shape])
    rows = rows_of(1)
    boxes = detection.yolox(rows, HEIGHT, WIDTH, STRIDES)
    check(folder, tmp_path / "own", [rows.reshape(shape)], boxes)
    # letterbox in the middle: 200 x 100 at 0.48 is 96 x 48, 8 rows above it; 30 x 90 at 64/90 is 21 wide, 37 before it
    check(folder, tmp_path / "wide", [rows.reshape(shape)], boxes, size=(200, 100), at=(0, 8, 96, 48))
    check(folder, tmp_path / "tall", [rows.reshape(shape)], boxes, size=(30, 90), at=(37, 0, 21, 64))


def test_yolox_a_tensor_a_stride_and_a_crop(tree, tmp_path):
    maps = maps_of(rows_of(2))
    crop = ("model.preprocess.fit=crop", "model.preprocess.shorter_side=80")
    folder = program(tree, tmp_path / "net", detector(DetectorKind.yolox), [m.shape for m in maps], preprocess=crop)
    boxes = detection.yolox(rows_of(2), HEIGHT, WIDTH, STRIDES)
    # 100 x 50 becomes 160 x 80, of which the middle is cut out
    check(folder, tmp_path / "run", maps, boxes, size=(100, 50), at=(-32, -8, 160, 80))


def test_yolox_apart_before_the_logistic_function(tree, tmp_path):
    rows = rows_of(3, logits=True)
    maps = [part for m in maps_of(rows) for part in (m[:, :4], m[:, 4:5], m[:, 5:])]
    detector_config = detector(DetectorKind.yolox, logits=True)
    folder = program(tree, tmp_path / "net", detector_config, [m.shape for m in maps])
    check(folder, tmp_path / "run", maps, detection.yolox(rows, HEIGHT, WIDTH, STRIDES, logits=True))


def yolov5_maps(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(0.5, 1.5, (1, 3 * (5 + CLASSES), h, w)).astype(np.float32) for h, w in GRIDS]


def test_yolov5(tree, tmp_path):
    maps = yolov5_maps(4)
    detector_config = detector(DetectorKind.yolov5, anchors=ANCHORS.astype(float).ravel().tolist())
    folder = program(tree, tmp_path / "net", detector_config, [m.shape for m in maps])
    check(folder, tmp_path / "run", maps, detection.yolov5(maps, HEIGHT, WIDTH, STRIDES, ANCHORS))


def test_yolov5_from_codes_of_several_bit_widths(tree, tmp_path):
    # a board that gives codes; the coarse ones where few rows are, so that no two scores are equal
    qparams = [QuantParams(12, 0.004, 2000), QuantParams(10, 0.016, 500), QuantParams(8, 0.05, 120)]
    maps = [
        np.clip(np.rint(m / c.scale) + c.zero_point, 0, c.qmax).astype(c.dtype)
        for m, c in zip(yolov5_maps(5), qparams, strict=True)
    ]
    reals = [(m.astype(np.float64) - c.zero_point) * c.scale for m, c in zip(maps, qparams, strict=True)]
    detector_config = detector(DetectorKind.yolov5, anchors=ANCHORS.astype(float).ravel().tolist())
    folder = program(tree, tmp_path / "net", detector_config, [m.shape for m in maps], qparams)
    check(folder, tmp_path / "run", maps, detection.yolov5(reals, HEIGHT, WIDTH, STRIDES, ANCHORS), qparams)


def test_no_box_reaches_the_threshold(tree, tmp_path):
    shape = (1, CELLS, 5 + CLASSES)
    folder = program(tree, tmp_path / "net", detector(DetectorKind.yolox), [shape])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "photo.rgb").write_bytes(bytes(HEIGHT * WIDTH * 3))
    done = programs.run(folder, tmp_path / "run", [(shape, bytes(CELLS * (5 + CLASSES) * 4))], "photo.rgb")
    assert len(printed_boxes(done)) == 0
    assert done.printed[-1].startswith("0 boxes in 96 x 64 pixels")


def test_a_head_that_export_has_cut_off(tree, tmp_path):
    """Its codes, 12 bits for boxes and 8 for the rest, come in another order than the head's; it has key points."""
    head = head_of("yolov8-pose")
    assert (head.height, head.width) == (HEIGHT, WIDTH)
    outputs = [
        replace(output, qparams=QuantParams(12, 0.004, 2000) if output.shape[-1] == 64 else QuantParams(8, 0.05, 120))
        for output in board_outputs_of(head)
    ]
    config_of_detector = detector(DetectorKind.auto)
    settings = config(*LETTERBOX)
    settings = replace(settings, model=replace(settings.model, detector=config_of_detector))
    folder = programs.written(tmp_path / "net", settings, picture(HEIGHT, WIDTH), outputs, ExportedHead(head, cut=True))
    programs.built(folder, tree, programs.program())
    given, reals = [], {}
    for output, (name, values) in zip(outputs, sorted(random_outputs(head, 3).items()), strict=True):
        qparams = output.qparams
        codes = np.clip(np.rint(values / qparams.scale) + qparams.zero_point, 0, qparams.qmax).astype(qparams.dtype)
        reals[name] = (codes.astype(np.float32) - qparams.zero_point) * np.float32(qparams.scale)
        given.append((output.shape, packed(codes, qparams)))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "photo.rgb").write_bytes(bytes(200 * 100 * 3))
    done = programs.run(folder, tmp_path / "run", given, "photo.rgb", 200, 100)
    found = Detector(head.decode, head.one_to_one, 0.35, 0.5, head.name).detect(reals, 0.35)
    assert 5 < len(found) < 100
    printed = printed_boxes(done)
    scale = 200 / WIDTH  # 96 x 48 in the input, 8 rows below its upper edge
    corners = np.clip((found.boxes - [0, 8, 0, 8]) * scale, 0, [200, 100, 200, 100])
    np.testing.assert_allclose(printed[:, :4], corners, rtol=0, atol=0.0502)
    np.testing.assert_allclose(printed[:, 4], found.scores, rtol=0, atol=0.000051)
    points = [line.removeprefix("points:").split() for line in done.printed if line.startswith("points:")]
    points = np.array(points, np.float64).reshape(found.keypoints.shape)
    np.testing.assert_allclose(points[..., :2], (found.keypoints[..., :2] - [0, 8]) * scale, rtol=0, atol=0.0502)
    np.testing.assert_allclose(points[..., 2], found.keypoints[..., 2], rtol=0, atol=0.0051)
