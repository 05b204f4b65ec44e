import json
import math
import shutil
from pathlib import Path

import mlflow
import pytest

from stages.calibset.__main__ import calibset
from stages.core.base.artifacts import read_json, write_checksums
from stages.core.base.errors import UserError
from stages.evaluate.__main__ import evaluate
from stages.track.__main__ import track
from stages.track.pipeline_run import pipeline_run


@pytest.fixture
def config(evaluated, monkeypatch):
    """The project with everything that track reads."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return evaluated


def gathered(config):
    return pipeline_run(
        config, read_json(Path("out/evaluate/metrics.json")), read_json(Path("out/compare/similarity.json"))
    )


def test_a_run_is_gathered_from_the_artifacts(config):
    run = gathered(config)
    rows = json.loads(Path("out/compare/similarity.json").read_text())
    metrics = json.loads(Path("out/evaluate/metrics.json").read_text())
    check = json.loads(Path("out/export/check.json").read_text())
    assert (run.experiment, run.run_name) == ("socquant", "onnx T40 a8w8 MAX_ABS")
    assert run.params["soc.name"] == "T40"
    assert run.params["quant.feature_method"] == "MAX_ABS"
    assert run.params["model.source"] == "file:tiny.onnx"
    assert not [key for key in run.params if key.startswith(("watch", "soc.operators"))]
    assert run.metrics["float.top1"] == metrics["float"]["top1"]
    assert run.metrics["count"] == 6
    assert run.metrics["similarity.cosine_min"] == min(row["cosine_avg"] for row in rows)
    assert run.metrics["similarity.cosine_mean"] == pytest.approx(sum(row["cosine_avg"] for row in rows) / 9)
    assert run.metrics["export.max_difference"] == check["max_difference"]
    assert run.curves["layers/cosine_avg"] == [row["cosine_avg"] for row in rows]
    assert {key: len(values) for key, values in run.curves.items()} == dict.fromkeys(run.curves, 9)
    assert {"fingerprint", "soc", "model", "data", "quant", "git_revision", "data_hash"} <= set(run.tags)
    assert run.tags["mlflow.note.content"].startswith("accuracy on 6 pictures: top-1 float ")
    assert (run.tags["soc"], run.tags["quant"], run.tags["data"]) == ("T40", "int8", "folder")
    assert all(path.is_file() for paths in run.artifacts.values() for path in paths)
    assert gathered(config) == run

    config.quant.feature_bits = 10
    assert gathered(config).tags["fingerprint"] != run.tags["fingerprint"]
    assert gathered(config).tags["data_hash"] == run.tags["data_hash"]
    config.data.calibration.size = 3
    calibset(config)
    fewer = gathered(config).tags["data_hash"]
    assert fewer != run.tags["data_hash"]
    config.data.validation.source = "file:calibration"
    calibset(config)
    assert gathered(config).tags["data_hash"] not in (fewer, run.tags["data_hash"])


def test_other_findings_make_another_run(config):
    before = gathered(config).tags["fingerprint"]
    path = Path("out/compare/diagnosis.json")
    path.write_text(json.dumps({**read_json(path), "cures": [{"line": "quant=best"}]}))
    write_checksums(path.parent)
    assert gathered(config).tags["fingerprint"] != before


@pytest.mark.slow
def test_the_stage_logs_once_and_says_where(config, capsys):
    Path("out/compare/boxes.jpg").write_bytes(b"a detector's")
    track(config)
    run = json.loads(Path("out/track/run.json").read_text())
    shown = capsys.readouterr().out
    assert f"{run['run_id']} (new), experiment socquant" in shown
    assert "\nnext:    mlflow ui --backend-store-uri sqlite:///mlflow.db, to compare the experiments" in shown
    assert Path("mlflow.db").is_file()
    track(config)
    assert json.loads(Path("out/track/run.json").read_text()) == run
    assert f"{run['run_id']} (logged before)" in capsys.readouterr().out
    client = mlflow.MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
    names = {
        file.path
        for folder in ("", "compare", "evaluate", "models")
        for file in client.list_artifacts(run["run_id"], folder)
    }
    assert {
        "report.html", "params.yaml", "compare/similarity.svg", "compare/similarity.csv", "compare/similarity.json",
        "compare/boxes.jpg",
        "evaluate/by_class.csv", "evaluate/metrics.json", "evaluate/predictions.csv",
        "models/model.onnx", "models/quantized.onnx", "models/qparams.json", "models/magik_node_quant_bit_info.json",
    } <= names  # fmt: skip


def refused(config):
    with pytest.raises(UserError) as caught:
        track(config)
    assert not Path("mlflow.db").exists()
    return str(caught.value)


def test_what_was_measured_with_other_settings_is_not_logged(config):
    config.data.evaluation.size = 3
    assert refused(config) == "out/evaluate was made with another data.evaluation.size: run `dvc repro`"
    config.data.debug.source = "file:calibration"
    assert refused(config) == "out/compare was made with another data.debug.source: run `dvc repro`"


def test_what_was_measured_of_another_network_is_not_logged(config):
    with Path("out/quantize/integer.onnx").open("ab") as file:
        file.write(b" ")
    write_checksums(Path("out/quantize"))
    assert refused(config) == "out/compare was made with another quantized network: run `dvc repro`"


def test_nothing_is_logged_after_an_evaluation_that_was_refused(config):
    Path("evaluation/ant/000.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"000\.png cannot be read"):
        evaluate(config)
    assert refused(config) == "out/evaluate/settings.json is missing: run `dvc repro evaluate` first"


@pytest.mark.slow
def test_a_layer_that_is_not_finite_has_a_point_that_is_not_a_number(config, empty_store):
    shutil.copy(empty_store, "mlflow.db")
    path = Path("out/compare/similarity.json")
    rows = read_json(path)
    rows[1]["euclidean"] = None  # as compare writes it
    path.write_text(json.dumps(rows))
    write_checksums(path.parent)
    track(config)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, "layers/euclidean")
    assert [point.step for point in points if math.isnan(point.value)] == [1]
