"""Which evaluation pictures are evidence."""

from pathlib import Path

import numpy as np
import pytest

from stages.compare.diagnose.inputs.labelled_boxes import LabelledBoxes
from stages.compare.diagnose.inputs.labelled_pictures import LabelledPictures, read_labelled
from stages.core.config.schema import Config, LabelledSet, ModelConfig, Task
from stages.core.graph.onnx_graph import Graph
from tests.compare.diagnose.inputs.fed_networks import TRAINED, network
from tests.networks import write_pictures

DECODING = """\
import numpy as np

def decode(outputs):
    return np.zeros((0, 4)), np.zeros(0), np.zeros(0)
"""


@pytest.fixture
def evidence(tmp_path, monkeypatch):
    """Pictures of 24 x 24 pixels, a decoding that finds nothing, and a function that reads the evidence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write_pictures(Path("pictures"), 10)
    Path("labels").mkdir()
    Path("decoding_of_none.py").write_text(DECODING)

    def read(task: Task, labels: str | None):
        config = Config()
        config.model = ModelConfig(name="m", source="file:m.onnx")
        config.model.detector.function = "decoding_of_none:decode"
        config.data.evaluation = LabelledSet(source="file:pictures", labels=labels, task=task)
        return read_labelled(Graph(network(0)[0]), [TRAINED], config)

    return read


def test_boxes_of_the_pictures_that_show_some(evidence):
    for index in range(10):
        Path(f"labels/{index:03d}.txt").write_text("" if index == 3 else f"{index} 0.5 0.5 0.5 0.25\n")
    labelled = evidence(Task.detection, "file:labels")
    assert isinstance(labelled, LabelledBoxes)
    assert [int(objects.classes[0]) for objects in labelled.objects] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    np.testing.assert_array_equal(labelled.objects[0].boxes, [[6, 9, 18, 15]])
    assert {(sample.shape, sample.dtype.name) for sample in labelled.samples} == {((12, 12, 3), "uint8")}
    assert labelled.placements[0].scaled == (12, 12)
    np.testing.assert_allclose(labelled.likelihoods([{}] * 9), np.log(0.01))
    first, second = labelled.glances()
    assert [int(objects.classes[0]) for objects in first.objects] == [0, 2, 5, 7, 9]
    assert [int(objects.classes[0]) for objects in second.objects] == [1, 4, 6, 8]


def test_what_cannot_be_read_is_no_evidence(evidence):
    """Evaluate says what is wrong with it."""
    assert evidence(Task.detection, "file:labels") is None
    assert evidence(Task.detection, None) is None
    Path("labels/000.txt").write_text("0 0.5 0.5\n")
    assert evidence(Task.detection, "file:labels") is None
    Path("of.csv").write_text("file,label\n" + "".join(f"{index:03d}.png,some text\n" for index in range(10)))
    assert evidence(Task.custom, "file:of.csv") is None
    assert evidence(Task.classification, "file:of.csv") is None


def test_classes(evidence):
    Path("of.csv").write_text("file,label\n" + "".join(f"{index:03d}.png,{index}\n" for index in range(10)))
    labelled = evidence(Task.classification, "file:of.csv")
    assert isinstance(labelled, LabelledPictures)
    assert (labelled.labels, len(labelled.samples)) == (list(range(10)), 10)
    Path("of.csv").write_text("file,label\n" + "".join(f"{index:03d}.png,{index + 7}\n" for index in range(10)))
    assert evidence(Task.classification, "file:of.csv") is None  # class 16 of 16
