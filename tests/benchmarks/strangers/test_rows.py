from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from benchmarks.strangers import project, rows
from benchmarks.strangers.__main__ import network_rows
from benchmarks.strangers.stranger import Bounds, Material, Samples, Stranger
from benchmarks.strangers.verdicts import Cure, Said
from tests.conftest import run_here
from tests.networks import tiny_classifier

SETTING = ["soc=t40", "quant=int8"]


def pictures(material):
    rng = np.random.default_rng(0)
    return Samples.divided(list(rng.integers(0, 256, (28, 16, 16, 3), np.uint8)), evaluation=4)


def difference(measured):
    return float(np.mean([np.abs(expected - actual).mean() for expected, actual in measured.pairs()]))


@pytest.fixture
def row(tmp_path, monkeypatch):
    """The row of a small network."""
    monkeypatch.chdir(tmp_path)
    onnx.save(tiny_classifier(), "tiny.onnx")

    def made(bounds, setting=SETTING, cures=1):
        network = Stranger("tiny", "classifier", "file:tiny.onnx", pictures, difference, "difference", bounds)
        (only,) = network_rows(network, [setting], Material(None, network.source), cures)
        return only

    return made


@pytest.fixture
def here(monkeypatch, undrawn):
    """Stages run in this process, which has imported most of them, and draw nothing."""
    monkeypatch.setattr(project, "subprocess", SimpleNamespace(run=lambda line, **_: run_here(*line[1:])))


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_cure_is_applied_in_a_copy(row, monkeypatch):
    said = Said(
        "look",
        "Look here: it is poor.",
        ["falls"],
        [Cure("quant.feature_bits=32 quant.weight_bits=32", "error", 0.5, 0.1)],
    )
    monkeypatch.setattr(rows, "compare", lambda: said)
    found = row(Bounds(good=0.0, dead=1e9))
    assert (found["verdict"], found["truth"], found["agree"]) == ("look", "degraded", 1.0)
    assert found["promised"] == "error: 0.5 -> 0.1"
    assert found["got"] < 1e-4 < found["value"]
    assert (found["held"], found["kept"]) == (pytest.approx(1.0, abs=1e-4), "no")
    assert "feature_bits: 8" in Path("params.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_sound_network_needs_no_cure(row):
    found = row(Bounds(good=1e9, dead=2e9))
    assert (found["died"], found["truth"], found["setting"], found["cure"]) == (None, "good", "t40 int8", None)
    assert found["verdict"] in ("good", "look", "broken")
    done, layers = map(int, found["integers"].split("/"))
    assert 0 < done <= layers


@pytest.mark.slow
def test_a_refusal_is_a_row(row):
    found = row(Bounds(good=1, dead=2), ["soc=t40", "quant=int9"])
    assert found["died"] == "compose"
    assert "int9" in found["error"]


@pytest.mark.parametrize(
    ("held", "expected"), [(0.9, "yes"), (0.86, "yes"), (0.94, "yes"), (0.84, "no"), (0.96, "no"), (0.4, "no")]
)
def test_a_promise_is_kept_if_a_tenth_of_the_effect_is_missing_or_more(held, expected):
    assert rows.kept(Cure("a=b", "fidelity of the outputs", 0.4, 0.9), held) == expected
