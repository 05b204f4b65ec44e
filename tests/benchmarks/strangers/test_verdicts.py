import pytest

from benchmarks.strangers import verdicts
from benchmarks.strangers.rows import mended
from benchmarks.strangers.stranger import Bounds
from benchmarks.strangers.verdicts import Cure, agreement, compare
from stages.core.base.artifacts import write_json
from stages.core.base.errors import UserError
from stages.core.base.paths import DIAGNOSIS


@pytest.mark.parametrize(
    ("said", "truth", "value"),
    [
        ("good", "good", 1.0),
        ("look", "degraded", 1.0),
        ("broken", "dead", 1.0),
        ("good", "degraded", 0.5),
        ("look", "good", 0.5),
        ("broken", "degraded", 0.5),
        ("good", "dead", 0.0),
        ("broken", "good", 0.0),
        ("unjudged", "good", None),
        ("unjudged", "float", 1.0),
        ("good", "float", 0.0),
        ("broken", "float", 0.5),
    ],
)
def test_agreement(said, truth, value):
    assert agreement(said, [truth]) == value


def test_the_nearest_truth_that_the_spread_reaches_counts():
    assert agreement("good", ["degraded", "good"]) == 1.0
    assert agreement("good", ["degraded", "dead"]) == 0.5


@pytest.fixture
def said(tmp_path, monkeypatch):
    """What `compare` makes of a diagnosis and of printed lines."""
    monkeypatch.chdir(tmp_path)

    def read(diagnosis, printed=""):
        DIAGNOSIS.parent.mkdir(parents=True)
        write_json(DIAGNOSIS, diagnosis)
        monkeypatch.setattr(verdicts, "run_stage", lambda command: printed)
        return compare()

    return read


FINDING = {"kind": "falls", "cure": "quant.feature_bits=10", "effect": None}


def test_a_verdict_in_print_is_read(said):
    read = said({"findings": [FINDING, {"kind": "debug", "cure": None, "effect": None}]}, "x\nLook here: it is poor.\n")
    assert (read.level, read.sentence) == ("look", "Look here: it is poor.")
    assert read.kinds == ["falls", "debug"]
    assert read.cures == [Cure("quant.feature_bits=10")]


def test_the_verdict_of_the_file_and_measured_cures_come_first(said):
    cures = [{"override": "a=1", "metric": "error", "before": 0.5, "after": 0.25, "converter": True}]
    verdict = {"level": "unjudged", "sentence": "Unjudged: nothing is quantized."}
    read = said({"findings": [FINDING], "verdict": verdict, "cures": cures}, "Good: all is well.")
    assert read.level == "unjudged"
    assert read.cures == [Cure("a=1", "error", 0.5, 0.25)]


def test_no_verdict_is_an_error(said):
    with pytest.raises(UserError, match="prints no verdict"):
        said({"findings": []}, "nothing")


@pytest.mark.parametrize(
    ("bounds", "before", "after", "word"),
    [
        (Bounds(good=0.9, dead=0.5), 0.5, 0.95, "yes"),
        (Bounds(good=0.9, dead=0.5), 0.5, 0.7, "partly"),
        (Bounds(good=0.9, dead=0.5), 0.5, 0.6, "no"),
        (Bounds(good=0.02, dead=0.3), 0.22, 0.1, "partly"),
        (Bounds(good=0.02, dead=0.3), 0.22, 0.3, "no"),
    ],
)
def test_mended(bounds, before, after, word):
    assert mended(bounds, before, after) == word
