import json
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.bisect.__main__ import add_arguments, bisect
from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.core.base.artifacts import write_checksums
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, INPUTS, INTEGER_MODEL
from stages.core.config.load import load_params
from stages.core.config.schema import ChannelScales, Equalization, Rounding, Task
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.integer.model import load_integer_model
from stages.core.integer.reference import run_reference
from stages.evaluate.__main__ import evaluate
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.bisect.networks import chain
from tests.conftest import after_stages, composed, copy_project, detector_config
from tests.evaluate.detections import write_yolo_labels
from tests.export.graphs import run_onnx
from tests.networks import relative_error

pytestmark = pytest.mark.usefixtures("undrawn")

MOST = 12
BELOW = "0.98"  # the chain's fidelity is 0.988, with two-bit weights in one node 0.874 at most


def arguments(*given):
    parser = ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([*given, "--json", "bisect.json"])


def result_of(config, *given):
    code = bisect(config, arguments(*given))
    return code, json.loads(Path("bisect.json").read_text())


def fidelity_by_compare():
    """What compare says of the only output."""
    (output,) = json.loads(Path("out/compare/diagnosis.json").read_text())["outputs"]
    return output["fidelity"]


def fidelity_by_hand():
    """Of the quantized network in the project on the debug pictures, by the reference implementation."""
    integer, inputs = load_integer_model(INTEGER_MODEL), load_inputs(INPUTS)
    expected, actual = [], []
    config = composed()
    files = select(config.data.debug, inputs, "data.debug")
    for read in read_samples(files, inputs, config.model.preprocess, "data.debug"):
        fed = feeds(read.sample, inputs)
        expected.append(run_onnx(onnx.load(FLOAT_MODEL), fed)[0])
        actual.append(run_reference(integer, fed)["y"])
    return (1 - relative_error(expected, actual)) ** 0.5


def plant(config, **weight_bits):
    Path("bits.json").write_text(json.dumps({node: {"QUANT_WEIGHT_BIT": bits} for node, bits in weight_bits.items()}))
    config.quant.node_bits = "file:bits.json"


@pytest.fixture(scope="module")
def deep_files(project_files, tmp_path_factory):
    """What `deep` copies."""
    folder = tmp_path_factory.mktemp("deep")
    copy_project(project_files, folder)
    onnx.save(chain(), folder / "tiny.onnx")
    return after_stages(folder, tmp_path_factory, export, calibset, calibrate)


@pytest.fixture
def deep(deep_files, tmp_path, monkeypatch):
    """The config of a network of fifty layers, exported and calibrated."""
    copy_project(deep_files, tmp_path)
    monkeypatch.chdir(tmp_path)
    return composed()


@pytest.mark.parametrize(
    "node", ["n0", *(pytest.param(name, marks=pytest.mark.slow) for name in ("n21", "n28", "n49"))]
)
def test_the_planted_node_of_fifty_is_found_within_12_simulations(deep, node):
    plant(deep, **{node: 2})
    code, result = result_of(deep, "--below", BELOW)
    assert code == 0
    assert [node["node"] for node in result["nodes"]] == [node]
    assert result["override"] == f"quant.skip_nodes=[{node}]"
    assert result["complete"]
    assert len(result["simulations"]) <= MOST
    assert len(result["simulations"][1]["nodes"]) < 49


@pytest.mark.slow
@pytest.mark.parametrize("node", ["n1", "n20", "n48"])
def test_the_similarity_table_shortens_the_search(deep, node, capsys):
    plant(deep, **{node: 2})
    _, without = result_of(deep, "--below", BELOW)
    quantize(deep)
    compare(deep)
    code, result = result_of(deep, "--below", BELOW)
    assert code == 0
    assert [node["node"] for node in result["nodes"]] == [node]
    assert len(result["simulations"]) < len(without["simulations"]) <= MOST
    assert "equally suspect" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_setting_that_it_prints_restores_the_metric_in_the_pipeline(deep):
    plant(deep, n21=2, n44=2)
    deep.quant.skip_nodes = ["n7"]
    code, result = result_of(deep, "--below", BELOW)
    assert code == 0
    assert result["override"] == "quant.skip_nodes=[n7,n21,n44]"
    deep.quant.skip_nodes = ["n7", "n21", "n44"]
    quantize(deep)
    compare(deep)
    final = next(t for t in result["simulations"] if sorted(t["nodes"]) == ["n21", "n44"])
    assert fidelity_by_hand() == pytest.approx(final["value"], abs=1e-6)  # the float networks are rewritten otherwise
    assert fidelity_by_compare() == pytest.approx(final["value"], abs=1e-6)
    assert final["value"] >= float(BELOW)
    for left in ("n21", "n44"):  # and none of them can be left out
        deep.quant.skip_nodes = ["n7", left]
        quantize(deep)
        compare(deep)
        assert fidelity_by_compare() < float(BELOW)


@pytest.mark.slow
def test_a_feature_at_few_bits_takes_its_producer_and_its_consumer(deep):
    # t30 comes out of a LeakyRelu and goes into an Add; at 4 bits, either one's codes alone would keep it coarse
    Path("bits.json").write_text(json.dumps({"n30": {"QUANT_FEATURE_BIT": 4}}))
    deep.soc.bit_widths["Add"].feature_bits.append(4)
    deep.quant.node_bits = "file:bits.json"
    code, result = result_of(deep, "--below", BELOW)
    assert code == 0
    assert [node["node"] for node in result["nodes"]] == ["n30", "n31"]


def test_a_good_network_says_so_after_one_simulation(deep, capsys):
    code, result = result_of(deep)
    assert code == 0
    assert (result["metric"], result["below"]) == ("fidelity", 0.98)
    assert (result["nodes"], result["override"], len(result["simulations"])) == ([], None, 1)
    assert "is not below 0.98000: nothing to look for" in capsys.readouterr().out


def test_a_network_exported_with_another_input_is_refused(deep):
    deep.model.inputs = [replace(each, mean=[1.0]) for each in deep.model.inputs]
    with pytest.raises(UserError, match=r"other model\.inputs: run `dvc repro`"):
        bisect(deep, arguments())


@pytest.mark.slow
def test_the_path_and_the_line_to_type_are_printed(deep, capsys):
    plant(deep, n21=2)
    code, result = result_of(deep, "--below", BELOW)
    assert code == 0
    shown = capsys.readouterr().out
    assert f"{len(result['simulations'])} simulations" in shown
    assert "all DepthwiseConv" in shown
    assert "1 node in float; none of them can be left out" in shown
    assert "\nnext:    python -m stages.compose --keep 'quant.skip_nodes=[n21]' && dvc repro, which" in shown


def test_a_limit_gives_the_best_so_far(deep, capsys):
    plant(deep, n21=2)
    code, result = result_of(deep, "--below", BELOW, "--limit", "4", "--nodes-only")
    assert len(result["simulations"]) == 4
    assert code == 0
    assert not result["complete"]
    assert 1 < len(result["nodes"]) <= 25
    assert "fewer may do" in capsys.readouterr().out
    code, result = result_of(deep, "--below", BELOW, "--limit", "1")
    assert (code, result["nodes"], result["restored"]) == (1, [], False)
    assert "1 simulation did not restore fidelity" in capsys.readouterr().out


@pytest.mark.slow
def test_same_bytes_twice(deep):
    plant(deep, n21=2)
    bisect(deep, arguments("--below", BELOW))
    first = Path("bisect.json").read_bytes()
    bisect(deep, arguments("--below", BELOW))
    assert Path("bisect.json").read_bytes() == first


def test_it_leaves_the_pipeline_alone(deep):
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    bisect(deep, arguments())
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_table_of_other_settings_is_not_used(deep, capsys):
    quantize(deep)
    compare(deep)
    deep.quant.feature_bits = 10
    bisect(deep, arguments())
    assert "note: out/compare/similarity.json is of other settings" in capsys.readouterr().out


def test_what_is_fitted_on_pictures_is_left_out_and_said(deep, capsys):
    _, plain = result_of(deep)
    deep.quant.rounding, deep.quant.weight_correction = Rounding.compensate, True
    deep.quant.equalization, deep.quant.channel_scales = Equalization.measured, ChannelScales.measured
    _, result = result_of(deep)
    assert result["simulations"] == plain["simulations"]
    shown = capsys.readouterr().out
    assert (
        "note: tried with quant.equalization=none, quant.rounding=nearest, quant.weight_correction=false, "
        "quant.channel_scales=never: what is fitted or measured on samples is left out" in shown
    )


@pytest.mark.slow
def test_channels_that_are_scaled_stay_so(deep):
    network = onnx.load("out/export/model.onnx")
    for tensor in network.graph.initializer:  # a channel of n48 a thousand times as large; n49 makes up for it
        values = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name == "w48":
            values[0] *= 1000
        if tensor.name == "w49":
            values[0] /= 1000
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(network, "out/export/model.onnx")
    write_checksums(Path("out/export"))
    calibrate(deep)
    _, plain = result_of(deep)
    deep.quant.equalization = Equalization.cross_layer
    quantize(deep)
    compare(deep)
    assert json.loads(Path("out/quantize/qparams.json").read_text())["factors"]
    _, result = result_of(deep)
    assert result["simulations"][0]["value"] == pytest.approx(fidelity_by_compare(), abs=1e-6)
    assert result["simulations"][0]["value"] > plain["simulations"][0]["value"]
    _, by_cosine = result_of(deep, "--metric", "cosine", "--limit", "1")
    last = json.loads(Path("out/compare/similarity.json").read_text())[-1]
    assert by_cosine["simulations"][0]["value"] == pytest.approx(last["cosine_avg"], abs=1e-9)


# --- accuracy


def label_as_the_float_network_answers(folder):
    """Labels of the evaluation pictures after the float network of the project, made by other code than bisect's."""
    from tests.evaluate.test_main import float_logits

    names = sorted(f"{path.parent.name}/{path.name}" for path in Path(folder).rglob("*.png"))
    lines = [f"{name},{int(np.argmax(float_logits(name)))}" for name in names]
    Path("labels.csv").write_text("\n".join(["file,label", *lines]) + "\n")


def test_accuracy_is_top_1_of_the_evaluation_set(quantized):
    evaluate(quantized)
    metrics = json.loads(Path("out/evaluate/metrics.json").read_text())
    _, result = result_of(quantized, "--metric", "accuracy", "--below", "0.01")
    assert result["simulations"][0]["value"] == metrics["quantized"]["top1"]
    assert result["float"] == metrics["float"]["top1"]


def test_a_network_that_fails_in_float_is_nobodys_fault(quantized, capsys):
    quantized.data.evaluation.labels = "file:wrong.csv"
    label_as_the_float_network_answers("evaluation")
    right = Path("labels.csv").read_text().splitlines()
    wrong = [right[0], *(f"{line[:-1]}{(int(line[-1]) + 1) % 3}" for line in right[1:])]
    Path("wrong.csv").write_text("\n".join(wrong) + "\n")
    code, result = result_of(quantized, "--metric", "accuracy", "--below", "0.9")
    assert code == 1
    assert (result["nodes"], result["restored"], result["float"]) == ([], False, 0.0)
    assert len(result["simulations"]) == 1
    assert "no node's quantization is to blame; look at the network itself, its input" in capsys.readouterr().out


@pytest.mark.parametrize("below", ["1", "0"])  # the float network's is 1: no less than that
def test_accuracy_that_is_lost_comes_back(quantized, below):
    label_as_the_float_network_answers("evaluation")
    quantized.data.evaluation.labels = "file:labels.csv"
    # the mean of all pixels saturates; its producer and what passes its codes on have to be in float
    Path("bits.json").write_text(json.dumps({"pool": {"MIN": 0, "MAX": 1e-4}}))
    quantized.quant.node_bits = "file:bits.json"
    code, result = result_of(quantized, "--metric", "accuracy", "--below", below)
    assert code == 0
    assert result["float"] == 1.0
    assert result["simulations"][0]["value"] < 1
    assert [node["node"] for node in result["nodes"]] == ["pool", "flatten"]


# --- detectors, and a metric of the user's own


@pytest.mark.slow
def test_of_a_detector_the_agreement_counts(detector):
    evaluate(detector)
    metrics = json.loads(Path("out/evaluate/metrics.json").read_text())
    _, result = result_of(detector, "--limit", "1")
    assert result["metric"] == "agreement"
    assert result["float"] == pytest.approx(1)
    assert result["below"] == pytest.approx(0.95)
    assert result["simulations"][0]["value"] == metrics["agreement"]


@pytest.mark.slow
def test_of_a_detector_with_labels_the_map_counts(detector):
    write_yolo_labels()
    config = detector_config("data.evaluation.task=detection", "data.evaluation.labels=file:labels")
    code, result = result_of(config, "--below", "-0.2")
    assert result["metric"] == "map"
    assert result["below"] == pytest.approx(0.8)
    assert result["simulations"][0]["value"] < 0.8
    assert code == 0
    nodes = {node["node"] for node in result["nodes"]}
    restored = [each["value"] for each in result["simulations"] if {*each["nodes"]} == nodes]
    assert not restored or restored[0] >= 0.8


@pytest.mark.slow
def test_of_errors_the_fewer_the_better(quantized):
    label_as_the_float_network_answers("evaluation")
    words = [line.split(",") for line in Path("labels.csv").read_text().splitlines()[1:]]
    said = [f"{name},{('ant', 'bee', 'cat')[int(number)]}" for name, number in words]
    Path("said.csv").write_text("\n".join(["file,label", *said]) + "\n")
    # as above: the mean of all pixels saturates
    Path("bits.json").write_text(json.dumps({"pool": {"MIN": 0, "MAX": 1e-4}}))
    config = composed(
        "data.evaluation.task=custom",
        "data.evaluation.labels=file:said.csv",
        "data.evaluation.metric=tests.evaluate.metrics:FirstWordErrors",
        "quant.node_bits=file:bits.json",
    )
    for below in ("0.01", "0"):  # no more than 1 percent; no more than the float network's, which makes no error
        code, result = result_of(config, "--below", below)
        assert (code, result["metric"], result["float"]) == (0, "own", 0.0)
        assert result["simulations"][0]["value"] > 0.01
        assert [node["node"] for node in result["nodes"]] == ["pool", "flatten"]


# --- mistakes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--below", "0"), "--below 0.0: give a number above 0, at most 1"),
        (("--below", "98"), "--below 98.0: give a number above 0, at most 1"),
        (("--below", "nan"), "--below nan: give a number above 0, at most 1"),
        (("--limit", "0"), "--limit 0: give 1 or more"),
        (("--metric", "agreement", "--below", "-1"), "--below -1.0: give a number above 0, at most 1; or -0.01"),
        (("--metric", "own", "--below", "nan"), "--below nan: give a number above 0; or -0.01"),
    ],
)
def test_a_wrong_argument_is_said_in_one_line(quantized, given, said):
    with pytest.raises(UserError, match=f"^{said}$"):
        bisect(quantized, arguments(*given))


def test_accuracy_without_labels_is_refused(quantized):
    quantized.data.evaluation.labels, quantized.data.evaluation.task = None, Task.none
    with pytest.raises(UserError, match=r"task=none has no labels of classes; take fidelity"):
        bisect(quantized, arguments("--metric", "accuracy"))


def test_before_calibrate_it_says_what_to_run(project):
    with pytest.raises(UserError, match=r"out/export/model\.onnx is missing: run `dvc repro export` first"):
        bisect(load_params(Path("params.yaml")), arguments())


def test_the_command_helps_and_returns_its_code(command, quantized):
    shown = command("bisect", "--help")
    assert shown.returncode == 0
    assert "usage: python -m stages.bisect" in shown.stdout
    assert "examples:" in shown.stdout
    ended = command("bisect", "--below", "0.99999", "--limit", "1")
    assert ended.returncode == 1
    assert ended.stderr == ""


@pytest.mark.slow
def test_few_bits_everywhere_are_called_the_bit_width_and_not_a_list_of_nodes(deep, capsys):
    deep.quant.weight_bits = 2
    code, result = result_of(deep, "--below", BELOW)
    assert code == 0
    assert result["bit_widths"] == ["quant.weight_bits=8"]
    assert "2-bit weights" in result["verdict"]
    shown = capsys.readouterr().out
    assert "stages.compose --keep quant.weight_bits=8" in shown
    assert "skip_nodes" not in shown
    deep.quant.weight_bits = 8
    assert result_of(deep, "--below", BELOW)[1]["simulations"][0]["restored"]
