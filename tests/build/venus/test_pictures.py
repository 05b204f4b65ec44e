"""What reaches the network's input: the programs' own preparation against the PC's, which is OpenCV's."""

import cv2
import numpy as np
import pytest

from stages.core.config.schema import Color
from stages.core.data.preprocess import fit, to_color
from tests.build.venus import programs
from tests.build.venus.programs import LOGITS, config, picture

GIVEN = [((1, 10), np.arange(10, dtype="<f4").tobytes())]
SIZES = [(61, 47), (24, 32), (17, 90), (11, 9), (48, 64), (120, 31)]

# OpenCV interpolates bytes in fixed point (weights in 2048ths, or 32768ths), the program in float: values that both
# round differ by at most one. Nearest has nothing to round.
CASES = [
    (["model.preprocess.fit=stretch"], Color.RGB, 1),
    (["model.preprocess.fit=stretch", "model.preprocess.interpolation=nearest"], Color.BGR, 0),
    (["model.preprocess.fit=letterbox", "model.preprocess.interpolation=area"], Color.BGR, 1),
    (["model.preprocess.fit=letterbox", "model.preprocess.anchor=top_left", "model.preprocess.pad=9"], Color.RGB, 1),
    (["model.preprocess.fit=crop", "model.preprocess.interpolation=cubic"], Color.RGB, 1),
    (["model.preprocess.fit=crop", "model.preprocess.shorter_side=36"], Color.GRAY, 1),
]


@pytest.fixture(
    params=CASES, ids=lambda parameters: "-".join(word.split("=")[1] for word in parameters[0]), scope="module"
)
def fitting(request, tree, tmp_path_factory):
    overrides, color, tolerance = request.param
    settings = config(*overrides)
    folder = programs.written(
        tmp_path_factory.mktemp("program") / "net", settings, picture(color=color), [LOGITS]
    )  # fmt: skip
    programs.built(folder, tree)
    return folder, settings.model.preprocess, color, tolerance


def noise(height, width):
    """A picture whose neighbours differ widely: BGR."""
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels_of(fed, color):
    """The picture's channels of what was fed, which has a fourth of zeros."""
    channels = 1 if color is Color.GRAY else 4
    pixels = fed.reshape(24, 32, channels)
    assert color is Color.GRAY or not pixels[:, :, 3].any()
    return pixels[:, :, : min(channels, 3)].astype(int)


@pytest.mark.slow
def test_a_picture_of_another_size_is_fitted_as_on_the_pc(fitting, tmp_path):
    folder, preprocess, color, tolerance = fitting
    for height, width in SIZES:
        photo = noise(height, width)
        raw = to_color(photo, color)
        (tmp_path / "photo.rgb").write_bytes(raw.tobytes())
        done = programs.run(folder, tmp_path, GIVEN, "photo.rgb", width, height)
        assert done.code == 0, done.error
        # fitting comes first on the PC; a grey picture is fitted as three equal channels
        expected = fit(np.repeat(raw, 3, axis=2) if color is Color.GRAY else photo, 24, 32, preprocess)[0]
        expected = to_color(expected, color).astype(int)
        assert np.abs(pixels_of(done.fed, color) - expected).max() <= tolerance, (height, width)


@pytest.mark.slow
def test_an_nv12_frame_is_fitted_as_on_the_pc(fitting, tmp_path):
    folder, preprocess, color, tolerance = fitting
    for height, width in [(48, 64), (34, 90), (12, 10)]:
        frame = np.random.default_rng(width).integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
        (tmp_path / "frame.nv12").write_bytes(frame.tobytes())
        done = programs.run(folder, tmp_path, GIVEN, "frame.nv12", width, height, frame=True)
        assert done.code == 0, done.error
        photo = cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_NV12)
        grey = np.repeat(to_color(photo, Color.GRAY), 3, axis=2)
        expected = to_color(fit(grey if color is Color.GRAY else photo, 24, 32, preprocess)[0], color).astype(int)
        # one more from the conversion (see below): averages of values that differ by one differ by no more
        assert np.abs(pixels_of(done.fed, color) - expected).max() <= tolerance + 1, (height, width)


@pytest.fixture(scope="module")
def plain(tree, tmp_path_factory):
    """A program whose input is 64 x 64, RGB, and that takes pixels as they are where they fit."""
    folder = tmp_path_factory.mktemp("plain") / "net"
    settings = config("model.preprocess.fit=stretch", "model.preprocess.interpolation=nearest")
    programs.written(folder, settings, picture(256, 256), [LOGITS])
    programs.built(folder, tree)
    return folder


@pytest.mark.slow
def test_nv12_as_opencv_reads_it(plain, tmp_path):
    # OpenCV's coefficients have three decimals (1.164, 1.596, 0.391, 0.813, 2.018), the program's are exact to 1/65536:
    # over 239 levels of luma and 128 of chroma that is less than a third, so bytes differ by one at most.
    luma, chroma = np.mgrid[0:256, 0:256].astype(np.uint8)
    for fixed in (0, 90, 128, 201, 255):
        pairs = np.full((128, 256), fixed, np.uint8)
        for offset in (0, 1):
            pairs[:, offset::2] = chroma[0, ::2]
            pairs[:, 1 - offset :: 2] = fixed
            (tmp_path / "frame.nv12").write_bytes(luma.tobytes() + pairs.tobytes())
            done = programs.run(plain, tmp_path, GIVEN, "frame.nv12", 256, 256, frame=True)
            assert done.code == 0, done.error
            expected = cv2.cvtColor(np.concatenate([luma, pairs]), cv2.COLOR_YUV2RGB_NV12).astype(int)
            pixels = done.fed.reshape(256, 256, 4)[:, :, :3].astype(int)
            assert np.abs(pixels - expected).max() <= 1
            assert (pixels == expected).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_of_the_input_are_taken_as_they_are(plain, tmp_path, channels):
    pixels = np.random.default_rng(3).integers(0, 256, (256, 256, channels), dtype=np.uint8)
    (tmp_path / "input.rgb").write_bytes(pixels.tobytes())
    done = programs.run(plain, tmp_path, GIVEN, "input.rgb")
    assert done.code == 0, done.error
    np.testing.assert_array_equal(pixels_of_large(done.fed), pixels[:, :, :3])


def pixels_of_large(fed):
    pixels = fed.reshape(256, 256, 4)
    assert not pixels[:, :, 3].any()
    return pixels[:, :, :3]
