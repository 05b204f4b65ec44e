"""A metric of the user's own, from the setting to metrics.json."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import Task
from stages.evaluate.__main__ import evaluate
from stages.evaluate.own_metric import OwnScore, load_metric
from stages.evaluate.scores import AGREEMENT, OWN, ClassificationScore, OutputScore
from tests.conftest import REPOSITORY
from tests.evaluate.metrics import WordErrors, best_words
from tests.evaluate.test_main import float_logits

MODULE = "tests.evaluate.metrics"
A, B = {"logits": np.float32([[3, 2, 1]])}, {"logits": np.float32([[1, 2, 3]])}
"""ant bee, cat bee."""


def own_score(name, labels, task=None):
    return OwnScore(task or OutputScore(), load_metric(f"{MODULE}:{name}"), labels, shows_labels=True)


def test_an_instance_for_each_network_over_all_samples():
    score = own_score("WordErrors", ["ant bee", "ant", "cat cat cat"])
    rows = [score.add(f"{i}.wav", None, A, quantized) for i, quantized in enumerate((A, B, A))]
    # said / float / quantized: ant bee / 0 / 0; ant / 1 / 2; cat cat cat / 3 / 3
    assert score.metrics() == {
        "float": {"wer": 4 / 6}, "quantized": {"wer": 5 / 6}, "difference": {"wer": pytest.approx(1 / 6)},
        "cosine": pytest.approx((1 + 10 / 14 + 1) / 3), "count": 3,
    }  # fmt: skip
    assert score.value(OWN) == 5 / 6
    assert [row[0] for row in rows] == ["ant bee", "ant", "cat cat cat"]
    assert list(score.columns) == ["label", "cosine"]
    assert not load_metric(f"{MODULE}:WordErrors").greater_is_better


def test_the_class_that_the_page_shows_counts_so():
    page = (REPOSITORY / "docs/evaluation.md").read_text(encoding="utf-8")
    code: dict[str, Any] = {"decode": best_words}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], code)
    shown, expected = code["WordErrors"](), WordErrors()
    for said in ("ant bee", "ant", "cat cat cat", "bee ant", "dog bee ant bee"):
        for each in (shown, expected):
            each.add("a.wav", A, said)
    assert shown.result() == expected.result()
    assert expected.errors == 0 + 1 + 3 + 2 + 2
    assert shown.greater_is_better is False


def test_it_stands_beside_what_the_task_measures():
    score = OwnScore(ClassificationScore([0, 0]), load_metric(f"{MODULE}:Right"), [0, 0])
    for quantized in (A, B):
        assert len(score.add("a.png", None, A, quantized)) == len(score.columns) == 3
    metrics = score.metrics()
    assert metrics["float"] == {"top1": 1, "top5": 1, "right": 1, "pictures": 2}
    assert metrics["quantized"] == {"top1": 0.5, "top5": 1, "right": 0.5, "pictures": 2}
    assert metrics["difference"] == {"right": -0.5, "pictures": 0}
    assert (score.value(OWN), score.value(AGREEMENT)) == (0.5, 0.5)
    assert [row.count for row in score.by_class()] == [2]


@pytest.mark.parametrize(
    ("labels", "chance", "doubt"),
    [
        ([0, 2] * 4, 0.5, ""),  # right each time; the first answer, class 0, half the time
        ([2, 0] * 4, 0.5, "the float network itself scores 0 by "),
        ([None] * 8, None, ""),
        ([0, 2, 0], None, ""),  # too few
    ],
)
def test_what_one_answer_for_all_samples_would_reach(labels, chance, doubt):
    score = own_score("Right", labels)
    for number, outputs in zip(range(len(labels)), [A, B] * 4, strict=False):
        score.add(f"{number}.png", None, outputs, outputs)
    task = score.task_metric(len(labels))
    assert task.chance == chance
    assert task.doubt.startswith(doubt)
    assert bool(task.doubt) == bool(doubt)


def test_a_result_without_a_name_is_called_after_the_class():
    score = own_score("Mean", [None])
    score.add("a", None, A, B)
    assert score.metrics()["quantized"] == {"Mean": 3.0}
    assert load_metric(f"{MODULE}:Mean").greater_is_better


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Wrong", ": its Wrong has no method result; give add(name, outputs, label) and result()"),
        ("failing", " failed: ValueError: no way"),
        ("FailsToAdd", ".add of a.wav failed: KeyError: 'nothing'"),
        ("NoNumber", ": result() gives wer=nan, which is no finite number"),
        ("NoName", ": result() has the name 'word errors, %': use letters, digits, _ and -"),
        ("Nothing", ": result() gives no number"),
        ("Taken", ": top1 is the task's own: take another name"),
    ],
)
def test_mistakes_in_the_users_code_are_said_in_one_line(name, said):
    def measure():
        score = own_score(name, [None], ClassificationScore([0]))
        score.add("a.wav", None, A, A)
        score.metrics()

    with pytest.raises(UserError) as caught:
        measure()
    assert str(caught.value) == f"data.evaluation.metric={MODULE}:{name}{said}"


def measured(config):
    evaluate(config)
    rows = list(csv.DictReader(Path("out/evaluate/predictions.csv").read_text().splitlines()))
    return json.loads(Path("out/evaluate/metrics.json").read_text()), rows


def test_a_set_with_texts_as_labels(quantized, capsys):
    texts = {"ant/000.png": "ant bee", "ant/001.png": "", "bee/000.png": "bee", "bee/001.png": "bee cat"}
    texts |= {"cat/000.png": "cat, dog", "cat/001.png": "cat"}
    Path("said.csv").write_text("file,label\n" + "".join(f'{name},"{text}"\n' for name, text in texts.items()))
    data = quantized.data.evaluation
    data.task, data.labels, data.metric = Task.custom, "file:said.csv", f"{MODULE}:WordErrors"
    metrics, rows = measured(quantized)
    expected = WordErrors()
    for name, text in texts.items():
        expected.add(name, {"logits": float_logits(name)[None]}, text)
    assert metrics["float"] == expected.result()
    assert {*metrics} == {"float", "quantized", "difference", "cosine", "fidelity", "count"}
    assert [row["label"] for row in rows] == list(texts.values())
    assert "; wer float " in capsys.readouterr().out


def test_a_classifier_gives_class_numbers(quantized, capsys):
    quantized.data.evaluation.metric = f"{MODULE}:Right"
    metrics, _ = measured(quantized)
    for side in ("float", "quantized"):
        assert metrics[side]["right"] == metrics[side]["top1"]
    assert "top-1 float" in capsys.readouterr().out


def test_without_labels_it_gets_none(quantized):
    data = quantized.data.evaluation
    data.task, data.labels, data.metric = Task.custom, None, f"{MODULE}:Mean"
    metrics, _ = measured(quantized)
    names = [f"{name}/00{i}.png" for name in ("ant", "bee", "cat") for i in (0, 1)]
    assert metrics["float"]["Mean"] == pytest.approx(sum(float_logits(name).max() for name in names), rel=1e-5)


def test_a_sample_without_a_text_is_refused(quantized):
    Path("said.csv").write_text("file,label\nant/000.png,ant\n")
    data = quantized.data.evaluation
    data.task, data.labels, data.metric = Task.custom, "file:said.csv", f"{MODULE}:WordErrors"
    with pytest.raises(UserError, match=r"labels=file:said\.csv: no label for 'ant/001\.png'"):
        evaluate(quantized)
