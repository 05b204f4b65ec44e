import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from stages.build.__main__ import build
from stages.core.config.composition import compose
from stages.core.config.first_line import recorded
from stages.core.config.load import load_params
from stages.core.config.schema import (
    Color,
    FakeQuant,
    FeatureMethod,
    InputConfig,
    WeightMethod,
)
from stages.core.data.inputs import resolve_inputs
from stages.core.graph.onnx_graph import Graph
from stages.init.__main__ import main
from stages.quantize.__main__ import quantize
from tests.conftest import REPOSITORY, copy_conf
from tests.networks import tiny_classifier, write_pictures

CFG = """{
\t"SOC":"T40",
\t"INPUT":["images"],
\t"INPUT_SHAPE":[1,3,16,16],
\t"MEAN":[0,0,0],
\t"NORMAL":[255.0,255.0,255.0],
\t"COLOR":["RGB"],
\t"OUTPUT":["logits"],
\t"QUANT_DATASET_PATH":"./yolov5-20/"
}
"""
SCRIPT = """../../../TransformKit/magik-transform-tools \\
--inputpath  tiny.onnx \\
--outputpath ./venus_sample/tiny_t40_magik.mk.h \\
--config cfg/magik_t40.cfg \\
--save_quantize_model true
"""


@pytest.fixture
def vendor(project):
    """A project with a folder as in the vendor's toolkit, and a conf/ of its own."""
    (project / "conf").unlink()
    copy_conf(project)
    folder = project / "post"
    (folder / "cfg").mkdir(parents=True)
    (folder / "cfg/magik_t40.cfg").write_text(CFG)
    (folder / "run_t40.sh").write_text(SCRIPT)
    onnx.save(tiny_classifier(), folder / "tiny.onnx")
    write_pictures(folder / "yolov5-20", 3)
    return folder


def composed_line(done):
    """The overrides in the line that the command prints."""
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words[:3] == ["python", "-m", "stages.compose"]
    return words[3:]


def test_from_a_script_to_a_config_that_composes(vendor, command):
    done = command("init", "--from", "post/run_t40.sh")
    config, _ = compose(composed_line(done), Path("conf"))
    assert (
        Path("conf/model/tiny.yaml")
        .read_text()
        .startswith("# Read from run_t40.sh, magik_t40.cfg by `python -m stages.init`")
    )
    assert (config.soc.name, config.model.name, config.model.source) == ("T40", "tiny", "file:post/tiny.onnx")
    assert config.model.inputs == [InputConfig("images", [1, 3, 16, 16], [0.0] * 3, [255.0] * 3, Color.RGB)]
    assert config.model.outputs == ["logits"]
    assert (config.data.calibration.source, config.data.calibration.size) == ("file:post/yolov5-20", None)
    assert "calibration pictures serve as debug pictures too" in done.stderr


@pytest.mark.slow
def test_compose_writes_params_too(vendor, command):
    done = command("init", "--from", "post/run_t40.sh", "--compose")
    assert done.returncode == 0, done.stderr
    assert load_params(Path("params.yaml")).model.name == "tiny"
    assert recorded(Path("params.yaml"))[:2] == ["soc=t40", "model=tiny"]
    assert command("export").returncode == 0


@pytest.mark.slow
def test_a_cfg_alone_says_what_it_lacks(vendor, command):
    done = command("init", "--from", "post/cfg/magik_t40.cfg", "--name", "mine")
    line = composed_line(done)
    assert "model.source=file:NETWORK.onnx" in line
    assert "data.calibration.source=file:post/yolov5-20" in line  # beside cfg/, where the sample's script runs
    assert "no network is named: give --model FILE" in done.stderr
    done = command("init", "--from", "post/cfg/magik_t40.cfg", "--name", "mine", "--force", "--compose")
    assert done.returncode == 2
    assert "error: --compose: the config names no network (give --model FILE)" in done.stderr
    named = command("init", "--from", "post/cfg/magik_t40.cfg", "--model", "post/tiny.onnx")
    assert compose(composed_line(named), Path("conf"))[0].model.source == "file:post/tiny.onnx"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("run_t40.sh", "is no .onnx file; convert the network to ONNX first"),
        ("cfg", "is a folder; give the .onnx file"),
        ("absent.onnx", "does not exist; give the .onnx file"),
    ],
)
def test_a_network_that_is_none_is_refused(vendor, monkeypatch, capsys, model, said):
    before = sorted(Path("conf/model").iterdir())
    monkeypatch.setattr("sys.argv", ["init", "--from", "post/run_t40.sh", "--model", f"post/{model}"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == f"error: --model post/{model}: {said}\n"
    assert sorted(Path("conf/model").iterdir()) == before


def test_what_is_there_is_not_overwritten_without_force(vendor, command):
    path = Path("conf/model/onnx.yaml")
    before = path.read_text()
    done = command("init", "--from", "post/run_t40.sh", "--name", "onnx")
    assert (done.returncode, path.read_text()) == (2, before)
    assert "conf/model/onnx.yaml is there: --force replaces it, --name gives another name" in done.stderr
    assert command("init", "--from", "post/run_t40.sh", "--name", "onnx", "--force").returncode == 0
    assert path.read_text() != before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CFG.replace("T40", "T32"), "magik_t40.cfg: SOC=T32: conf/soc has no such SOC; known: 'A1'"),
        (CFG.replace("[255.0,", "[0,"), "model.inputs[0].normal"),
        (CFG.replace('"SOC"', '"QUANT_FEATURE_BIT": 9, "SOC"'), "quant.feature_bits=9: the T40 cannot do 9 bits"),
        (
            CFG.replace('"./yolov5-20/"', '"../out/build/t40/magik/calibration"'),
            "lies in out/, which the pipeline writes",
        ),
        ("just text", "is no config, and no script that calls magik-transform-tools"),
        (CFG[:-3], "magik_t40.cfg is neither JSON nor a Python literal"),
    ],
)
def test_a_refusal_is_one_line_and_writes_nothing(vendor, command, content, expected):
    (vendor / "cfg/magik_t40.cfg").write_text(content)
    before = sorted(Path("conf/model").iterdir())
    done = command("init", "--from", "post/run_t40.sh")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (2, 1)
    assert "Traceback" not in done.stderr
    assert expected in errors[0]
    assert sorted(Path("conf/model").iterdir()) == before


@pytest.mark.parametrize("name", ["a b", "../onnx", ""])
def test_a_name_that_no_model_can_have(vendor, monkeypatch, capsys, name):
    monkeypatch.setattr("sys.argv", ["init", "--from", "post/run_t40.sh", "--name", name])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert f"error: --name {name}: give letters a to z, digits and . _ + -" in capsys.readouterr().err


def test_a_file_that_is_not_there(vendor, command):
    done = command("init", "--from", "post/absent.cfg")
    assert (done.returncode, done.stderr) == (2, "error: post/absent.cfg does not exist\n")


def test_a_folder(vendor, command):
    done = command("init", "--from", "post")
    assert (done.returncode, done.stderr) == (2, "error: post is a folder: give the script or the config in it\n")


def line_of(monkeypatch, capsys, *arguments):
    """The overrides that the command prints, run in this process."""
    monkeypatch.setattr("sys.argv", ["init", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr()
    assert caught.value.code == 0, shown.err
    return shlex.split(shown.out.splitlines()[-1])[3:]


QUANT = {
    "int8": {},
    "methods": {"feature_method": FeatureMethod.KL, "weight_method": WeightMethod.ADMM, "feature_bits": 10},
    "weights": {"weight_bits": 4, "fake_quant": FakeQuant.weight},
    "float features": {"feature_bits": 32},
    "nodes": {"skip_nodes": ["depthwise"]},
}


@pytest.mark.parametrize(
    "case", ["int8", *(pytest.param(case, marks=pytest.mark.slow) for case in QUANT if case != "int8")]
)
@pytest.mark.parametrize(
    "file", ["run.sh", *(pytest.param(name, marks=pytest.mark.slow) for name in ("magik_t40.cfg", "run_2022_02.sh"))]
)
def test_what_build_writes_is_read_back(quantized, monkeypatch, capsys, case, file):
    Path("conf").unlink()
    shutil.copytree(REPOSITORY / "conf", "conf")
    quantized.quant = replace(quantized.quant, **QUANT[case])
    quantize(quantized)
    build(quantized)
    shutil.copytree("out/build/t40/magik", "vendor")
    more = ["--model", "vendor/model.onnx"] if file.endswith(".cfg") else []
    config, _ = compose(line_of(monkeypatch, capsys, "--from", f"vendor/{file}", *more), Path("conf"))
    shapes = {"images": [1, 3, 16, 16]}
    assert config.soc == quantized.soc
    assert config.model.source == "file:vendor/model.onnx"
    assert config.model.outputs == Graph(tiny_classifier()).outputs
    assert resolve_inputs(config.model.inputs, shapes) == resolve_inputs(quantized.model.inputs, shapes)
    assert (config.data.calibration.source, config.data.calibration.size) == ("file:vendor/calibration", 12)
    assert config.data.debug.source == "file:vendor/debug"
    older = file == "run_2022_02.sh"
    kept = json.loads(Path("out/quantize/qparams.json").read_text())["float_nodes"]
    assert config.quant == replace(
        quantized.quant,
        skip_nodes=kept,  # node by node, with all that stays in float for another reason
        node_bits=None if older else "file:vendor/magik_node_quant_bit_info.json",
    )


@pytest.mark.slow
def test_the_training_kits_json_is_read_back(quantized, monkeypatch, capsys):
    Path("conf").unlink()
    shutil.copytree(REPOSITORY / "conf", "conf")
    build(quantized)
    shutil.copytree("out/build/t40/magik", "vendor")
    line = line_of(monkeypatch, capsys, "--from", "vendor/training_t40.cfg", "--model", "vendor/model.onnx")
    config, _ = compose(line, Path("conf"))
    shapes = {"images": [1, 3, 16, 16]}
    assert config.soc == quantized.soc
    assert resolve_inputs(config.model.inputs, shapes) == resolve_inputs(quantized.model.inputs, shapes)
