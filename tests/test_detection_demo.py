"""The demo of a detector, as a user starts it: networks and photos out of pinned wheels."""

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run

STAGES = ["export", "calibset", "calibrate", "quantize", "evaluate"]


@pytest.mark.slow
def test_a_face_detector_finds_the_same_faces_at_8_bits(python: Run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    for command in (["compose", "model=yunet", "data=detection_demo"], *([stage] for stage in STAGES)):
        done = python("-m", f"stages.{command[0]}", *command[1:])
        assert done.returncode == 0, done.stderr
    metrics = json.loads(Path("out/evaluate/metrics.json").read_text(encoding="utf-8"))
    assert metrics["boxes"]["float"] >= 100
    assert metrics["agreement"] >= 0.9
    with Path("out/evaluate/predictions.csv").open(encoding="utf-8") as file:
        found = {Path(row["file"]).name: int(row["float_boxes"]) for row in csv.DictReader(file)}
    # counted by eye: six friends around a table, an astronaut and two coaches
    assert (found["t1.jpg"], found["astronaut.png"], found["zidane.jpg"]) == (6, 1, 2)
