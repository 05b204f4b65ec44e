"""A detector's labels, as YOLO and as COCO have them."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask

from stages.core.base.errors import UserError
from stages.core.data.object_labels import read_object_labels
from stages.core.data.objects import Shapes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels").mkdir()
    return tmp_path


def yolo(text, name="a"):
    Path(f"labels/{name}.txt").write_text(text)
    return read_object_labels("file:labels", ["images/a.jpg", "b.jpg"])


def test_yolo_text_is_in_parts_of_the_picture(folder):
    objects = yolo("2 0.5 0.25 0.5 0.1\n\n0 0.25 0.5 0.5 1\n").of("images/a.jpg", 100, 200)
    np.testing.assert_allclose(objects.boxes, [[50, 20, 150, 30], [0, 0, 100, 100]])
    assert objects.classes.tolist() == [2, 0]
    assert objects.areas.tolist() == pytest.approx([1000, 10000])
    assert not objects.crowd.any()


TRIANGLE = "1 0.1 0.2 0.5 0.2 0.3 0.6\n"


def test_a_polygon_has_a_box_an_area_and_a_mask(folder):
    labels = yolo(TRIANGLE)
    objects = labels.of("a.png", 100, 100)
    np.testing.assert_allclose(objects.boxes, [[10, 20, 50, 60]])
    assert objects.areas.tolist() == pytest.approx([800], rel=0.03)  # half its box
    assert objects.masks is None
    (code,) = labels.of("a.png", 100, 100, Shapes(masks=True)).masks
    drawn = mask.decode(code)
    assert (drawn.shape, drawn.sum(), drawn[22, 30], drawn[50, 14]) == ((100, 100), objects.areas[0], 1, 0)
    assert yolo("0 0.5 0.5 1 1\n").of("a.png", 10, 10, Shapes(masks=True)).masks == (None,)


def test_key_points_are_read_where_the_network_gives_as_many(folder):
    # without a word on visibility a negative number says that a point has no label
    said, unsaid = "0 0.5 0.5 0.2 0.4 0.1 0.2 2 0 0 0\n", "0 0.5 0.5 0.2 0.4 0.1 0.2 -1 0.5\n"
    for text, hidden in ((said, [0, 0, 0]), (unsaid, [-10, 10, 0])):
        objects = yolo(text).of("a.png", 20, 10, Shapes(keypoints=2))
        np.testing.assert_allclose(objects.boxes, [[4, 6, 6, 14]])
        np.testing.assert_allclose(objects.keypoints, [[[1, 4, 2], hidden]])
        assert objects.keypoint_counts.tolist() == [1]
        assert objects.areas.tolist() == pytest.approx([0.53 * 16])
    box = yolo("0 0.5 0.5 0.2 0.4\n").of("a.png", 20, 10, Shapes(keypoints=2))
    assert (box.keypoints.tolist(), box.keypoint_counts.tolist()) == ([[[0, 0, 0], [0, 0, 0]]], [0])
    assert yolo("").of("a.png", 20, 10, Shapes(keypoints=2)).keypoints.shape == (0, 2, 3)
    # a network without key points takes the box, of an odd count; an even one is a polygon
    assert yolo("0 0.5 0.5 0.2 0.4 0.1 0.2 2\n").of("a.png", 20, 10).boxes.tolist() == [[4, 6, 6, 14]]


def test_another_number_of_key_points_leaves_the_box(folder):
    objects = yolo("0 0.5 0.5 0.2 0.4 0.1 0.2 2\n").of("a.png", 20, 10, Shapes(keypoints=2))
    assert (objects.boxes.tolist(), objects.keypoints) == ([[4, 6, 6, 14]], None)


def test_a_picture_without_a_file_shows_nothing(folder):
    assert len(yolo("").of("b.jpg", 10, 10).classes) == 0


@pytest.mark.parametrize(
    "line",
    [
        "0 0.5 0.5 0.1",
        "cat 0.5 0.5 0.1 0.1",
        "0.5 0.5 0.5 0.1 0.1",
        "0 nan 0 0 0",
        "0 320 240 100 50",
        "0 0.1 0.1 0.2 0.2 300 0.1",
        "0 0.5 0.5 -0.1 0.1",
        "0 0.5 0.5 0.1 -0.1 0.1 0.2 2",
    ],
)
def test_a_line_that_is_no_box_is_named(folder, line):
    with pytest.raises(UserError, match=r"^data\.evaluation\.labels=file:labels: a\.txt:2: .* is not class, centre x"):
        yolo(f"0 0.5 0.5 1 1\n{line}\n").of("a.jpg", 10, 10)


def test_bytes_that_are_no_text_are_named(folder):
    labels = yolo("")
    Path("labels/a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"^data\.evaluation\.labels=file:labels: a\.txt is not UTF-8 text: "):
        labels.of("a.jpg", 10, 10)


def test_a_class_that_the_network_does_not_have_is_named(folder):
    labels = yolo("2 0.5 0.5 1 1\n")
    labels.check(["a.jpg", "b.jpg"])
    labels.check(["a.jpg", "b.jpg"], 3)
    with pytest.raises(
        UserError, match=r"a\.jpg has an object of class 2, and the network has 2 classes, counted from"
    ):
        labels.check(["b.jpg", "a.jpg"], 2)


def test_polygons_and_key_points_are_read_by_the_check(folder):
    line = "0 0.5 0.5 0.2 0.4 0.1 0.2 2 -3 0 0\n"
    yolo(line).check(["a.jpg"], 1, Shapes(masks=True, keypoints=2))
    with pytest.raises(UserError, match=r"a\.txt:2: '0 0\.5 0\.5 -0\.2 0\.4.* is not class, centre x"):
        yolo(line + line.replace("0.2", "-0.2", 1)).check(["a.jpg"], 1, Shapes(keypoints=2))


def test_labels_of_other_pictures_are_refused(folder):
    with pytest.raises(UserError, match=r"has labels of none of the 2 pictures; expected a\.txt and others"):
        yolo("", "other")


COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "categories": [{"id": 44, "name": "bottle"}, {"id": 3, "name": "car"}],
    "annotations": [
        {"image_id": 7, "category_id": 44, "bbox": [1, 2, 10, 20], "area": 150.5, "iscrowd": 0},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 1},
    ],
}


def test_coco_numbers_its_classes_by_its_categories(folder):
    (folder / "labels/instances.json").write_text(json.dumps(COCO))
    for source in ("file:labels", "file:labels/instances.json"):
        labels = read_object_labels(source, ["val/a.jpg"])
        objects = labels.of("val/a.jpg", 1, 1)
        assert objects.boxes.tolist() == [[1, 2, 11, 22], [0, 0, 5, 5]]
        assert objects.classes.tolist() == [1, 0]
        assert objects.areas.tolist() == [150.5, 25]
        assert objects.crowd.tolist() == [False, True]
        assert len(labels.of("b.jpg", 1, 1).classes) == 0
        with pytest.raises(UserError, match=r"no picture 'c\.jpg' among its 2"):
            labels.of("c.jpg", 1, 1)


SHAPES = [
    {"segmentation": [[1, 2, 11, 2, 11, 22, 1, 22]], "keypoints": [3, 4, 2, 0, 0, 0], "num_keypoints": 1},
    {"segmentation": {"size": [40, 30], "counts": [40, 80, 1080]}},
]


def coco(folder, *shapes):
    """Labels with more in the two annotations."""
    annotations = [one | more for one, more in zip(COCO["annotations"], shapes, strict=True)]
    (folder / "labels/instances.json").write_text(json.dumps(COCO | {"annotations": annotations}))
    return read_object_labels("file:labels", ["a.jpg", "b.jpg"])


def test_coco_has_masks(folder):
    objects = coco(folder, *SHAPES).of("a.jpg", 40, 30, Shapes(masks=True))
    square, columns = (mask.decode(code) for code in objects.masks)
    assert (square.sum(), square[2:22, 1:11].all()) == (200, True)
    assert (columns.sum(), columns[:, 1:3].all()) == (80, True)
    assert objects.areas.tolist() == [150.5, 80]  # as it is written, else the mask's
    lacking = coco(folder, {"segmentation": []}, {}).of("a.jpg", 40, 30, Shapes(masks=True))
    assert lacking.masks == (None, None)
    assert lacking.areas.tolist() == [150.5, 25]


def test_coco_has_key_points(folder):
    labels = coco(folder, *SHAPES)
    objects = labels.of("a.jpg", 40, 30, Shapes(keypoints=2))
    assert objects.keypoints.tolist() == [[[3, 4, 2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert objects.keypoint_counts.tolist() == [1, 0]
    assert labels.of("b.jpg", 40, 30, Shapes(keypoints=2)).keypoints.shape == (0, 2, 3)
    counted = coco(folder, {"keypoints": [3, 4, 2, 5, 6, 1]}, {}).of("a.jpg", 40, 30, Shapes(keypoints=2))
    assert counted.keypoint_counts.tolist() == [2, 0]
    assert coco(folder, {"keypoints": [3, 4, 2]}, {}).of("a.jpg", 40, 30, Shapes(keypoints=2)).keypoints is None
    ignored = coco(folder, {"keypoints": [3, 4, 2, 5, 6, 1], "num_keypoints": 0}, {})
    assert ignored.of("a.jpg", 40, 30, Shapes(keypoints=2)).keypoint_counts.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("shapes", "wanted", "reason"),
    [
        ({"segmentation": {"size": [30, 40], "counts": []}}, Shapes(masks=True), r"`size` is \[30, 40\]"),
        ({"keypoints": ["a"] * 6}, Shapes(keypoints=2), "could not convert"),
        ({"keypoints": [float("nan")] * 6}, Shapes(keypoints=2), "infinite or none"),
    ],
)
def test_shapes_that_do_not_fit_are_named(folder, shapes, wanted, reason):
    labels = coco(folder, shapes, {})
    assert len(labels.of("a.jpg", 40, 30).classes) == 2
    with pytest.raises(UserError, match=rf"^data\.evaluation\.labels=file:labels: an annotation of a\.jpg: .*{reason}"):
        labels.of("a.jpg", 40, 30, wanted)


SIZED = COCO["images"][0] | {"height": 40, "width": 30}


@pytest.mark.parametrize(
    ("shapes", "wanted", "picture", "reason"),
    [
        ({"keypoints": ["a"] * 6}, Shapes(keypoints=2), {}, "could not convert"),
        ({"segmentation": {"size": [30, 40], "counts": []}}, Shapes(masks=True), SIZED, r"`size` is \[30, 40\]"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, Shapes(masks=True), SIZED, "is not x, y"),
    ],
)
def test_mistakes_in_masks_and_key_points_are_found_before_work_is_done(folder, shapes, wanted, picture, reason):
    coco(folder, shapes, {})
    content = json.loads(Path("labels/instances.json").read_text())
    content["images"][0] |= picture
    Path("labels/instances.json").write_text(json.dumps(content))
    labels = read_object_labels("file:labels", ["a.jpg", "b.jpg"])
    labels.check(["a.jpg", "b.jpg"])
    with pytest.raises(UserError, match=rf"^data\.evaluation\.labels=file:labels: an annotation of a\.jpg: .*{reason}"):
        labels.check(["a.jpg", "b.jpg"], 2, wanted)


def test_masks_wait_for_the_picture_where_no_size_is_said(folder):
    labels = coco(folder, *SHAPES)  # a code of 40 x 30 pixels, as the picture will turn out to be
    labels.check(["a.jpg", "b.jpg"], 2, Shapes(masks=True, keypoints=2))
    assert len(labels.of("a.jpg", 40, 30, Shapes(masks=True)).masks) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category_id": 5}, "annotations[1] has the category_id 5, which is not among its categories"),
        ({"image_id": 8, "id": 17}, "annotation 17 has the image_id 8, which is not among its images"),
        ({"bbox": [1, 2, 3]}, "annotations[1] has the bbox [1, 2, 3]: give [x, y, width, height] in pixels"),
        ({"bbox": [1, 2, -3, 4]}, "annotations[1] has the bbox [1, 2, -3, 4]: give"),
        ({"bbox": [1, 2, "3", 4]}, "annotations[1] has the bbox [1, 2, '3', 4]: give"),
        ({"bbox": None}, "annotations[1] has the bbox None: give"),
    ],
)
def test_a_wrong_annotation_is_named(folder, change, said):
    first, second = COCO["annotations"]
    content = COCO | {"annotations": [first, second | change]}
    (folder / "labels/instances.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        read_object_labels("file:labels", ["a.jpg"])
    assert str(caught.value).startswith(f"data.evaluation.labels=file:labels: {said}")


def test_an_annotation_that_is_none_is_named(folder):
    for change, said in (
        ({"annotations": [7]}, "annotations[0] is '7', not image_id, "),
        ({"annotations": [{}]}, "annotations[0] lacks image_id"),
        ({"categories": []}, "annotations[0] has the category_id 44, which is not among its categories"),
    ):
        (folder / "labels/instances.json").write_text(json.dumps(COCO | change))
        with pytest.raises(UserError) as caught:
            read_object_labels("file:labels", ["a.jpg"])
        assert said in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "{}", "{"])
def test_another_json_is_refused(folder, content):
    (folder / "labels/instances.json").write_text(content)
    with pytest.raises(UserError, match="is not JSON with images, annotations and categories"):
        read_object_labels("file:labels", ["a.jpg"])


def test_pictures_without_a_label_file_are_counted(folder, capsys):
    yolo("")
    assert "1 of 2 pictures have no label file, and count as showing none of the classes" in capsys.readouterr().err
