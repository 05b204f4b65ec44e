from pathlib import Path

import pytest

from stages.core.base.errors import UserError
from stages.core.config.load import load_params
from stages.core.config.schema import Task
from stages.core.data.local_files import check_local_files
from tests.networks import write_pictures


@pytest.fixture
def config(project):
    return load_params(Path("params.yaml"))


def refusal(config):
    with pytest.raises(UserError) as caught:
        check_local_files(config)
    return str(caught.value)


def test_what_is_of_the_right_kind_is_taken(config):
    check_local_files(config)
    Path("labels.csv").write_text("file,label\nother.png,1\nant/0.png,0\n")
    Path("evaluation/ant").joinpath("0.png").touch()
    config.data.evaluation.labels = "file:labels.csv"
    config.data.debug.source = "file:evaluation/ant/0.png"
    check_local_files(config)


def test_a_pattern_may_have_its_files_later(config):
    config.data.calibration.source = "file:calibration/*.later"
    config.model.source = "file:calibration/*.onnx"
    check_local_files(config)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("file:calibration", "model.source matches 12 files ("),
        ("file:empty", "model.source matches 0 files: give those of one"),
        ("file:params.yaml", "model.source: params.yaml is no network that can be read"),
    ],
)
def test_a_network_is_one_file(config, source, said):
    Path("empty").mkdir()
    config.model.source = source
    assert refusal(config).startswith(said)


def test_a_folder_of_one_network_is_taken(config):
    Path("one").mkdir()
    Path("tiny.onnx").rename("one/tiny.onnx")
    config.model.source = "file:one"
    check_local_files(config)


@pytest.mark.parametrize("name", ["calibration", "correction", "validation", "debug", "evaluation"])
def test_samples_are_pictures_or_arrays(config, name):
    part = getattr(config.data, name)
    part.source = "file:tiny.onnx"
    assert refusal(config).startswith(f"data.{name}.source: tiny.onnx is no sample (.bin, .bmp, ")
    part.source = "file:notes"
    Path("notes/.hidden").mkdir(parents=True)
    write_pictures(Path("notes/.hidden"), 1)
    Path("notes/read.me").touch()
    assert refusal(config).startswith(f"data.{name}.source: no file in notes is a sample (")
    Path("notes/a").mkdir()
    Path("notes/a/images.NPY").touch()
    check_local_files(config)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("calibration", "file:calibration: is 12 files; give one CSV"),
        ("tiny.onnx", "file:tiny.onnx: "),
        ("labels.csv", "file:labels.csv: names no file of evaluation"),
    ],
)
def test_labels_are_a_table_of_the_pictures(config, labels, said):
    Path("labels.csv").write_text("file,label\nother.png,1\n")
    config.data.evaluation.labels = f"file:{labels}"
    assert refusal(config).startswith(f"data.evaluation.labels={said}")


def test_mistakes_in_the_labels_of_a_detector_are_found_early(config):
    data = config.data.evaluation
    data.task, data.source, data.labels = Task.detection, "file:calibration", "file:labels"
    Path("labels").mkdir()
    for picture in Path("calibration").iterdir():
        Path(f"labels/{picture.stem}.txt").write_text("3 0.5 0.5 0.1 0.1\n")
    check_local_files(config)
    config.model.detector.classes = 3
    assert "000.png has an object of class 3, and the network has 3 classes" in refusal(config)
    config.model.detector.classes = None
    Path("labels/003.txt").write_text("3 0.5 0.5 0.1 0.1\n3 320 240 20 10\n")
    assert refusal(config).startswith("data.evaluation.labels=file:labels: 003.txt:2: '3 320 240 20 10' is not class")
    data.size = 2  # the first and the seventh
    check_local_files(config)


def test_classes_by_folder_need_folders(config):
    config.data.evaluation.task, config.data.evaluation.labels = Task.classification, "folders"
    Path("flat").mkdir()
    Path("flat/1.png").touch()
    config.data.evaluation.source = "file:flat"
    assert refusal(config).startswith("data.evaluation.labels=folders: '1.png' lies in no folder of a class: make one")
    Path("flat/3").mkdir()
    Path("flat/1.png").rename("flat/3/1.png")
    check_local_files(config)
