"""The program for Sophgo's boards, compiled against stand-ins of the published headers and run here."""

import shutil
import subprocess
import sys
import types
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.build.board_outputs import BoardOutput
from stages.build.sophon.folder import write_sophon
from stages.core.config.composition import compose
from stages.core.config.schema import Anchor, Color, Fit
from stages.core.data.inputs import NetworkInput
from tests.build import kept
from tests.build.heads import heads
from tests.conftest import REPOSITORY, project_overrides

SDK = Path(__file__).parent / "sdk"
PICTURE = NetworkInput("images", (1, 3, 2, 2), (10.0, 20.0, 30.0), (2.0, 4.0, 5.0), Color.RGB)
OUTPUTS = [BoardOutput("joined", (1, 2, 2, 3), None), BoardOutput("scores", (1, 4), None)]
PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 7
FLAGS = ["-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@cache
def config(soc):
    return compose(project_overrides("model.name=net", f"soc={soc}"), REPOSITORY / "conf")[0]


def written(folder, soc="bm1684x"):
    write_sophon(folder, config(soc), PICTURE, OUTPUTS, f"net_{soc}_int8.bmodel")
    return folder


def expected():
    """The stand-in network's outputs by hand: the greatest of the scores first, the range of the joined tensor."""
    x = ((PIXELS.astype(np.float32) - PICTURE.mean) / PICTURE.normal).transpose(2, 0, 1)
    joined = x * 10 + np.arange(12).reshape(3, 2, 2)
    scores = x.sum(axis=0).ravel()
    order = np.argsort(-scores)
    lines = ["output 0: joined [1,2,2,3]", f"  {joined.min():g} .. {joined.max():g}", "output 1: scores [1,4]"]
    return [*lines, *(f"  class {index}: {scores[index]:.4f}" for index in order)]


def test_files(tmp_path):
    names = ["Makefile", "README.md", "accelerator.h", "board.h", "inference.cpp", "model.h", "normalization.h",
             "picture.h", "postprocess.h", "program.h"]  # fmt: skip
    large, small = written(tmp_path / "large"), written(tmp_path / "small", "cv181x")
    assert sorted(path.name for path in large.iterdir()) == sorted([*names, "board.py"])
    assert sorted(path.name for path in small.iterdir()) == names
    assert "-lbmrt -lbmlib" in (large / "Makefile").read_text()
    assert "-lcviruntime -lcvikernel" in (small / "Makefile").read_text()
    assert "bmruntime_interface.h" in (large / "accelerator.h").read_text()
    assert "cviruntime.h" in (small / "accelerator.h").read_text()
    assert "const float normal[] = {2.0f, 4.0f, 5.0f};" in (large / "normalization.h").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("soc", "runtime"), [("bm1684x", "bmrt"), ("cv181x", "cvi")])
def test_a_picture_runs_through_the_compiled_network(tmp_path, soc, runtime):
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt-get install g++")
    folder = written(tmp_path / "board", soc)
    command = ["g++", "-std=c++11", *FLAGS, f"-I{SDK / 'include'}", f"-I{SDK}", folder / "inference.cpp"]
    done = kept.run([*command, SDK / f"{runtime}.cpp", "-o", folder / "program"], folder, [SDK], ["program"], "g++")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("model", "newer"):
        (tmp_path / name).write_text("compiled")
    (tmp_path / "picture.raw").write_bytes(PIXELS.tobytes())

    def run(model, *more):
        arguments = [folder / "program", tmp_path / model, tmp_path / "picture.raw", *more]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    for more in ((), ("2", "2")):  # the input as it is; a picture of the input's size
        done = run("model", *more)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert [line.split(":")[0] for line in lines[:2]] == ["load", "run"]
        assert lines[2:] == expected()
    done = run("newer")
    assert done.returncode == 1
    assert f"is it compiled for the {soc}?" in done.stderr


def board_program(folder, monkeypatch, engine):
    """The program's `main`, with a stand-in for sail's engine."""
    sail = types.SimpleNamespace(Engine=engine, IOMode=types.SimpleNamespace(SYSIO="SYSIO"))
    monkeypatch.setitem(sys.modules, "sophon", types.SimpleNamespace(sail=sail))
    monkeypatch.setitem(sys.modules, "sophon.sail", sail)
    namespace = {"__name__": "board", "__file__": str(folder / "board.py")}
    exec((folder / "board.py").read_text(), namespace)
    return namespace["main"]


def test_python_on_sail(tmp_path, monkeypatch, capsys):
    folder = written(tmp_path / "board")
    cv2.imwrite(str(tmp_path / "a.png"), PIXELS[:, :, ::-1])
    fed = {}

    class Engine:
        def __init__(self, model, device, mode):
            assert (model, device, mode) == ("net.bmodel", 0, "SYSIO")

        def get_graph_names(self):
            return ["net"]

        def get_input_names(self, graph):
            return ["images"]

        def process(self, graph, inputs):
            fed.update(inputs)
            return {"scores_Gemm_f32": np.float32([[1, 4, 2, 3]]), "joined_Concat_f32": inputs["images"]}

    board_program(folder, monkeypatch, Engine)("net.bmodel", str(tmp_path / "a.png"))
    wanted = ((PIXELS.astype(np.float32) - PICTURE.mean) / PICTURE.normal).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(fed["images"], wanted, rtol=1e-6)
    assert fed["images"].dtype == np.float32
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "output scores_Gemm_f32 [1, 4]",
        *(f"  class {i}: {v:.4f}" for i, v in ((1, 4), (3, 3), (2, 2), (0, 1))),
    ]
    assert lines[5:] == ["output joined_Concat_f32 [1, 3, 2, 2]", f"  {wanted.min():g} .. {wanted.max():g}"]


@pytest.mark.slow
def test_python_prints_boxes_by_the_programs_decoding(tmp_path, monkeypatch, capfd):
    """A picture twice as wide as the letterboxed input: boxes are in its pixels."""
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt-get install g++")
    head = heads.head_of("yolox")
    board, outputs = heads.board_head_of(head)
    (values,) = heads.decisive_outputs(head, 1)
    config = compose(project_overrides("model.name=net", "soc=bm1684x"), REPOSITORY / "conf")[0]
    config.model.preprocess.fit, config.model.preprocess.anchor = Fit.letterbox, Anchor.center
    config.model.detector = heads.CONFIG
    picture = NetworkInput("images", (1, 3, head.height, head.width), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    folder = tmp_path / "board"
    write_sophon(folder, config, picture, outputs, "net.bmodel", board)
    subprocess.run(["make", "-C", folder, "-s", "libboxes.so"], check=True)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((head.height, 2 * head.width, 3), np.uint8))

    class Engine:
        def __init__(self, *_):
            pass

        def get_graph_names(self):
            return ["net"]

        def get_input_names(self, _):
            return ["images"]

        def process(self, *_):
            return {f"{name}_Conv_f32": value for name, value in values.items()}

    board_program(folder, monkeypatch, Engine)("net.bmodel", str(tmp_path / "a.png"))
    lines = capfd.readouterr().out.splitlines()
    found = heads.detector(head).detect(values, heads.CONFIG.score_threshold)
    assert lines[0].startswith(f"{len(found)} boxes in {2 * head.width} x {head.height} pixels")
    boxes = np.array([line.split()[1:] for line in lines[1:] if line.startswith("box: ")], np.float64)
    shift = np.float64([0, head.height / 4] * 2)
    ends = np.float64([2 * head.width, head.height] * 2)
    np.testing.assert_allclose(boxes[:, :4], ((found.boxes - shift) * 2).clip(0, ends), atol=0.06)
    np.testing.assert_allclose(boxes[:, 4], found.scores, atol=6e-5)
    np.testing.assert_array_equal(boxes[:, 5], found.classes)
