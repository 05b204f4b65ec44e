"""The chain with stand-ins for the tools, which copy what TPU-MLIR 1.30.2 once wrote (tests/core/tpu_mlir/golden)."""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stages.build.tpu_mlir.steps import steps
from stages.compile.chain import compile_network
from stages.compile.tools import Tools
from stages.core.base.artifacts import stage_output
from stages.core.base.errors import UserError
from stages.core.base.paths import INTEGER_MODEL
from stages.core.command import guarded
from stages.core.config.schema import Color, Vendor
from stages.core.data.inputs import NetworkInput
from stages.core.graph.session import Runner
from stages.core.integer.simulator import simulator_model
from stages.core.tpu_mlir.calls import HERE, with_folder
from stages.core.tpu_mlir.compiled import network_digest, weight_file
from stages.core.tpu_mlir.tables import read_mlir
from stages.core.tpu_mlir.toolchain import Toolchain, only_compiler
from tests.build.boards import board_config
from tests.core.tpu_mlir.network import renamed_network
from tests.networks import quantized_network, soc_config

GOLDEN = Path(__file__).parents[1] / "core" / "tpu_mlir" / "golden"
STEPS = {"i8": 127, "u8": 255, "i16": 127 * 257}
WEIGHTS = "net_bm1684x_int8_sym_tpu_qtable_weights.npz"
LOWERED = "net_bm1684x_int8_sym_tpu.mlir"
TRANSFORM = """\
echo "2026/11/30 15:44:47 - INFO : TPU-MLIR v1.30.2-20260831"
cp "$STORE/net.mlir" "$STORE/net_in_f32.npz" "$STORE/net_top_outputs.npz" .
"""
DEPLOY = f"""\
case "$*" in
*--not_gen_bmodel*) cp "$STORE/{LOWERED}" "$STORE/{WEIGHTS}" . ;;
*) echo compiled > net_bm1684x_int8.bmodel; cp "$STORE/model.npz" net_bm1684x_int8_sym_model_outputs.npz ;;
esac
"""
SCRIPTS = {
    "model_transform.py": TRANSFORM,
    "model_deploy.py": DEPLOY,
    "model_runner.py": 'cp "$STORE/tpu.npz" net_tpu_outputs.npz\n',
}


def golden_scale(name):
    layers = read_mlir((GOLDEN / "net_bm1684x_tpu.mlir").read_text())
    return np.float32(next(layer.scale for layer in layers if layer.name == name))


def golden_ranges():
    """The ranges that the golden network was lowered with, read off its scales."""
    lowered = read_mlir((GOLDEN / "net_bm1684x_tpu.mlir").read_text())
    thresholds = {layer.name: layer.scale * STEPS[layer.type] for layer in lowered if layer.scale}
    names = [layer.name for layer in read_mlir((GOLDEN / "net.mlir").read_text())]
    rows = {name.removesuffix("_r_Depth2Space"): [thresholds.get(name, 1.0)] for name in names}
    return {
        "tensors": {name: [row[0], -row[0], row[0]] for name, row in rows.items()},
        "types": {"y_Softmax": "F16"}, "chip_types": ["F16", "F32"], "method": "KL",
        "layers": {"r3_Relu": ["r3", "relu3"], "sum_Add": ["sum", "residual"], "y_Softmax": ["y", "softmax"]},
    }  # fmt: skip


@cache
def golden_quantized():
    pictures = [{"x": np.random.default_rng(seed).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for seed in range(4)]
    return quantized_network(renamed_network(), pictures, soc_config("bm1684x"))


@pytest.fixture
def chain(tmp_path):
    """Writes build's folder and what the stand-ins copy; gives the latter and a function that runs the chain."""
    board, store, work = (tmp_path / name for name in ("board", "store", "work"))
    for folder in (board, store, work, tmp_path / "bin"):
        folder.mkdir()
    for name, script in SCRIPTS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "bin" / name).chmod(0o755)
    picture = NetworkInput("x", (1, 3, 16, 16), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    calls = steps(board_config(Vendor.sophgo, "bm1684x"), [picture], ["calibration/a.png"], "INT8")
    (board / "steps.json").write_text(json.dumps(calls))
    (board / "calibration").mkdir()
    for name in ("model.onnx", "calibration/a.png"):
        (board / name).touch()
    (board / "ranges.json").write_text(json.dumps(golden_ranges()))
    (store / "net.mlir").write_bytes((GOLDEN / "net.mlir").read_bytes())
    (store / LOWERED).write_bytes((GOLDEN / "net_bm1684x_tpu.mlir").read_bytes())
    (store / WEIGHTS).write_text("weights")
    values = np.array([[0.1, 0.2, 0.3, 0.2, 0.1, 0.1]], np.float32)
    np.savez(store / "net_in_f32.npz", x=np.zeros((1, 3, 16, 16), np.float32))
    np.savez(store / "net_top_outputs.npz", y_Softmax=values)
    np.savez(store / "tpu.npz", y_Softmax_f32=values[:, ::-1])
    np.savez(store / "model.npz", y_Softmax_f32=values[:, ::-1])
    variables = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "STORE": str(store)}
    tools = Tools(Toolchain(tmp_path / "bin", variables), 1.0, tmp_path / "compile.log")
    return store, lambda: compile_network(board, work, tools, golden_quantized().integer)


def test_what_is_made_is_recorded_and_kept(chain, tmp_path):
    compiled = chain[1]()
    (row,) = compiled.record.pop("outputs")
    assert compiled.record == {
        "compiler": "v1.30.2-20260831", "chip": "bm1684x", "model": "net_bm1684x_int8.bmodel", "lowered": LOWERED,
        "bytes": 9,
        "layers": {"Add": 1, "AvgPool": 1, "Conv": 2, "Depth2Space": 1, "Input": 1, "MatMul": 1, "Reshape": 1,
                   "SiLU": 1, "Softmax": 1},
        "types": {"f16": 1, "int16": 1, "int8": 7},
        "own_scales": [],
    }  # fmt: skip
    a, b = np.array([1, 2, 3, 2, 1, 1.0]), np.array([1, 1, 2, 3, 2, 1.0])
    assert row["output"] == "y_Softmax"
    assert row["cosine"] == pytest.approx(a @ b / np.sqrt(a @ a * (b @ b)), rel=1e-6)
    assert (row["equals_simulation"], row["largest_difference"]) == (True, 0.0)
    assert sorted(compiled.files) == sorted([
        "net.mlir", LOWERED, WEIGHTS, "net_bm1684x_int8.bmodel", "net_in_f32.npz", "net_model_outputs.npz",
        "net_qtable", "net_table", "net_top_outputs.npz", "net_tpu_outputs.npz",
    ])  # fmt: skip
    assert all((tmp_path / "work" / name).is_file() for name in compiled.files)
    calls = [line for line in (tmp_path / "compile.log").read_text().splitlines() if line.startswith("$ ")]
    assert [call.split()[1] for call in calls] == ["model_transform.py", *["model_deploy.py"] * 2, "model_runner.py"]
    assert f"--model_def {(tmp_path / 'board').resolve()}/model.onnx" in calls[0]


def test_layers_are_measured_against_the_float_network_and_this_simulator(chain):
    """The stand-in's tensors: of the Relu our own codes, one of them moved by two; of the sum the float values."""
    feeds = {"x": np.zeros((1, 3, 16, 16), np.float32)}
    ours = Runner(simulator_model(golden_quantized().integer, ["r3"], codes=True)).run(feeds)["r3"]
    relu = ours * golden_scale("r3_Relu")
    relu.reshape(-1)[7] += 2 * golden_scale("r3_Relu")
    ramp = np.arange(512, dtype=np.float32).reshape(1, 8, 8, 8)
    with np.load(chain[0] / "net_top_outputs.npz") as top:
        np.savez(chain[0] / "net_top_outputs.npz", **top, r3_Relu=relu, sum_Add=ramp)
    with np.load(chain[0] / "tpu.npz") as tpu:
        np.savez(chain[0] / "tpu.npz", **tpu, r3_Relu=relu, sum_Add=-ramp)
    rows = {row["layer"]: row for row in chain[1]().rows}
    assert list(rows) == ["r3_Relu", "sum_Add"]
    assert rows["r3_Relu"]["node"] == "relu3"
    assert [rows["r3_Relu"][key] for key in ("type", "codes", "codes_apart", "largest_apart")] == ["u8", 512, 1, 2]
    assert rows["r3_Relu"]["cosine"] == pytest.approx(1.0)
    assert rows["sum_Add"]["cosine"] == pytest.approx(-1.0)


def test_a_compiled_network_that_differs_from_its_simulation_is_told(chain):
    with np.load(chain[0] / "model.npz") as stored:
        np.savez(chain[0] / "model.npz", y_Softmax_f32=stored["y_Softmax_f32"] + np.float32(0.25))
    (row,) = chain[1]().record["outputs"]
    assert not row["equals_simulation"]
    assert row["largest_difference"] == pytest.approx(0.25)
    assert (row["codes_apart"], row["near_simulation"]) == (None, False)  # its Softmax runs in float


def test_rounding_of_floats_is_no_difference(chain):
    with np.load(chain[0] / "model.npz") as stored:
        np.savez(chain[0] / "model.npz", y_Softmax_f32=stored["y_Softmax_f32"] + np.float32(1e-4))
    (row,) = chain[1]().record["outputs"]
    assert (row["equals_simulation"], row["near_simulation"]) == (False, True)


def test_a_scale_that_the_compiler_chose_itself_is_recorded(chain):
    text = (chain[0] / LOWERED).read_text()
    (chain[0] / LOWERED).write_text(text.replace("u8:f32, 0.0", "u8:f32, 0.1"))
    assert chain[1]().record["own_scales"] == ["r3_Relu"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('module.chip = "bm1684x"', 'module.chip = "bm1688"', r"tpu\.mlir is not for the bm1684x: which TPU-MLIR"),
        ("f32, 0.0", "f32, 0.1", r"tpu\.mlir does not follow the calibration table: 6 layers have other scales$"),
    ],
)
def test_another_network_than_was_asked_for_is_refused(chain, old, new, message):
    text = (chain[0] / LOWERED).read_text()
    assert old in text
    (chain[0] / LOWERED).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        chain[1]()


def test_ranges_that_lack_a_layer_end_it_before_the_compiler_crashes(chain, tmp_path):
    ranges = golden_ranges()
    del ranges["tensors"]["sum_Add"]
    (tmp_path / "board" / "ranges.json").write_text(json.dumps(ranges))
    with pytest.raises(UserError, match=r"^no calibration table for net\.mlir: the compiler makes .*: sum_Add \(Add\)"):
        chain[1]()
    assert "model_deploy" not in (tmp_path / "compile.log").read_text()


def test_a_damaged_network_is_told_by_its_checksum(tmp_path, monkeypatch):
    """Not in the words of the tool that would have read it."""
    monkeypatch.chdir(tmp_path)
    with stage_output(Path("out/build")) as folder:
        (folder / "bm1684x").mkdir()
        (folder / "bm1684x" / "model.onnx").write_bytes(b"network")
    board = Path("out/build/bm1684x")
    call = ["model_transform.py", "--model_def", f"{HERE}/model.onnx", "--mlir", "net.mlir"]
    assert with_folder(call, board) == [*call[:2], str(board.resolve() / "model.onnx"), *call[3:]]
    (board / "model.onnx").write_bytes(b"natwork")
    with pytest.raises(UserError, match=r"out/build/bm1684x/model\.onnx is damaged: run `dvc repro --force .* build`"):
        with_folder(call, board)


def test_a_compiled_network_names_its_weights(tmp_path):
    (tmp_path / LOWERED).write_bytes((GOLDEN / "net_bm1684x_tpu.mlir").read_bytes())
    assert weight_file(tmp_path / LOWERED) == WEIGHTS


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b'module.weight_file = "net', b"module.weight_file = 3,", b'module.weight_file = "../net.npz",'],
)
def test_a_compiled_network_that_names_no_weights_is_damaged(tmp_path, text):
    (tmp_path / LOWERED).write_bytes(text)
    with pytest.raises(UserError, match=rf"{LOWERED} is damaged: .*; run `dvc repro -f compile`$") as refused:
        weight_file(tmp_path / LOWERED)
    assert "\n" not in str(refused.value)
    assert guarded(lambda: print(weight_file(tmp_path / LOWERED)), debug=False) == 2


def test_the_digest_of_a_damaged_network_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with stage_output(INTEGER_MODEL.parent) as folder:
        (folder / INTEGER_MODEL.name).write_bytes(b"codes")
    assert len(network_digest()) == 16
    INTEGER_MODEL.write_bytes(b"c0des")
    with pytest.raises(UserError, match=r"integer\.onnx is damaged: run `dvc repro --force --single-item quantize`"):
        network_digest()


def test_compilers_of_two_environments_do_not_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("SOCQUANT_CACHE", str(tmp_path / "cache"))
    one, other = (Toolchain(tmp_path / name / "bin", {}) for name in ("one", "other"))
    with only_compiler(one), only_compiler(other):
        locks = list((tmp_path / "cache").rglob("tpu-mlir-*.lock"))
    assert len(locks) == 2
