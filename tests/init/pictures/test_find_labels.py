"""Labels in the layouts that people have."""

import json
from pathlib import Path

import pytest

from stages.core.base.sources import SourceFile
from stages.core.config.schema import Task
from stages.core.data.sample_files import SampleFiles
from stages.init.guess.guess import Sure
from stages.init.pictures.find_labels import class_labels, object_labels
from stages.init.pictures.picture_folder import open_pictures
from tests.networks import write_pictures

BOX = "1 0.5 0.5 0.2 0.2\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def samples(folder):
    """The samples of a folder of pictures."""
    files = sorted(path for path in folder.rglob("*.png"))
    names = [path.relative_to(folder).as_posix() for path in files]
    return [
        SampleFiles(name, {"x": SourceFile(name, path.read_bytes)}) for name, path in zip(names, files, strict=True)
    ]


def yolo(folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"{index:03d}.txt").write_text(BOX)


@pytest.mark.parametrize(
    ("pictures", "labels", "source"),
    [
        ("set", "set", "file:set"),  # beside the pictures
        ("set", "set/labels", "file:set/labels"),
        ("set/images", "set/labels", "file:set/labels"),
    ],
)
def test_yolo_files_are_found(here, pictures, labels, source):
    write_pictures(here / pictures, 3)
    yolo(here / labels, 3)
    folder = open_pictures(Path("set"))
    assert folder.folder == Path(pictures)
    found = object_labels(folder, samples(here / pictures), 2)
    assert (found.labels, found.task, found.guess.sure) == (source, Task.detection, Sure.high)


def test_labels_of_other_classes_are_left_out_and_said(here):
    write_pictures(here / "set", 3)
    yolo(here / "set", 3)
    found = object_labels(open_pictures(Path("set")), samples(here / "set"), 1)
    assert (found.labels, found.task, found.guess.sure) == (None, Task.detection, Sure.low)
    assert "has an object of class 1, and the network has 1 classes" in found.guess.evidence


def test_coco_s_json_is_told_from_others(here):
    write_pictures(here / "set", 1)
    (here / "set/a.json").write_text("[1, 2]")
    (here / "set/broken.json").write_text("{")
    content = {
        "images": [{"id": 1, "file_name": "000.png"}],
        "categories": [{"id": 7}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [0, 0, 2, 2]}],
    }
    (here / "set/instances.json").write_text(json.dumps(content))
    found = object_labels(open_pictures(Path("set")), samples(here / "set"), 1)
    assert found.labels == "file:set/instances.json"


def test_no_labels(here):
    write_pictures(here / "set", 2)
    folder = open_pictures(Path("set"))
    assert object_labels(folder, samples(here / "set"), 1).task is Task.detection
    found = class_labels(folder, samples(here / "set"), 3)
    assert (found.labels, found.task) == (None, Task.none)


def test_a_table_of_classes(here):
    write_pictures(here / "set", 2)
    (here / "set/notes.csv").write_text("a,b\n1,2\n")
    (here / "set/labels.csv").write_text("file,index\n000.png,2\n001.png,0\n")
    found = class_labels(open_pictures(Path("set")), samples(here / "set"), 3)
    assert (found.labels, found.task) == ("file:set/labels.csv", Task.classification)
    assert class_labels(open_pictures(Path("set")), samples(here / "set"), 2).labels is None


def test_a_folder_a_class(here):
    for name in ("ant", "bee"):
        write_pictures(here / "set" / name, 2)
    folder = open_pictures(Path("set"))
    assert class_labels(folder, samples(here / "set"), 2).labels == "folders"
    found = class_labels(folder, samples(here / "set"), 3)
    assert found.labels is None
    assert "2 folders (ant, bee, ...) for 3 classes" in found.guess.evidence


def test_folders_of_numbers_that_are_no_classes_are_counted(here):
    for name in ("0", "180"):
        write_pictures(here / "set" / name, 2)
    folder = open_pictures(Path("set"))
    found = class_labels(folder, samples(here / "set"), 2)
    assert (found.labels, found.guess.sure) == ("folders", Sure.medium)
    assert found.guess.evidence == "folders 0, 180 are classes 0, 1 in this order"
    left = class_labels(folder, samples(here / "set"), 3)
    assert left.labels is None
    assert "class 180, and the network has 3; call the folders by the classes' numbers" in left.guess.evidence


def test_sets_that_are_split_already(here):
    write_pictures(here / "set/images/train", 3)
    write_pictures(here / "set/images/val", 2)
    yolo(here / "set/labels/val", 2)
    folder = open_pictures(Path("set"))
    assert folder.sets == {"calibration": Path("set/images/train"), "evaluation": Path("set/images/val")}
    found = object_labels(folder, samples(here / "set/images/val"), 2)
    assert found.labels == "file:set/labels/val"


def test_a_single_known_name_splits_nothing(here):
    write_pictures(here / "set/train", 3)
    assert open_pictures(Path("set")).sets == {}
