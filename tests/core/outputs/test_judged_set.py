import json
from dataclasses import replace

import pytest

from stages.core.heads.box_counts import BoxCounts
from stages.core.outputs.judged_set import EVALUATION, JudgedSet
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import OutputJudgement
from stages.core.outputs.output_kind import OutputKind


def output(name, error, kind=OutputKind.values, **more):
    """Of variance 1."""
    return OutputJudgement(name, kind, [PartError(name, "", 40, 1.0, error)], [1.0], **more)


def test_plain_form_and_back():
    judged = JudgedSet(EVALUATION, 9, [output("y", 0.1), output("z", float("inf"))], BoxCounts(9, 8, 7, 6, 5))
    plain = json.loads(json.dumps(judged.to_json(), allow_nan=False))
    assert JudgedSet.from_json(plain) == judged
    assert JudgedSet.from_json(replace(judged, boxes=None).to_json()).boxes is None


def test_fidelity_is_that_of_the_worst_answer_that_can_be_judged():
    silent = output("y", 0.8, silent="it says nothing")
    judged = JudgedSet(EVALUATION, 9, [output("h", 0.9, OutputKind.state), silent, output("z", 0.6), output("w", 0.1)])
    assert (judged.fidelity, judged.worst) == (pytest.approx(0.8), "z")
    assert JudgedSet(EVALUATION, 9, [silent]).fidelity == pytest.approx(0.6)  # of what is there
    assert JudgedSet(EVALUATION, 9, [silent]).worst == ""
    assert JudgedSet(EVALUATION, 9, []).fidelity == 1.0


def test_words():
    assert JudgedSet(EVALUATION, 1, []).words("sample") == "1 evaluation sample"


def spoilt(**changes):
    """The plain form of one output, with other values in its first part, or of its own."""
    plain = JudgedSet(EVALUATION, 9, [output("y", 0.1)], BoxCounts(9, 8, 7, 6, 5)).to_json()
    for key, value in changes.items():
        place = next(
            each for each in (plain["outputs"][0]["parts"][0], plain["outputs"][0], plain["boxes"]) if key in each
        )
        place[key] = value
    return plain


@pytest.mark.parametrize(
    "changes",
    [
        {"variance": -1}, {"error": 1e308}, {"error": -0.5}, {"deviation": "wide"}, {"values": None}, {"kind": "soup"},
        {"parts": []},
        {"parts": 3}, {"span": [1]}, {"found": "many"}, {"output": 7}, {"lost": 9}, {"invented": -1},
        {"answers": {"count": 1, "changed": 2, "distinct": 1, "noun": "classes"}}, {"answers": {"count": 1}},
    ],
)  # fmt: skip
def test_other_values_are_refused(changes):
    JudgedSet.from_json(spoilt())
    with pytest.raises((TypeError, KeyError, ValueError, IndexError)):
        JudgedSet.from_json(spoilt(**changes))
