"""Networks with several inputs, and one whose input is no picture, through all stages."""

import contextlib
import json
import re
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from stages.build.__main__ import build
from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.core.base.artifacts import read_json
from stages.core.base.paths import FLOAT_MODEL, INTEGER_MODEL
from stages.core.config.load import load_params
from stages.core.integer.model import load_integer_model, tensor_quant_params
from stages.core.integer.reference import run_reference
from stages.core.statistics.tensor_statistics import load_statistics
from stages.evaluate.__main__ import evaluate
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from stages.track.pipeline_run import pipeline_run
from tests.conftest import REPOSITORY, copy_project, write_params
from tests.networks import picture_and_state, relative_error, two_cameras, vector_network

NETWORKS = {"cameras": two_cameras, "state": picture_and_state, "vector": vector_network}
PICTURES = {"wide": (12, 20), "near": (8, 8), "image": (8, 8)}
TENSORS = {"state": (1, 6), "x": (1, 10)}
COUNTS = {"calibration": 12, "debug": 2, "evaluation": 3}


def write_set(model: onnx.ModelProto, folder: Path, count: int, rng: np.random.Generator) -> None:
    """Samples `s<i>/<input>.png` and `.bin`; of one input `s<i>.bin`."""
    names = [entry.name for entry in model.graph.input]
    for index in range(count):
        for name in names:
            path = folder / f"s{index:02d}" / name if len(names) > 1 else folder / f"s{index:02d}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in PICTURES:
                pixels = rng.integers(0, 256, (*PICTURES[name], 3), dtype=np.uint8)
                assert cv2.imwrite(f"{path}.png", pixels)
            else:
                Path(f"{path}.bin").write_bytes(rng.uniform(-2, 2, TENSORS[name]).astype("<f4").tobytes())


def fed(model: onnx.ModelProto, folder: Path) -> list[dict[str, np.ndarray]]:
    """What the network takes of each sample, worked out anew: RGB pixels less 128 over 64, numbers as given."""
    names = [entry.name for entry in model.graph.input]
    found = []
    for sample in sorted(folder.iterdir()):
        feeds = {}
        for name in names:
            if name in PICTURES:
                pixels = cv2.cvtColor(cv2.imread(str(sample / f"{name}.png")), cv2.COLOR_BGR2RGB)
                feeds[name] = ((pixels.astype(np.float32) - 128) / 64).transpose(2, 0, 1)[None]
            else:
                path = sample / f"{name}.bin" if len(names) > 1 else sample
                feeds[name] = np.fromfile(path, "<f4").reshape(TENSORS[name])
        found.append(feeds)
    return found


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Name of a network -> its project, quantized; made when first asked for."""

    @cache
    def project(name: str) -> Path:
        folder, network = tmp_path_factory.mktemp(name), NETWORKS[name]()
        onnx.save(network, folder / "net.onnx")
        for index, (part, count) in enumerate(COUNTS.items()):
            write_set(network, folder / part, count, np.random.default_rng(index))
        (folder / "conf").symlink_to(REPOSITORY / "conf")
        with contextlib.chdir(folder):
            composed()
            stages(export, calibset, calibrate, quantize)
        return folder

    return project


@pytest.fixture(params=list(NETWORKS))
def model(request, projects, tmp_path, monkeypatch):
    """A network whose project is the current folder, quantized."""
    copy_project(projects(request.param), tmp_path)
    monkeypatch.chdir(tmp_path)
    return NETWORKS[request.param]()


def composed(*more: str) -> None:
    overrides = [
        "model=onnx", "model.source=file:net.onnx", "data=folder", "data.calibration.source=file:calibration",
        "data.debug.source=file:debug", "data.evaluation.source=file:evaluation", "data.evaluation.labels=null",
        "data.evaluation.task=none",
    ]  # fmt: skip
    if onnx.load("net.onnx").graph.input[0].name in PICTURES:
        overrides.append("model.inputs=[{mean: [128], normal: [64]}]")
    write_params(*overrides, *more)


def stages(*each) -> None:
    config = load_params(Path("params.yaml"))
    for stage in each:
        stage(config)


def test_calibration_sees_what_every_input_is_fed(model):
    samples = fed(model, Path("calibration"))
    outputs = [entry.name for entry in model.graph.output]
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    made = [dict(zip(outputs, session.run(outputs, feeds), strict=True)) for feeds in samples]
    found = load_statistics(Path("out/calibrate/statistics.npz"))
    for name in samples[0]:
        values = np.stack([feeds[name] for feeds in samples])
        assert (found[name].low, found[name].high) == (values.min(), values.max())
    for name in outputs:
        values = np.stack([each[name] for each in made])
        np.testing.assert_allclose([found[name].low, found[name].high], [values.min(), values.max()], rtol=1e-5)


def test_cosine_and_fidelity_of_the_outputs_are_those_of_the_reference(model):
    """Float outputs by ONNX Runtime, quantized ones by the NumPy reference, on feeds worked out anew."""
    stages(evaluate)
    integer, cosines, sides = load_integer_model(INTEGER_MODEL), [], {}
    outputs = [entry.name for entry in model.graph.output]
    session = onnxruntime.InferenceSession(str(FLOAT_MODEL), providers=["CPUExecutionProvider"])
    quant_params = tensor_quant_params(integer.graph.node)
    for feeds in fed(model, Path("evaluation")):
        expected = dict(zip(outputs, session.run(outputs, feeds), strict=True))
        values = run_reference(integer, feeds)
        for name in outputs:
            a, b = expected[name].ravel().astype(float), values[name].ravel().astype(float)
            if name in quant_params:
                b = (b - quant_params[name].zero_point) * quant_params[name].scale
            cosines.append(a @ b / np.sqrt((a @ a) * (b @ b)))
            sides.setdefault(name, []).append((a, b))
    found = json.loads(Path("out/evaluate/metrics.json").read_text())
    assert found["count"] == COUNTS["evaluation"]
    assert found["cosine"] == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found["cosine"] > 0.99
    shapes = [[each.dim_value for each in entry.type.tensor_type.shape.dim] for entry in model.graph.input[1:]]
    answers = [  # an output of the shape of a further input is fed back
        entry.name
        for entry in model.graph.output
        if [each.dim_value for each in entry.type.tensor_type.shape.dim] not in shapes
    ]
    errors = [relative_error(*zip(*sides[name], strict=True)) for name in answers]
    assert found["fidelity"] == pytest.approx(np.sqrt(1 - max(errors)), abs=1e-6)


@pytest.mark.usefixtures("undrawn")
def test_samples_that_are_no_pictures_are_called_samples(model, capsys):
    composed("data.debug.source=file:calibration", "data.debug.size=1", "data.evaluation.source=file:calibration")
    capsys.readouterr()
    stages(compare, evaluate)
    out, err = capsys.readouterr()
    assert "outputs on 12 samples: fidelity" in out
    metrics, rows = (read_json(Path(path)) for path in ("out/evaluate/metrics.json", "out/compare/similarity.json"))
    run = pipeline_run(load_params(Path("params.yaml")), metrics, rows)
    assert run.tags["mlflow.note.content"].startswith("outputs on 12 samples: fidelity")
    assert "12 of 12 evaluation samples served to quantize" in err
    assert re.search(r"debug sample \S+ is also calibration sample \S+: use others", err)
    found = json.loads(Path("out/compare/diagnosis.json").read_text())["findings"]
    assert any(entry["sentence"].startswith("1 of 1 debug sample was used to quantize too") for entry in found)
    note = "note: input (colour order, mean, normal) not checked: that takes a network whose only input is a picture"
    assert "picture" not in " ".join(out.split()).replace(note, "") + err


@pytest.mark.usefixtures("undrawn")
def test_compare_says_the_network_is_sound_and_dumps_every_input(model):
    composed("compare.dump=true")
    stages(compare)
    rows = json.loads(Path("out/compare/similarity.json").read_text())
    assert [row["node"] for row in rows] == [node.name for node in onnx.load(FLOAT_MODEL).graph.node]
    assert min(row["cosine_min"] for row in rows) > 0.99
    assert min(row["isolated_cosine"] for row in rows) > 0.99
    diagnosis = json.loads(Path("out/compare/diagnosis.json").read_text())
    assert (diagnosis["findings"], diagnosis["inputs"]) == ([], [])
    names, folder = [entry.name for entry in model.graph.input], Path("out/compare/magik_dump_path")
    first = fed(model, Path("debug"))[0]
    for name in names:
        stem = name if len(names) > 1 else "input"
        values = first[name].transpose(0, 2, 3, 1) * 64 + 128 if name in PICTURES else first[name]
        np.testing.assert_array_equal(np.fromfile(folder / f"{stem}.bin", "<f4"), values.ravel())
        assert (folder / f"{stem}_uint8.bin").exists() == (name in PICTURES)


def test_the_converter_gets_every_input_of_every_sample(model):
    stages(build)
    names = [entry.name for entry in model.graph.input]
    cfg = json.loads(Path("out/build/t40/magik/magik_t40.cfg").read_text())
    assert cfg["INPUT"] == names
    shapes = [[d.dim_value for d in entry.type.tensor_type.shape.dim] for entry in model.graph.input]
    assert cfg["INPUT_SHAPE"] == (shapes if len(names) > 1 else shapes[0])
    assert cfg["QUANT_DATASET_SIZE"] == COUNTS["calibration"]
    for index, feeds in enumerate(fed(model, Path("calibration"))):
        sample = Path(f"out/build/t40/magik/calibration/{index:04d}_s{index:02d}")
        for name in names:
            expected = feeds[name].transpose(0, 2, 3, 1) * 64 + 128 if name in PICTURES else feeds[name]
            np.testing.assert_array_equal(np.fromfile(sample / f"{name}.bin", "<f4"), expected.ravel())
    assert len(list(Path("out/build/t40/magik/debug").iterdir())) == COUNTS["debug"]
    assert Path("out/build/t40/runtime/onnx.sqm").is_file()
    assert not Path("out/build/t40/venus").exists()  # it feeds one picture
    assert "| `venus/` | runs the .bin on the board | - | absent: " in Path("out/build/t40/README.md").read_text()


def test_sophgo_gets_what_the_network_takes(model):
    composed("soc=bm1684x")
    stages(quantize, build)
    script = Path("out/build/bm1684x/run.sh").read_text()
    shapes = (",".join(str(d.dim_value) for d in entry.type.tensor_type.shape.dim) for entry in model.graph.input)
    assert f"--input_shapes '[{','.join(f'[{shape}]' for shape in shapes)}]'" in script
    assert '--test_input "$here"/calibration/0000_s00.npz' in script
    assert "--mean" not in script
    for index, feeds in enumerate(fed(model, Path("calibration"))):
        with np.load(f"out/build/bm1684x/calibration/{index:04d}_s{index:02d}.npz") as stored:
            assert set(stored) == set(feeds)
            for name, values in feeds.items():
                np.testing.assert_array_equal(stored[name], values)


@pytest.mark.parametrize(
    "overrides",
    [
        ["quant.rounding=compensate"],
        pytest.param(
            ["quant.weight_correction=true", "quant.feature_correction=true", "quant.equalization=measured"],
            marks=pytest.mark.slow,
        ),
        pytest.param(["quant.feature_method=OUTPUT", "quant.channel_scales=measured"], marks=pytest.mark.slow),
        pytest.param(["quant.rounding=reconstruct", "quant.steps=20"], marks=pytest.mark.slow),
    ],
)
def test_what_is_fitted_on_samples_is_judged_on_others(model, overrides):
    composed("quant.weight_bits=4", *overrides)
    stages(quantize, evaluate)
    assert json.loads(Path("out/evaluate/metrics.json").read_text())["cosine"] > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("model", ["state"], indirect=True)
def test_commands_take_such_samples(model, python):
    done = python("-m", "stages.infer", "debug/s00", "debug/s01", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    found = json.loads(Path("out.json").read_text())
    assert [(entry["input"], entry["output"]) for entry in found] == [
        ("debug/s00", "y"), ("debug/s00", "next"), ("debug/s01", "y"), ("debug/s01", "next"),
    ]  # fmt: skip
    for entry, feeds in zip(found[::2], fed(model, Path("debug")), strict=True):
        session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
        expected = session.run(["y"], feeds)[0].ravel()
        np.testing.assert_allclose(entry["values"], expected, atol=0.02 * np.abs(expected).max())
    done = python("-m", "stages.bisect", "--below", "0.9", "--json", "path.json")
    assert done.returncode == 0, done.stderr
    assert json.loads(Path("path.json").read_text())["nodes"] == []
    done = python("-m", "stages.autotune", "--mean-bits", "6", "--no-track")
    assert done.returncode == 0, done.stderr
    assert Path("out/autotune/node_bits.json").is_file()
