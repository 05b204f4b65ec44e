from pathlib import Path

import pytest

from benchmarks.diagnosis.__main__ import base_overrides, compose_command, first_cure, hold_bars, select_faults
from benchmarks.diagnosis.faults import Fault
from stages.core.base.errors import UserError

SOUND = Fault("sound", None, None, ())
WIDE = Fault("wide", "channel_imbalance", "/a/Conv", ("model.source=file:a.onnx",))
ROW = {
    "first_finding": "channel_imbalance", "node": "/a/Conv", "before": 0.9, "after": 0.9951, "sound": 0.996,
    "top1_after": 0.9, "top1_sound": 0.92,
}  # fmt: skip
PRINTED = """\
12 of 94 nodes are poor
finding 1: one thing
  try: python -m stages.compose --keep 'a=[b,c]' && dvc repro
finding 2: another
  try: python -m stages.compose --keep d=e && dvc repro
"""


def passed(fault: Fault, **changes: object) -> list[bool]:
    return [result.passed for result in hold_bars(fault, ROW | changes)]


def test_the_line_under_the_first_finding() -> None:
    assert first_cure(PRINTED) == "python -m stages.compose --keep 'a=[b,c]' && dvc repro"
    assert first_cure("finding 1: no cure\nfinding 2: one\n  try: x\n") is None
    assert first_cure("all is well\n") is None


def test_bars() -> None:
    assert passed(WIDE) == [True, True, True, True]
    assert passed(WIDE, node="/b/Conv") == [False, True, True, True]
    assert passed(WIDE, before=0.9915) == [True, False, True, True]  # 0.991 is near enough to be no harm
    assert passed(WIDE, after=0.9905) == [True, True, False, True]
    assert passed(WIDE, top1_after=0.88) == [True, True, True, False]
    assert passed(Fault("own", "channel_imbalance", "/a/Conv", (), own_reference=True), top1_after=0.1) == [
        True,
        True,
        True,
    ]
    assert passed(SOUND) == [False]
    assert passed(SOUND, first_finding=None, node=None) == [True]


def test_faults_by_name() -> None:
    assert select_faults([SOUND, WIDE], None) == [SOUND, WIDE]
    assert select_faults([SOUND, WIDE], ["wide"]) == [WIDE]
    with pytest.raises(UserError, match="no such fault 'wid'; did you mean 'wide'"):
        select_faults([SOUND, WIDE], ["wid"])


def test_the_shell_gets_every_override_whole() -> None:
    line = compose_command(base_overrides(Path("/a folder/labels.csv")))
    assert line.startswith("python -m stages.compose data=folder data.calibration.source=file:calibration ")
    assert line.endswith("""'data.evaluation.labels="file:/a folder/labels.csv"'""")
