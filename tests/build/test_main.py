import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

import stages.build.__main__ as stage
from stages.build.__main__ import build
from stages.build.runtime.folder import SOURCES
from stages.build.runtime.program import UnsupportedError
from stages.build.venus.folder import COMMON_SOURCES, GENERATED_FILES
from stages.core.base.artifacts import write_checksums
from stages.core.base.errors import UserError
from stages.core.base.paths import DETECTOR, FLOAT_MODEL
from stages.core.config.schema import DetectorConfig, DetectorKind, Vendor
from stages.core.graph.onnx_graph import load_model
from stages.core.heads.families.cells import CellHead
from stages.core.heads.families.distances import DistanceHead
from stages.core.heads.head import Kind, Level, View
from stages.core.heads.head_file import ExportedHead, to_json
from stages.quantize.__main__ import quantize
from tests.build import boards


def contents(folder):
    """File -> bytes, without the checksums."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if name != "checksums.json"}


def runtime_files(soc, name):
    """What the reference runtime adds to a board folder."""
    sources = (path.relative_to(SOURCES) for path in SOURCES.rglob("*") if path.is_file())
    return {f"{soc}/runtime/{file}" for file in (f"{name}.sqm", *sources)}


def venus_files(soc):
    """What the program for Ingenic's unit adds."""
    return {f"{soc}/venus/{name}" for name in (*COMMON_SOURCES, *GENERATED_FILES, "postprocess.h")}


def test_ingenic_folder(quantized, tmp_path):
    build(quantized)
    first = contents("out/build")
    pictures = [name for name in first if name.startswith("t40/magik/calibration/")]
    debug = [name for name in first if name.startswith("t40/magik/debug/")]
    assert (len(pictures), len(debug)) == (12, 2)
    assert sorted(set(first) - set(pictures) - set(debug) - runtime_files("t40", "onnx") - venus_files("t40")) == [
        "t40/README.md", "t40/magik/magik_node_quant_bit_info.json", "t40/magik/magik_t40.cfg", "t40/magik/model.onnx",
        "t40/magik/ptq_config.json", "t40/magik/run.sh", "t40/magik/run_2022_02.sh", "t40/magik/training_t40.cfg",
    ]  # fmt: skip
    assert first["t40/magik/model.onnx"] == Path("out/quantize/prepared.onnx").read_bytes()
    bits = Path("out/quantize/magik_node_quant_bit_info.json").read_bytes()
    assert first["t40/magik/magik_node_quant_bit_info.json"] == bits
    cfg = json.loads(first["t40/magik/magik_t40.cfg"])
    assert (cfg["SOC"], cfg["INPUT"], cfg["OUTPUT"]) == ("T40", ["images"], ["logits"])
    assert (cfg["MEAN"], cfg["NORMAL"], cfg["QUANT_DATASET_SIZE"]) == ([128.0] * 3, [64.0] * 3, 12)
    assert (Path("out/build/t40/magik") / cfg["QUANT_DATASET_PATH"]).is_dir()
    assert (Path("out/build/t40/magik") / cfg["DEBUG_PATH"]).is_dir()
    ptq = json.loads(first["t40/magik/ptq_config.json"])
    assert (ptq["used_image_num"], ptq["width"], ptq["height"]) == (12, 16, 16)
    samples = np.load("out/calibset/calibration/0.npy")
    for name, sample in zip(sorted(pictures), samples, strict=True):
        decoded = cv2.imdecode(np.frombuffer(first[name], np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decoded[:, :, ::-1], sample)
    boards.stand_in(tmp_path / "kit", "magik-transform-tools")
    finished, calls = boards.run_script(
        Path("out/build/t40/magik/run.sh").resolve(), tmp_path / "record", MAGIK_TRANSFORMKIT=str(tmp_path / "kit")
    )
    assert finished.returncode == 0, finished.stderr
    assert calls[0][1:3] == ["-i", "model.onnx"]
    build(quantized)
    assert contents("out/build") == first


def test_what_is_made_of_the_folder_outlives_the_next_build(quantized, tmp_path):
    """The converter's by-products are in board/, with what it read; `make` builds there too."""
    build(quantized)
    tool = tmp_path / "kit/magik-transform-tools"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nls calibration | wc -l > converted.bin\n")
    tool.chmod(0o755)
    first = contents("out/build")
    (tmp_path / "board/t40/magik/calibration").mkdir(parents=True)
    Path("board/t40/magik/calibration/of_another_set.png").touch()
    script = Path("out/build/t40/magik/run.sh").resolve()
    finished, _ = boards.run_script(script, tmp_path / "record", MAGIK_TRANSFORMKIT=str(tool.parent))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == f"results: {Path('board/t40/magik').resolve()}\n"
    assert contents("out/build") == first
    build(quantized)
    assert Path("board/t40/magik/converted.bin").read_text().strip() == "12"
    assert "`dvc repro` replaces this folder" in Path("out/build/t40/README.md").read_text()
    (tmp_path / "kit/include").mkdir()
    (tmp_path / "kit/include/venus.h").touch()
    line = ["make", "-n", f"TOPDIR={tmp_path / 'kit'}"]
    for folder, place in (
        ("out/build/t40/venus", "../../../../board/t40/venus/venus_onnx_bin"),
        ("copy", "venus_onnx_bin"),
    ):
        if folder == "copy":
            shutil.copytree("out/build/t40/venus", "copy")
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True)
        assert f" -o {place}_uclibc_release " in done.stdout


def test_the_board_program_knows_the_networks_input_and_output(quantized):
    build(quantized)
    text = Path("out/build/t40/venus/model.h").read_text()
    assert "const int width = 16, height = 16;" in text
    assert '{"logits", {1, 3}, 32, 1.0f, 0},' in text  # a fully connected layer at the end returns float there


def test_a_detector_that_the_outputs_do_not_fit_is_refused(quantized):
    build(quantized)
    before = contents("out/build")
    # what is quantized does not follow from it
    quantized.model.detector = DetectorConfig(kind=DetectorKind.yolox, classes=80)
    with pytest.raises(UserError, match=r"model.detector: kind=yolox, .* the network's are logits \[1, 3\]"):
        build(quantized)
    assert contents("out/build") == before


NOT_DECODED = "the board's programs print outputs, not boxes: "


def test_a_classifier_has_no_line_on_boxes(quantized, capsys):
    build(quantized)
    assert NOT_DECODED not in capsys.readouterr().out
    assert not Path("out/build/t40/venus/head.h").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": DetectorKind.none}, "model.detector.kind=none"),
        ({"function": "mine:decode"}, "model.detector.function=mine:decode runs on the PC alone"),
        ({}, "the network does not end at its YOLOX-like head's last convolutions (model.cut=true)"),
    ],
)
def test_why_boxes_are_not_decoded_is_one_line(quantized, capsys, change, reason):
    head = CellHead(16, 16, (Level(8, 2, 2, {Kind.classes: View("y", 0, 1, 1)}, ((8, 8),)),))
    DETECTOR.write_text(json.dumps(to_json(ExportedHead(head, cut=False))))
    write_checksums(Path("out/export"))
    quantized.model.detector = dataclasses.replace(quantized.model.detector, **change)
    build(quantized)
    assert f"{NOT_DECODED}{reason}\n" in capsys.readouterr().out
    assert not Path("out/build/t40/runtime/head.h").exists()


@pytest.mark.parametrize("vendor", Vendor)
def test_a_cut_head_is_decoded_by_every_program(quantized, capsys, vendor):
    (name,) = (info.name for info in load_model(FLOAT_MODEL).graph.output)
    views = {Kind.boxes: View(name, 0, 4, 4), Kind.classes: View(name, 2, 1, 1)}
    head = DistanceHead(16, 16, (Level(16, 1, 1, views, ((16, 16),)),))
    DETECTOR.write_text(json.dumps(to_json(ExportedHead(head, cut=True))))
    write_checksums(Path("out/export"))
    quantized.soc.vendor = vendor
    quantize(quantized)
    build(quantized)
    assert NOT_DECODED not in capsys.readouterr().out
    programs = ["runtime", "venus" if vendor is Vendor.ingenic else "sophon"]
    folders = sorted(path.parent for path in Path("out/build/t40").rglob("head.h"))
    assert [folder.name for folder in folders] == programs
    for folder in folders:
        assert (folder / "detector.h").read_text().startswith("// From a network's outputs to boxes")
        assert "{1, 1, 16.0f, 16.0f, {{16.0f, 16.0f}}, {0, 0, 3, 4, 4}," in (folder / "head.h").read_text()


def test_sophgo_folder(quantized):
    quantized.soc.vendor, quantized.soc.name = Vendor.sophgo, "bm1684x"
    quantize(quantized)
    build(quantized)
    files = contents("out/build")
    pictures = [name for name in files if name.startswith("bm1684x/calibration/")]
    assert len(pictures) == 12
    board = {name for name in files if name.startswith("bm1684x/sophon/")}
    assert {"bm1684x/sophon/board.py", "bm1684x/sophon/Makefile"} <= board
    rest = set(files) - set(pictures) - runtime_files("bm1684x", "onnx") - board
    names = ("README.md", "model.onnx", "ranges.json", "run.sh", "steps.json", "tables.py")
    assert sorted(rest) == [f"bm1684x/{name}" for name in names]
    assert files["bm1684x/model.onnx"] == Path("out/quantize/prepared.onnx").read_bytes()
    script = files["bm1684x/run.sh"].decode()
    assert "--scale 0.015625,0.015625,0.015625" in script
    assert '--test_input "$here"/calibration/0000_000.png' in script
    assert "bm1684x/calibration/0000_000.png" in files
    for readme in ("bm1684x/README.md", "bm1684x/runtime/README.md", "bm1684x/sophon/README.md"):
        assert "CROSS_COMPILE=aarch64-linux-gnu-" in files[readme].decode()


def test_another_soc_replaces_the_folder(quantized):
    build(quantized)
    quantized.soc.name = "T41"
    quantize(quantized)
    build(quantized)
    assert sorted(path.name for path in Path("out/build").iterdir()) == ["checksums.json", "t41"]


def test_a_network_that_the_runtime_cannot_run_is_built_without_it(quantized, monkeypatch, capsys):
    def refuse(*_):
        raise UnsupportedError("node (Erf): the board's reference runtime does not do this")

    monkeypatch.setattr(stage, "write_runtime", refuse)
    build(quantized)
    assert not Path("out/build/t40/runtime").exists()
    assert Path("out/build/t40/magik/run.sh").exists()
    assert "no runtime/ is written: node (Erf)" in capsys.readouterr().err
    assert "| absent: node (Erf): " in Path("out/build/t40/README.md").read_text()
