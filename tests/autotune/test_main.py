import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from stages.autotune import tuner
from stages.autotune.__main__ import add_arguments, autotune
from stages.autotune.pareto_plot import curve_plot
from stages.compose import run as compose_into
from stages.core.base.errors import UserError
from stages.core.config.load import load_params
from stages.evaluate.__main__ import evaluate
from stages.quantize.__main__ import quantize
from tests.conftest import composed, detector_config, project_overrides
from tests.evaluate.test_main import float_logits

AUTOTUNE = Path("out/autotune")
PLOT = "stages.autotune.__main__.curve_plot"
UNLABELLED = ("data.evaluation.labels=null", "data.evaluation.task=none")
WORDS = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def unplotted(monkeypatch):
    """Nothing is plotted, which would be half of the time, but for the tests that take `plotted`."""
    monkeypatch.setattr(PLOT, lambda *_: "<svg/>")


@pytest.fixture
def plotted(unplotted, monkeypatch):
    monkeypatch.setattr(PLOT, curve_plot)


def tune(config, *arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    autotune(config, parser.parse_args(["--no-track", *arguments]))
    return json.loads((AUTOTUNE / "autotune.json").read_text())


def chosen(report):
    return report["rows"][-1]


@pytest.mark.slow
def test_quantize_takes_the_file_and_has_those_bit_widths(calibrated, capsys):
    report = tune(calibrated, "--mean-bits", "6")
    assert "quant.node_bits=file:out/autotune/node_bits.json" in capsys.readouterr().out
    overrides = project_overrides("quant.node_bits=file:out/autotune/node_bits.json")
    compose_into(overrides, Path("conf"), Path("params.yaml"), check_only=False)
    quantize(load_params(Path("params.yaml")))
    params = json.loads(Path("out/quantize/qparams.json").read_text())
    asked = {(row["kind"], row["node"]): row["bits"] for row in report["variables"]}
    features = {("feature", feature["node"]): feature["bits"] for feature in params["features"]}
    weights = {("weight", weight["node"]): weight["bits"] for weight in params["weights"]}
    assert features.pop(("feature", "flatten")) == asked["feature", "pool"]  # shares its codes
    assert features | weights == asked
    assert len(set(asked.values())) > 1


@pytest.mark.slow
@pytest.mark.usefixtures("plotted")
def test_bounds_are_kept_and_beat_the_uniform_bit_widths_within_them(calibrated):
    for bound, keys in ((["--mean-bits", "6"], ["feature bits", "weight bits"]), (["--budget", "size=188"], ["size"])):
        report = tune(calibrated, *bound)
        most = 6 if bound[0] == "--mean-bits" else 188
        assert all(chosen(report)[key] <= most * 1.00001 for key in keys)
        others = [row for row in report["rows"][:-1] if row["within"]]
        assert others
        assert all(chosen(report)["error"] <= row["error"] for row in others)


@pytest.mark.slow
def test_a_relative_budget_is_of_uniform_8_bits(calibrated):
    report = tune(calibrated, "--budget", "bitops=0.5x")
    whole = next(row for row in report["rows"] if row["name"] == "uniform 8/8")["bitops"]
    assert whole == 64 * (512 * (27 + 9 + 8) + 24)
    assert 0.3 * whole < chosen(report)["bitops"] <= 0.500001 * whole


def test_a_target_is_kept_by_what_is_measured(calibrated):
    report = tune(calibrated, "--target", "error=0.05", "--minimize", "size")
    assert chosen(report)["error"] <= 0.05
    met = [step for step in report["tried"] if step["met"]]
    assert chosen(report)["size"] == min(step["size"] for step in met)
    assert chosen(report)["size"] < 376


@pytest.mark.slow
def test_an_accuracy_target_is_of_one_half_of_what_evaluate_then_measures_and_says_what_the_other_has(calibrated):
    report = tune(calibrated, "--target", "accuracy=0")
    config = composed("quant.node_bits=file:out/autotune/node_bits.json")
    quantize(config)
    evaluate(config)
    with Path("out/evaluate/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))

    def right(side, half):
        return np.mean([row[side].split()[0] == row["label"] for row in half])

    best = next(step for step in report["tried"] if step["met"] and step["latency"] == chosen(report)["latency"])
    assert best["accuracy"] == right("quantized_top5", rows[::2]) >= right("float_top5", rows[::2])
    unseen = {"float": right("float_top5", rows[1::2]), "chosen": right("quantized_top5", rows[1::2])}
    assert report["unseen"] == unseen


@pytest.mark.slow
def test_an_agreement_is_reached_on_one_half_and_told_on_the_other(detector, capsys):
    report = tune(detector, "--target", "agreement=0.3", "--minimize", "bitops")
    assert all((step["agreement"] >= 0.3) == step["met"] for step in report["tried"])
    met = [step["bitops"] for step in report["tried"] if step["met"]]
    assert chosen(report)["bitops"] == min(met)
    assert {*report["unseen"]} == {"float", "chosen"}  # of one picture there is no interval
    assert report["unseen"]["float"] == pytest.approx(1)
    assert f"of the others: float 1.0000, chosen {report['unseen']['chosen']:.4f}" in capsys.readouterr().out
    quantize(detector_config(*UNLABELLED, "quant.node_bits=file:out/autotune/node_bits.json"))
    for name in ("000.png", "002.png"):  # the others chose
        Path("evaluation", name).unlink()
    evaluate(detector_config(*UNLABELLED, "quant.node_bits=file:out/autotune/node_bits.json"))
    assert json.loads(Path("out/evaluate/metrics.json").read_text())["agreement"] == report["unseen"]["chosen"]


@pytest.mark.slow
def test_an_error_rate_of_the_users_own_is_bounded_from_above(calibrated):
    names = [f"{word}/00{i}.png" for word in WORDS for i in (0, 1)]
    Path("said.csv").write_text("file,label\n" + "".join(f"{name},{name[:3]}\n" for name in names))
    config = composed(
        "data.evaluation.task=custom",
        "data.evaluation.labels=file:said.csv",
        "data.evaluation.metric=tests.evaluate.metrics:FirstWordErrors",
    )
    report = tune(config, "--target", "own=0")
    wrong = [WORDS[float_logits(name).argmax()] != name[:3] for name in names]
    assert all((step["own"] <= np.mean(wrong[::2]) + 1e-6) == step["met"] for step in report["tried"])
    assert report["unseen"]["float"] == np.mean(wrong[1::2])


@pytest.mark.slow
def test_a_result_is_kept_though_no_other_picture_can_tell_its_worth(calibrated, capsys):
    calibrated.data.evaluation.size = 1
    report = tune(calibrated, "--target", "agreement=0.5")
    assert report["unseen"] is None
    assert any(step["met"] for step in report["tried"])
    out, err = capsys.readouterr()
    assert "warning: the other evaluation pictures do not tell what it is worth: data.evaluation has too few" in err
    assert "to use it in spite of that" in out


@pytest.mark.slow
def test_pictures_too_few_for_a_target_are_said(calibrated, capsys):
    tune(calibrated, "--target", "accuracy=-0.003")
    out, err = capsys.readouterr()
    assert err.count("warning: 3 pictures cannot show a loss of 0.003: one is 0.33 of them") == 2  # before and after
    assert "to use it in spite of that" in out


@pytest.mark.slow
def test_a_target_by_example_is_as_good_for_less(calibrated):
    report = tune(calibrated, "--target", "error=8/6", "--minimize", "bitops")
    example = next(row for row in report["rows"] if row["name"] == "uniform 8/6")
    assert chosen(report)["error"] <= example["error"]
    assert chosen(report)["bitops"] < example["bitops"]


@pytest.mark.slow
def test_a_target_never_costs_more_than_uniform_bit_widths_that_keep_it(calibrated):
    for bit_widths in ("8/8", "8/4", "12/8"):
        report = tune(calibrated, "--target", f"error={bit_widths}")
        bound = next(row["error"] for row in report["rows"] if row["name"] == f"uniform {bit_widths}")
        good = [row["latency"] for row in report["rows"][:-1] if row["error"] <= bound]
        assert chosen(report)["latency"] <= min(good)


def test_bits_beyond_the_widest_are_refused(calibrated):
    with pytest.raises(UserError, match=r"--mean-bits 60/60: that bounds nothing, the widest .* are 12 bits"):
        tune(calibrated, "--mean-bits", "60")


@pytest.mark.slow
@pytest.mark.usefixtures("plotted")
def test_a_call_is_logged_once_with_plot_table_and_node_bits(calibrated, empty_store, tmp_path, monkeypatch, capsys):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for _ in range(2):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        autotune(calibrated, parser.parse_args(["--mean-bits", "6", "--budget", "size=300"]))
    assert "logged before" in capsys.readouterr().out
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("socquant-autotune").experiment_id])
    report = json.loads((AUTOTUNE / "autotune.json").read_text())
    assert run.data.params["mean_bits"] == "6"
    assert run.data.params["budget"] == "size=300"
    assert run.data.metrics["error"] == chosen(report)["error"]
    assert run.data.metrics["weight_bits"] == chosen(report)["weight bits"] <= 6.00001
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files >= {"autotune.json", "pareto.svg", "pareto.csv", "node_bits.json", "comparison.json"}
    table = mlflow.load_table("comparison.json", run_ids=[run.info.run_id])
    assert list(table["name"]) == [row["name"] for row in report["rows"]]


@pytest.mark.slow
def test_a_second_budget_measures_no_sensitivity_again(calibrated, monkeypatch):
    first = tune(calibrated, "--mean-bits", "6")

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(tuner, "measure_sensitivities", fail)
    assert tune(calibrated, "--mean-bits", "5")["rows"][:-1] != []
    assert tune(calibrated, "--mean-bits", "6") == first


@pytest.mark.slow
def test_other_settings_are_measured_anew(calibrated):
    tune(calibrated, "--mean-bits", "6")
    tune(composed("quant.weight_method=MSE"), "--mean-bits", "6")
    assert len(list((AUTOTUNE / "measured").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("plotted")
def test_two_runs_write_the_same_bytes(calibrated):
    def files():
        return {path: path.read_bytes() for path in sorted(AUTOTUNE.rglob("*")) if path.is_file()}

    tune(calibrated, "--budget", "bitops=0.6x")
    first = files()
    for path in first:
        path.unlink()
    tune(calibrated, "--budget", "bitops=0.6x")
    assert files() == first
    assert {path.name for path in first} > {"autotune.json", "node_bits.json", "pareto.csv", "pareto.svg"}


@pytest.mark.slow
def test_the_users_node_bits_stay(calibrated):
    Path("bits.json").write_text(json.dumps({"project": {"QUANT_WEIGHT_BIT": 2, "MIN": -1.0, "MAX": 1.0}}))
    tune(composed("quant.node_bits=file:bits.json"), "--mean-bits", "6", "--node-bits", "more/bits.json")
    written = json.loads(Path("more/bits.json").read_text())
    assert {key: written["project"][key] for key in ("QUANT_WEIGHT_BIT", "MIN", "MAX")} == {
        "QUANT_WEIGHT_BIT": 2, "MIN": -1.0, "MAX": 1.0,
    }  # fmt: skip


@pytest.mark.slow
def test_its_own_file_does_not_bind_it(calibrated):
    Path("bits.json").write_text(json.dumps({"project": {"QUANT_WEIGHT_BIT": 2}}))
    tune(composed("quant.node_bits=file:bits.json"), "--mean-bits", "6")
    config = composed("quant.node_bits=file:out/autotune/node_bits.json")
    report = tune(config, "--mean-bits", "5")
    bits = {(row["kind"], row["node"]): row["bits"] for row in report["variables"]}
    assert bits["weight", "project"] == 2  # what bound it then binds it now
    assert 2 < chosen(report)["weight bits"] <= 5.00001
    # once more, from the file of the second call; then edited by hand, it binds
    config = composed("quant.node_bits=file:out/autotune/node_bits.json")
    tune(config, "--mean-bits", "6")
    content = json.loads((AUTOTUNE / "node_bits.json").read_text())
    content["stem"]["QUANT_WEIGHT_BIT"] = 2
    (AUTOTUNE / "node_bits.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"nothing to choose: quant\.node_bits gives each tensor one bit width"):
        tune(config, "--mean-bits", "6")


@pytest.mark.slow
def test_the_report_goes_where_it_is_wanted(calibrated):
    report = tune(calibrated, "--mean-bits", "6", "--json", "here/report.json")
    assert json.loads(Path("here/report.json").read_text()) == report


@pytest.mark.slow
@pytest.mark.parametrize("method", ["OUTPUT", "MSE"])
def test_other_ways_to_choose_ranges(calibrated, method):
    config = composed(f"quant.feature_method={method}")
    report = tune(config, "--mean-bits", "6")
    within = next(row for row in report["rows"] if row["name"] == "uniform 4/4")  # the T40 has no features of 6 bits
    assert chosen(report)["error"] < min(0.2, within["error"] / 2)
    again = tune(config, "--mean-bits", "6")
    assert tune(config, "--mean-bits", "6") == again  # ranges come from what was stored


@pytest.mark.slow
def test_what_is_verified_is_what_quantize_writes(calibrated):
    config = composed("quant.feature_method=OUTPUT")
    report = tune(config, "--mean-bits", "6")
    opened = tuner.Tuner(config, None, allow_float=False, pictures=8)
    bits = {(row["kind"], row["node"]): row["bits"] for row in report["variables"]}
    candidate = opened.verifier.candidate({each.name: bits[each.kind, each.node] for each in opened.problem.variables})
    quantize(composed("quant.feature_method=OUTPUT", "quant.node_bits=file:out/autotune/node_bits.json"))
    params = json.loads(Path("out/quantize/qparams.json").read_text())
    assert [each["scale"] for each in params["features"]] == [each.scale for each in candidate.params().features]
    assert [tuple(each["scales"]) for each in params["weights"]] == [each.scales for each in candidate.params().weights]


@pytest.mark.slow
def test_a_network_whose_channels_are_scaled(calibrated):
    report = tune(composed("quant.equalization=cross_layer"), "--mean-bits", "6")
    within = next(row for row in report["rows"] if row["name"] == "uniform 4/4")  # the T40 has no features of 6 bits
    assert chosen(report)["error"] < min(0.1, within["error"] / 5)


@pytest.mark.slow
@pytest.mark.usefixtures("plotted")
def test_float_where_it_is_allowed(calibrated):
    report = tune(composed("soc=bm1684x"), "--target", "error=1e-9", "--minimize", "bitops", "--allow-float")
    assert chosen(report)["error"] <= 1e-9
    assert {row["bits"] for row in report["variables"]} <= {8, 32}


@pytest.mark.parametrize(
    ("overrides", "arguments", "said"),
    [
        ([], [], "--budget, --mean-bits"),
        # all weights at 2 bits: 376 / 4
        ([], ["--budget", "size=50"], "the least that this network can have on the T40 is 94"),
        ([], ["--mean-bits", "3"], "mean feature bits; the least that this network can have on the T40 is 4"),
        ([], ["--target", "cosine=1"], "the most precise bit widths have 0.99"),
        ([], ["--target", "error=9/9"], "--target error=9/9: the T40 has features of 4, 8, 10, 12 bits"),
        ([], ["--target", "cosine=8/7"], "--target cosine=8/7: the T40 has weights of 2, 4, 6, 8 bits"),
        ([], ["--pictures", "0", "--mean-bits", "6"], "--pictures 0"),
        (["soc=bm1684x"], ["--mean-bits", "6"], "--allow-float"),
        (["soc=bm1684x"], ["--budget", "latency=1", "--allow-float"], "no times are known"),
        (["data.evaluation.labels=null", "data.evaluation.task=none"], ["--target", "accuracy=0"], "has no labels"),
    ],
)
def test_refusals(calibrated, overrides, arguments, said):
    with pytest.raises(UserError) as caught:
        tune(composed(*overrides), *arguments)
    assert said in str(caught.value)


def test_bounds_that_no_allocation_keeps_together(calibrated):
    # a board on which 2-bit weights of the first layer are slow, and 94 bytes, which takes 2 bits everywhere
    times = {
        f"{features}/{weights}": 50.0 if weights == 2 else 0.1
        for features in (4, 8, 10, 12)
        for weights in (2, 4, 6, 8)
    }
    content = {"name": "T40", "ms_per_gmac": {"8/8": 1.0}, "measured": {"stem_relu": times}}
    Path("board.yaml").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"latency=10 and --budget size=94: each can be kept, but not all at once"):
        tune(calibrated, "--budget", "latency=10", "--budget", "size=94", "--cost", "board.yaml")


@pytest.mark.slow
def test_as_a_command(calibrated, empty_store, python):
    shutil.copy(empty_store, "mlflow.db")
    line = ["-m", "stages.autotune", "--mean-bits"]
    done = subprocess.run([sys.executable, *line, "6"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Highs" not in done.stdout
    refused = python(*line, "1")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
