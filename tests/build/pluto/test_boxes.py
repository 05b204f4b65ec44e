"""The camera's program that prints boxes, compiled against a stand-in for the open runtime's sources."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from stages.build.pluto.boxes import Decoding, ordered_head, write_boxes
from stages.core.heads.detections import Detections
from tests.build.heads.heads import CONFIG, board_head_of, detector, head_of, random_outputs, shapes_of

STAND_IN = Path(__file__).parent / "stand_in"
CELL = 32


def decoding(name):
    head = head_of(name)
    board, outputs = board_head_of(head)
    return head, Decoding(board, outputs, CONFIG)


def cells(codes):
    """int8 codes [1, C, H, W] as the runtime keeps them: bytes of code + 128, 32 channels of a pixel together."""
    _, channels, rows, columns = codes.shape
    padded = np.zeros((-(-channels // CELL) * CELL, rows + rows % 2, -(-columns // 4) * 4), np.uint8)
    padded[:channels, :rows, :columns] = codes[0] + np.int16(128)
    return padded.reshape(-1, CELL, *padded.shape[1:]).transpose(0, 2, 3, 1).tobytes()


def network(folder, head, order):
    """Write a model and its features as the stand-in reads them; gives the outputs' real values by name."""
    values, lines, content = {}, ["-1 1 3 2 4 1 0"], [bytes(4 * 2 * CELL)]  # a first layer that the others read
    outputs = random_outputs(head, 1)
    for number, name in enumerate(order):
        scale, zero_point = np.float32(0.03 + 0.001 * number), 3 - number
        codes = np.clip(np.rint(outputs[name] / scale) + zero_point, -128, 127).astype(np.int8)
        values[name] = scale * (codes.astype(np.float32) - zero_point)
        _, channels, rows, columns = codes.shape
        lines.append(f"1 {number + 2} {channels} {rows} {columns} {scale:.9g} {zero_point}")
        content.append(cells(codes))
    (folder / "net.pluto").write_text("\n".join(lines))
    (folder / "in.bin").write_bytes(b"".join(content))
    return values


def make(folder, *more):
    line = ["make", "-s", "-C", str(folder), f"PLUTO={STAND_IN}", "CROSS=", "FLAGS=-O0 -Wextra -Werror", *more]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def run(folder, *words):
    return subprocess.run([folder / "boxes/boxes", *words], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(
    scope="module", params=["yolox", *(pytest.param(name, marks=pytest.mark.slow) for name in ("yolov8-pose", "yunet"))]
)
def built(request, tmp_path_factory):
    """A folder with the program and a model; the head and its outputs' values."""
    if not shutil.which("g++"):
        pytest.skip("g++ is missing")
    folder = tmp_path_factory.mktemp("boxes")
    head, given = decoding(request.param)
    order = sorted(shapes_of(head), key=lambda name: name[::-1])  # neither the head's order nor the board's
    write_boxes(folder / "boxes", given, order)
    done = make(folder / "boxes")
    assert (done.returncode, done.stderr) == (0, "")
    return folder, head, network(folder, head, order)


def test_the_boxes_are_pythons(built):
    folder, head, values = built
    done = run(folder, "net.pluto", "in.bin")
    assert (done.returncode, done.stderr) == (0, "")
    expected: Detections = detector(head).detect(values, CONFIG.score_threshold)
    rows = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("box:")]
    printed = np.array(rows, np.float32)
    assert printed.shape == (len(expected), 6)
    assert len(expected) > 5
    inside = expected.boxes.clip(0, [head.width, head.height] * 2)
    np.testing.assert_allclose(printed[:, :4], inside, rtol=0, atol=0.0501)
    np.testing.assert_allclose(printed[:, 4], expected.scores, rtol=0, atol=5.1e-5)
    np.testing.assert_array_equal(printed[:, 5], expected.classes)


def test_what_does_not_fit_is_said(built):
    folder, _, _ = built
    lines = (folder / "net.pluto").read_text().splitlines()
    (folder / "fewer.pluto").write_text("\n".join(lines[:-1]))
    for words, code, said in [
        (["net.pluto"], 2, "usage: "),
        (["absent", "in.bin"], 1, "error: absent: cannot load absent"),
        (["net.pluto", "absent"], 1, "error: absent: cannot be read"),
        (["net.pluto", "net.pluto"], 1, "error: net.pluto: input is "),
    ]:
        done = run(folder, *words)
        assert (done.returncode, done.stdout, done.stderr.startswith(said)) == (code, "", True), done.stderr
    last = lines[-1].split()
    _, channels, rows, columns = (int(word) for word in last[1:5])
    size = len(cells(np.zeros((1, channels, rows, columns), np.int8)))
    (folder / "less.bin").write_bytes((folder / "in.bin").read_bytes()[:-size])
    done = run(folder, "fewer.pluto", "less.bin")
    assert done.returncode == 1
    assert done.stderr.startswith("error: fewer.pluto has ")


def test_another_order_moves_the_tensors():
    head, given = decoding("yolox")
    order = [output.name for output in reversed(given.outputs)]
    moved = ordered_head(given, order)
    assert [order[moved.places[name].output] for name in head.tensors] == list(head.tensors)
    assert moved.sizes == given.board.sizes[::-1]
    assert given.fits(order)
    assert not given.fits(order[1:])


def test_the_makefile_names_a_runtime_that_is_not_there(tmp_path):
    _, given = decoding("yolox")
    write_boxes(tmp_path / "boxes", given, [output.name for output in given.outputs])
    done = make(tmp_path / "boxes", f"PLUTO={tmp_path}")
    assert done.returncode == 2
    assert f"PLUTO={tmp_path}: no runtime/plt_engine.h there" in done.stderr
