from pathlib import Path

import numpy as np
import pytest

from benchmarks.scoring.classification import best_classes, top1
from stages.core.base.errors import UserError

OUTPUTS = np.array([[0, 3, 1], [5, 5, 1], [0, 1, 2]], dtype=np.float32)
PICTURES = [Path("b.jpg"), Path("a.jpg"), Path("c.jpg")]


def write_table(folder: Path, text: str) -> None:
    (folder / "imagenet_sample").mkdir()
    (folder / "imagenet_sample" / "labels.csv").write_text(text)


def test_of_equal_scores_the_lower_class() -> None:
    assert best_classes(OUTPUTS).tolist() == [1, 0, 2]
    assert best_classes(OUTPUTS.reshape(3, 3, 1, 1)).tolist() == [1, 0, 2]


def test_counts_by_file_name(tmp_path: Path) -> None:
    write_table(tmp_path, "file,index,name\na.jpg,0,x\nb.jpg,1,y\nc.jpg,1,z\n")
    assert top1(OUTPUTS, PICTURES, tmp_path) == {"top1": 2}


def test_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv is missing"):
        top1(OUTPUTS, PICTURES, tmp_path)


def test_a_picture_without_a_label(tmp_path: Path) -> None:
    write_table(tmp_path, "file,index\na.jpg,0\nb.jpg,1\n")
    with pytest.raises(UserError, match=r"has no 'c\.jpg'"):
        top1(OUTPUTS, PICTURES, tmp_path)
