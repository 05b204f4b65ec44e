"""With the real compiler, where `python -m stages.toolchain install sophgo` has installed it."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from stages.build.__main__ import build
from stages.compile.__main__ import compile_board
from stages.core.base.artifacts import write_checksums
from stages.core.base.errors import UserError
from stages.core.config.schema import Backend
from stages.core.environments.recipes import SOPHGO
from stages.evaluate.__main__ import evaluate
from stages.quantize.__main__ import quantize
from tests.networks import soc_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.toolchain,
    pytest.mark.skipif(
        not SOPHGO.installed, reason="TPU-MLIR is not installed: python -m stages.toolchain install sophgo"
    ),
]
SDK = Path(__file__).parents[1] / "build" / "sophon" / "sdk"
RUNTIMES = {"bm1684x": ["bmrt", "bmlib"], "cv181x": ["cviruntime", "cvikernel", "cvicmodel"]}


@pytest.fixture
def compiled(quantized):
    """Quantizes, builds and compiles the small classifier for a SOC; gives the config."""

    def make(soc, **quant):
        quantized.soc = soc_config(soc)
        quantized.watch.compilers, quantized.watch.compiled = ["tpu-mlir"], "out/compile"
        for key, value in quant.items():
            setattr(quantized.quant, key, value)
        quantize(quantized)
        build(quantized)
        compile_board(quantized)
        return quantized

    return make


@pytest.mark.parametrize("soc", ["bm1684x", "bm1688", "cv186x", "cv181x", "cv183x", "bm1684"])
def test_every_chip(compiled, soc):
    compiled(soc)
    record = json.loads(Path("out/compile/compiled.json").read_text())
    assert record["chip"] == soc
    (output,) = record["outputs"]
    assert output["near_simulation"]
    assert output["cosine"] > 0.98
    assert Path("out/compile", record["model"]).stat().st_size == record["bytes"]
    layers = json.loads(Path("out/compile/layers.json").read_text())
    assert [layer["cosine"] > 0.95 for layer in layers] == [True] * len(layers)
    assert not Path("out/compile.log").exists()
    assert not list(Path("out").glob(".compiling-*"))


def test_a_layer_in_float_and_the_vendors_simulator(compiled):
    config = compiled("bm1684x", skip_nodes=["project"])
    assert json.loads(Path("out/compile/compiled.json").read_text())["types"]["f16"] == 1
    config.evaluate.backend = Backend.toolchain
    evaluate(config)
    assert json.loads(Path("out/evaluate/metrics.json").read_text())["cosine"] > 0.98


def test_the_gate_is_one_line(compiled):
    steps = Path("out/build/bm1684x/steps.json")
    config = compiled("bm1684x")
    steps.write_text(steps.read_text().replace("0.8,0.5", "0.99999999,0.99999"))
    write_checksums(Path("out/build"))
    with pytest.raises(
        UserError, match=r"^model_deploy\.py: the quantized network is too unlike the float one \(cosine "
    ):
        compile_board(config)
    assert Path("out/compile.log").exists()


@pytest.mark.parametrize("soc", RUNTIMES)
def test_the_board_program_on_the_compilers_own_runtime(compiled, soc):
    """The wheel has the board's libraries, on a simulator of the chip."""
    compiled(soc)
    libraries = next(SOPHGO.folder.glob("lib/python*/site-packages/tpu_mlir/lib"))
    folder, program = Path("out/build") / soc / "sophon", Path("program").resolve()
    links = [f"-L{libraries}", "-Wl,--allow-shlib-undefined", *(f"-l{name}" for name in RUNTIMES[soc])]
    command = ["g++", "-std=c++11", f"-I{SDK / 'include'}", folder / "inference.cpp", "-o", program, *links]
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt-get install g++")
    subprocess.run(command, check=True)
    record = json.loads(Path("out/compile/compiled.json").read_text())
    picture = np.load("out/calibset/calibration/0.npy")[0]
    Path("picture.raw").write_bytes(picture.tobytes())
    done = subprocess.run(
        [program, Path("out/compile") / record["model"], "picture.raw"],
        env={"LD_LIBRARY_PATH": f"{libraries}:{libraries / 'third_party'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(next(Path("out/compile").glob("*_model_outputs.npz"))) as stored:
        (values,) = (stored[name].ravel() for name in stored.files)
    order = np.argsort(-values, kind="stable")
    shown = [line for line in done.stdout.splitlines() if line.startswith("  class")]
    assert shown == [f"  class {index}: {values[index]:.4f}" for index in order]
