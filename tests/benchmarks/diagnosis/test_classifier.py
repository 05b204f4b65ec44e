from pathlib import Path

import pytest

from benchmarks.diagnosis.classifier import base_overrides, hold_bars, select_faults
from benchmarks.diagnosis.faults import Fault
from stages.core.base.errors import UserError

SOUND = Fault("sound", None, None, ())
WIDE = Fault("wide", "channel_imbalance", "/a/Conv", ("model.source=file:a.onnx",))
ROW = {
    "first_finding": "channel_imbalance", "node": "/a/Conv", "before": 0.9, "after": 0.9951, "sound": 0.996,
    "top1_after": 0.9, "top1_sound": 0.92,
}  # fmt: skip


def passed(fault: Fault, **changes: object) -> list[bool]:
    return [result.passed for result in hold_bars(fault, ROW | changes)]


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
    assert select_faults([SOUND, WIDE], ["wide", "of a detector"], ["of a detector"]) == [WIDE]


def test_the_labels_are_a_file() -> None:
    assert base_overrides(Path("/a folder/labels.csv"))[-1] == 'data.evaluation.labels="file:/a folder/labels.csv"'
