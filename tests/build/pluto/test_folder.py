import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.build.__main__ import build
from stages.build.pluto.folder import result_option, run_script
from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.base.paths import CALIBSET, INPUTS
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.session import Runner
from stages.core.heads.families.anchors import AnchorHead
from stages.core.heads.families.cells import CellHead
from stages.core.heads.head import Kind, Level, View
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.build import boards
from tests.build.pluto.networks import accepted, classifier
from tests.conftest import composed

FOLDER = Path("out/build/t41/pluto")


def built(*overrides):
    """Compose for the T41 and run the stages up to build."""
    config = composed("soc=t41", *overrides)
    for stage in (export, calibset, calibrate, quantize, build):
        stage(config)


@pytest.fixture
def fitting(project):
    """The project with a network that the runtime takes."""
    onnx.save(classifier()[0], project / "tiny.onnx")
    return project


def test_folder(fitting, tmp_path, capsys):
    built("model.inputs=[{mean: [128], normal: [128]}]")
    assert sorted(path.name for path in FOLDER.iterdir()) == [
        "check.json", "expected_0.bin", "in.bin", "onnx_int8.onnx", "run.sh",
    ]  # fmt: skip
    assert json.loads((FOLDER / "check.json").read_text())["accepted"] is True
    assert "compiles onnx_int8.onnx" in capsys.readouterr().out
    model = onnx.load(FOLDER / "onnx_int8.onnx")
    picture = feeds(calibration_samples(CALIBSET)[0], load_inputs(INPUTS))["images"]
    logits = Runner(model, optimize="none").run({"images": picture})["logits"]
    np.testing.assert_array_equal(np.fromfile(FOLDER / "expected_0.bin", "<f4"), logits.reshape(-1))
    cells = np.fromfile(FOLDER / "in.bin", np.int8).reshape(16, 16, 32)
    scale = next(onnx.numpy_helper.to_array(each) for each in model.graph.initializer if each.name == "images/scale")
    assert np.abs(cells[..., :3].transpose(2, 0, 1) * scale - picture[0]).max() <= scale * 1.01
    first = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    build(load_params(Path("params.yaml")))
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == first


def test_run_script(fitting, tmp_path):
    built("model.inputs=[{mean: [128], normal: [128]}]")
    (tmp_path / "t41 pluto").mkdir()
    boards.stand_in(tmp_path / "bin", "python3")
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    script = (FOLDER / "run.sh").resolve()
    done, calls = boards.run_script(script, tmp_path / "record", PLUTO=str(tmp_path / "t41 pluto"), PATH=path)
    assert done.returncode == 0, done.stderr
    network, compiled = script.parent / "onnx_int8.onnx", Path("board/t41/pluto/onnx.pluto").resolve()
    assert calls == [["python3", "-m", "compile.cli", str(network), "-o", str(compiled)]]
    done, _ = boards.run_script(script, tmp_path / "none")
    assert done.returncode != 0
    assert "PLUTO" in done.stderr
    assert boards.syntax_errors(run_script("it's", "--topk 5"), tmp_path / "odd.sh") == ""


def yolox_head(sides=(52, 26, 13), classes=80, points=0):
    """A head of the input 416 x 416 with boxes, objectness and classes apart."""
    counts = {Kind.boxes: 4, Kind.objectness: 1, Kind.classes: classes} | ({Kind.keypoints: points} if points else {})
    levels = []
    for stride, rows in zip((8, 16, 32), sides, strict=True):
        views = {kind: View(f"{kind}{stride}", 0, count, count) for kind, count in counts.items()}
        levels.append(Level(stride, rows, 52 * 8 // stride, views, ((stride, stride),)))
    return CellHead(416, 416, tuple(levels))


@pytest.mark.parametrize(
    ("head", "option"),
    [
        (yolox_head(), "--yolox"),
        (yolox_head(classes=20), "--checksums"),
        (yolox_head(sides=(48, 24, 12)), "--checksums"),
        (yolox_head(points=10), "--checksums"),
        (dataclasses.replace(yolox_head(), levels=yolox_head().levels[:2]), "--checksums"),
        (AnchorHead(416, 416, yolox_head().levels), "--checksums"),
        (None, "--checksums"),
    ],
)
def test_boxes_are_printed_where_plt_knows_the_head(head, option):
    assert result_option(False, head) == option
    assert result_option(True, head) == "--topk 5"
    assert f" --profile {option} --out out.bin\n" in run_script("net", option)


def test_a_network_that_is_refused_leaves_the_reasons_alone(project, capsys):
    built()  # its pool follows a sum, without ReLU
    assert [path.name for path in FOLDER.iterdir()] == ["check.json"]
    content = json.loads((FOLDER / "check.json").read_text())
    assert content["accepted"] is False
    assert "pool" in {row["node"] for row in content["refusals"]}
    assert "pluto/ holds no network: " in capsys.readouterr().err
    assert (FOLDER.parent / "magik/run.sh").is_file()


def test_pixels_from_zero_are_taken(fitting):
    """The input's zero point is -128, so a copy comes first, which reads code + 128."""
    built("model.inputs=[{mean: [0], normal: [255]}]")
    content = json.loads((FOLDER / "check.json").read_text())
    assert content["accepted"] is True
    assert any("copies it to 4 channels" in note for note in content["notes"])
    picture = feeds(calibration_samples(CALIBSET)[0], load_inputs(INPUTS))["images"]
    cells = np.fromfile(FOLDER / "in.bin", np.uint8).reshape(16, 16, 32)
    np.testing.assert_array_equal(cells[..., :3].transpose(2, 0, 1), np.rint(picture[0] * 255))


@pytest.mark.slow
def test_other_widths_are_named(fitting):
    built("quant=a4w4")
    rows = json.loads((FOLDER / "check.json").read_text())["refusals"]
    assert {row["concern"] for row in rows} == {"settings"}
    assert {row["cure"] for row in rows} == {
        "python -m stages.compose --keep quant.feature_bits=8", "python -m stages.compose --keep quant.weight_bits=8",
    }  # fmt: skip


def test_no_other_soc_has_it(quantized):
    build(quantized)
    assert not Path("out/build/t40/pluto").exists()


@pytest.fixture
def pluto(command):
    return lambda *arguments: command("build.pluto", *map(str, arguments))


def test_command(pluto, tmp_path):
    onnx.save(accepted("detector"), tmp_path / "good.onnx")
    done = pluto(tmp_path / "good.onnx", "--json", tmp_path / "good.json")
    assert (done.returncode, "accepted by the open T41 runtime" in " ".join(done.stdout.split())) == (0, True)
    assert json.loads((tmp_path / "good.json").read_text()) == {"accepted": True, "refusals": [], "notes": []}
    onnx.save(classifier()[0], tmp_path / "float.onnx")
    done = pluto(tmp_path / "float.onnx", "--json", tmp_path / "bad.json")
    assert done.returncode == 1
    assert "float network" in " ".join(done.stdout.split())
    assert json.loads((tmp_path / "bad.json").read_text())["refusals"][0]["effect"] == "compile"


@pytest.mark.parametrize("content", [None, b"not a network"])
def test_command_on_a_bad_file(pluto, content, tmp_path):
    if content is not None:
        (tmp_path / "bad.onnx").write_bytes(content)
    done = pluto(tmp_path / "bad.onnx")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
