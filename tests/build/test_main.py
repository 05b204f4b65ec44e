import json
from pathlib import Path

import cv2
import numpy as np

import stages.build.__main__ as stage
from stages.build.__main__ import build
from stages.build.runtime.folder import SOURCES
from stages.build.runtime.program import UnsupportedError
from stages.core.config import Vendor
from stages.quantize.__main__ import quantize
from tests.build import boards


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def runtime_files(soc, name):
    """What the reference runtime adds to a board folder."""
    return {f"{soc}/runtime/{file}" for file in (f"{name}.sqm", *(path.name for path in SOURCES.iterdir()))}


def test_ingenic_folder(quantized, tmp_path):
    build(quantized)
    first = contents("out/build")
    pictures = [name for name in first if name.startswith("t40/calibration/")]
    assert len(pictures) == 12
    assert sorted(set(first) - set(pictures) - runtime_files("t40", "onnx")) == [
        "t40/magik_node_quant_bit_info.json", "t40/magik_t40.cfg", "t40/model.onnx", "t40/run.sh",
    ]  # fmt: skip
    assert first["t40/model.onnx"] == Path("out/quantize/prepared.onnx").read_bytes()
    bits = Path("out/quantize/magik_node_quant_bit_info.json").read_bytes()
    assert first["t40/magik_node_quant_bit_info.json"] == bits
    cfg = json.loads(first["t40/magik_t40.cfg"])
    assert (cfg["SOC"], cfg["INPUT"], cfg["OUTPUT"]) == ("T40", ["images"], ["logits"])
    assert (cfg["MEAN"], cfg["NORMAL"], cfg["QUANT_DATASET_SIZE"]) == ([128.0] * 3, [64.0] * 3, 12)
    assert (Path("out/build/t40") / cfg["QUANT_DATASET_PATH"]).is_dir()
    samples = np.load("out/calibset/calibration/0.npy")
    for name, sample in zip(sorted(pictures), samples, strict=True):
        decoded = cv2.imdecode(np.frombuffer(first[name], np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decoded[:, :, ::-1], sample)
    boards.stand_in(tmp_path / "kit", "magik-transform-tools")
    done, calls = boards.run_script(
        Path("out/build/t40/run.sh").resolve(), tmp_path / "record", MAGIK_TRANSFORMKIT=str(tmp_path / "kit")
    )
    assert done.returncode == 0, done.stderr
    assert calls[0][1:3] == ["-i", "model.onnx"]
    build(quantized)
    assert contents("out/build") == first


def test_sophgo_folder(quantized):
    quantized.soc.vendor, quantized.soc.name = Vendor.sophgo, "bm1684x"
    quantize(quantized)
    build(quantized)
    found = contents("out/build")
    pictures = [name for name in found if name.startswith("bm1684x/calibration/")]
    assert len(pictures) == 12
    rest = set(found) - set(pictures) - runtime_files("bm1684x", "onnx")
    assert sorted(rest) == ["bm1684x/model.onnx", "bm1684x/run.sh"]
    assert found["bm1684x/model.onnx"] == Path("out/quantize/prepared.onnx").read_bytes()
    script = found["bm1684x/run.sh"].decode()
    assert "--scale 0.015625,0.015625,0.015625" in script
    assert "--test_input calibration/0000_000.png" in script
    assert "bm1684x/calibration/0000_000.png" in found


def test_another_soc_replaces_the_folder(quantized):
    build(quantized)
    quantized.soc.name = "T41"
    quantize(quantized)
    build(quantized)
    assert [path.name for path in Path("out/build").iterdir()] == ["t41"]


def test_a_network_that_the_runtime_cannot_run_is_built_without_it(quantized, monkeypatch, capsys):
    def refuse(*_):
        raise UnsupportedError("node (Erf): the board's reference runtime does not do this")

    monkeypatch.setattr(stage, "write_runtime", refuse)
    build(quantized)
    assert not Path("out/build/t40/runtime").exists()
    assert Path("out/build/t40/run.sh").exists()
    assert "no runtime/ is written: node (Erf)" in capsys.readouterr().err
