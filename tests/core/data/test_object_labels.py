"""A detector's labels, as YOLO and as COCO have them."""

import json
from pathlib import Path

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.data.object_labels import read_object_labels


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


def test_a_polygon_counts_by_its_box(folder):
    objects = yolo("1 0.1 0.2 0.5 0.2 0.3 0.6\n").of("a.png", 100, 100)
    np.testing.assert_allclose(objects.boxes, [[10, 20, 50, 60]])


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
        "0 0.5 0.5 -0.1 0.1",
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
    for annotation, said in ((7, "annotations[0] is '7', not image_id, "), ({}, "annotations[0] lacks image_id")):
        (folder / "labels/instances.json").write_text(json.dumps(COCO | {"annotations": [annotation]}))
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
