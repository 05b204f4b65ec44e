"""generate_img_input.py: the PC's side, whose pixels are those that quantization saw."""

import contextlib

import cv2
import numpy as np
import pytest

from stages.build.board_outputs import BoardOutput
from stages.core.config.schema import Color
from stages.core.data.preprocess import fit, to_color
from tests.build.venus import programs
from tests.build.venus.programs import LOGITS, config, picture

GIVEN = [((1, 10), np.arange(10, dtype="<f4").tobytes())]
CASES = [
    (["model.preprocess.fit=stretch", "model.preprocess.interpolation=cubic"], Color.RGB),
    (["model.preprocess.fit=letterbox", "model.preprocess.interpolation=area"], Color.BGR),
    (["model.preprocess.fit=letterbox", "model.preprocess.anchor=top_left", "model.preprocess.pad=9"], Color.GRAY),
    (["model.preprocess.fit=crop"], Color.BGR),
    (["model.preprocess.fit=crop", "model.preprocess.shorter_side=36"], Color.RGB),
]


@pytest.fixture
def generate(python):
    """Run a folder's generate_img_input.py in it."""

    def run(folder, *words):
        with contextlib.chdir(folder):
            return python("generate_img_input.py", *map(str, words))

    return run


def photo(folder, height=61, width=47):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "photo.png"), pixels)
    return pixels


@pytest.mark.parametrize(("overrides", "color"), CASES)
@pytest.mark.parametrize("size", [(61, 47), (24, 32), (9, 40)])
def test_a_picture_becomes_the_bytes_that_calibration_has(generate, tmp_path, overrides, color, size):
    settings = config(*overrides)
    folder = programs.written(tmp_path / "net", settings, picture(color=color), [LOGITS])
    sample, _ = fit(photo(folder, *size), 24, 32, settings.model.preprocess)
    done = generate(folder, "photo.png", "-o", "photo.bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "photo.bin written\n", "")
    assert (folder / "photo.bin").read_bytes() == to_color(sample, color).tobytes()


@pytest.mark.slow
def test_a_picture_that_is_compiled_in(generate, tree, tmp_path):
    overrides = ["model.preprocess.fit=letterbox", "model.detector.kind=yolox", "model.detector.classes=1"]
    settings = config(*overrides, "model.detector.strides=[8]")
    folder = programs.written(tmp_path / "net", settings, picture(), [BoardOutput("y", (1, 12, 6), None)])
    pixels = photo(folder, 48, 32)  # scaled by a half: 16 wide, 8 columns of border on either side
    assert generate(folder, "photo.png").stdout == "img_input.h written\n"
    programs.built(folder, tree, programs.program())
    rows = np.zeros((12, 6), "<f4")
    rows[5] = [0.5, 0.5, 0, 0, 1, 0.75]  # in the second row and column: centre 12, 12, size 8
    done = programs.run(folder, tmp_path / "run", [((1, 12, 6), rows.tobytes())])
    assert done.code == 0, done.error
    expected = to_color(fit(pixels, 24, 32, settings.model.preprocess)[0], Color.RGB)
    np.testing.assert_array_equal(done.fed.reshape(24, 32, 4)[:, :, :3], expected)
    assert not done.fed.reshape(24, 32, 4)[:, :, 3].any()
    assert done.printed[2:] == [
        "1 boxes in 32 x 48 pixels: left top right bottom score class",
        "box: 0.0 16.0 16.0 32.0 0.7500 0",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 4])
def test_a_dumped_input_that_is_compiled_in(generate, tree, tmp_path, channels):
    folder = programs.written(tmp_path / "net", config(), picture(), [LOGITS])
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, channels), dtype=np.uint8)
    (folder / "input.bin").write_bytes(pixels.tobytes())
    done = generate(folder, "input.bin", 32, 24, channels, "bin")  # the vendor's order of words
    assert done.returncode == 0, done.stderr
    programs.built(folder, tree, programs.program())
    done = programs.run(folder, tmp_path / "run", GIVEN)
    np.testing.assert_array_equal(done.fed.reshape(24, 32, 4)[:, :, :3], pixels[:, :, :3])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.png"], "error: none.png cannot be read: No such file or directory\n"),
        (["model.h"], "error: model.h cannot be read as a picture\n"),
        (["empty.png"], "error: empty.png cannot be read as a picture\n"),
        (["photo.png", 31, 24, 3, "bin"], "error: 31 24 3: the input is 32 24 3\n"),
        (["photo.png", 32, 24, 1, "bin"], "error: 32 24 1: the input is 32 24 3\n"),
        (["photo.png", 32, 24, 3, "bin"], "bytes; uint8 24 x 32 x 3 has 2304\n"),
        (["none.bin", 32, 24, 3, "bin"], "error: none.bin cannot be read: No such file or directory\n"),
        (["photo.png", 32, 24], "error: after the path give W H C and bin, or img\n"),
        (["photo.png", "x", 24, 3, "bin"], "error: W H C must be whole numbers\n"),
    ],
)
def test_what_is_given_is_wrong(generate, tmp_path, words, said):
    folder = programs.written(tmp_path / "net", config(), picture(), [LOGITS])
    photo(folder)
    (folder / "empty.png").touch()
    done = generate(folder, *words)
    assert done.returncode == 2
    assert done.stderr.endswith(said)
    assert "\n" not in done.stderr.removesuffix("\n") or done.stderr.startswith("usage: ")
    assert not (folder / "img_input.h").exists()
