import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.config.schema import Anchor, Color, Fit, Interpolation, PreprocessConfig
from stages.core.data.inputs import NetworkInput
from stages.core.data.preprocess import decode, fit, read_picture, to_color


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def file_of(content, name="a.png"):
    return SourceFile(name, lambda: content)


def encoded(picture, suffix):
    return cv2.imencode(suffix, picture)[1].tobytes()


# --- size


def test_stretch_of_a_picture_that_fits_changes_nothing():
    sample, content = fit(noise(4, 6), 4, 6, PreprocessConfig(fit=Fit.stretch))
    np.testing.assert_array_equal(sample, noise(4, 6))
    np.testing.assert_array_equal(content, noise(4, 6))


def test_stretch_scales_each_side_alone():
    config = PreprocessConfig(fit=Fit.stretch, interpolation=Interpolation.nearest)
    sample, content = fit(noise(3, 4), 6, 12, config)
    expected = noise(3, 4).repeat(2, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(sample, expected)
    np.testing.assert_array_equal(content, expected)


def test_area_interpolation_averages_blocks():
    picture = noise(6, 6) // 4 * 4
    config = PreprocessConfig(fit=Fit.stretch, interpolation=Interpolation.area)
    means = picture.reshape(3, 2, 3, 2, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(fit(picture, 3, 3, config)[0], means)


@pytest.mark.parametrize("interpolation", Interpolation)
def test_every_interpolation_keeps_an_even_colour(interpolation):
    config = PreprocessConfig(fit=Fit.stretch, interpolation=interpolation)
    picture = np.full((5, 9, 3), (10, 20, 30), dtype=np.uint8)
    assert np.unique(fit(picture, 7, 4, config)[0].reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]


@pytest.mark.parametrize(
    ("height", "width", "anchor", "top", "left"),
    [
        (4, 8, Anchor.center, 2, 0),
        (5, 8, Anchor.center, 1, 0),
        (8, 4, Anchor.center, 0, 2),
        (8, 3, Anchor.center, 0, 2),
        (4, 8, Anchor.top_left, 0, 0),
        (8, 4, Anchor.top_left, 0, 0),
        (8, 8, Anchor.center, 0, 0),
    ],
)
def test_letterbox_pads_what_the_picture_leaves(height, width, anchor, top, left):
    picture = noise(height, width)
    sample, content = fit(picture, 8, 8, PreprocessConfig(fit=Fit.letterbox, pad=7, anchor=anchor))
    expected = np.full((8, 8, 3), 7, dtype=np.uint8)
    expected[top : top + height, left : left + width] = picture
    np.testing.assert_array_equal(sample, expected)
    np.testing.assert_array_equal(content, picture)


def test_letterbox_keeps_the_aspect_ratio():
    config = PreprocessConfig(fit=Fit.letterbox, interpolation=Interpolation.nearest, pad=0)
    sample, content = fit(noise(2, 4), 8, 8, config)
    doubled = noise(2, 4).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(content, doubled)
    np.testing.assert_array_equal(sample[2:6], doubled)
    assert not sample[:2].any()
    assert not sample[6:].any()


@pytest.mark.parametrize(("side", "target"), [(640, 320), (49, 16), (720, 416)])
def test_letterbox_of_a_square_into_a_square_leaves_no_border(side, target):
    _, content = fit(noise(side, side), target, target, PreprocessConfig(fit=Fit.letterbox))
    assert content.shape == (target, target, 3)


@pytest.mark.parametrize(
    ("picture", "shorter_side", "size", "top", "left"),
    [
        ((8, 12), 8, (4, 4), 2, 4),
        ((12, 8), 8, (4, 4), 4, 2),
        ((4, 10), 0, (4, 4), 0, 3),
        ((4, 11), 0, (4, 4), 0, 3),
        ((8, 16), 0, (4, 8), 2, 4),
        ((8, 8), 4, (8, 8), 0, 0),
    ],
)
def test_crop_cuts_the_centre(picture, shorter_side, size, top, left):
    config = PreprocessConfig(fit=Fit.crop, shorter_side=shorter_side)
    sample, content = fit(noise(*picture), *size, config)
    expected = noise(*picture)[top : top + size[0], left : left + size[1]]
    np.testing.assert_array_equal(sample, expected)
    np.testing.assert_array_equal(content, expected)


def test_crop_scales_the_shorter_side_first():
    config = PreprocessConfig(fit=Fit.crop, shorter_side=8, interpolation=Interpolation.nearest)
    doubled = noise(4, 6).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(fit(noise(4, 6), 6, 6, config)[0], doubled[1:7, 3:9])


sizes = st.integers(1, 40)


@settings(deadline=None)
@given(sizes, sizes, sizes, sizes, st.sampled_from(Fit), st.integers(0, 50), st.sampled_from(Anchor))
def test_any_picture_gets_the_inputs_size(h, w, height, width, how, shorter_side, anchor):
    config = PreprocessConfig(fit=how, shorter_side=shorter_side, pad=7, anchor=anchor)
    sample, content = fit(np.full((h, w, 3), 200, np.uint8), height, width, config)
    assert sample.shape == (height, width, 3)
    assert content.shape[0] <= height
    assert content.shape[1] <= width
    assert (content == 200).all()
    assert (sample == 200).sum() == content.size
    assert (sample == 7).sum() == sample.size - content.size


# --- colour


@pytest.mark.parametrize(
    ("color", "pixel"),
    [(Color.BGR, [10, 20, 30]), (Color.RGB, [30, 20, 10]), (Color.GRAY, [22])],  # 1.14 + 11.74 + 8.97 = 21.85
)
def test_a_pixel_in_the_inputs_colour(color, pixel):
    found = to_color(np.full((2, 3, 3), (10, 20, 30), dtype=np.uint8), color)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.broadcast_to(np.array(pixel), (2, 3, len(pixel))))


# --- decoding


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm"])
def test_a_picture_is_decoded_to_blue_green_red(suffix):
    np.testing.assert_array_equal(decode(file_of(encoded(noise(5, 7), suffix)), "data"), noise(5, 7))


def test_a_grey_picture_gets_three_equal_channels():
    grey = noise(5, 7)[:, :, 0]
    found = decode(file_of(encoded(grey, ".png")), "data")
    np.testing.assert_array_equal(found, np.stack([grey] * 3, axis=2))


def huge_png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no picture", id="text"),
        pytest.param(encoded(noise(64, 64), ".jpg")[:2000], id="half a JPEG"),
        pytest.param(encoded(noise(64, 64), ".jpg")[:-2], id="JPEG without its end"),
        pytest.param(encoded(noise(64, 64), ".png")[:2000], id="half a PNG"),
        pytest.param(huge_png(), id="absurd size"),
    ],
)
def test_a_broken_picture_is_named_and_nothing_else_is_said(capfd, content):
    with pytest.raises(UserError) as caught:
        decode(file_of(content, "sub/bad.jpg"), "data.calibration")
    assert str(caught.value).startswith("data.calibration: sub/bad.jpg cannot be read as a picture")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_standard_error_works_again_after_a_broken_picture(capfd):
    with pytest.raises(UserError):
        decode(file_of(b""), "data")
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


# --- a picture as the input sees it


def test_a_picture_is_read_in_the_inputs_size_and_colour():
    entry = NetworkInput("x", (1, 1, 8, 12), (0.0,), (1.0,), Color.GRAY)
    original = noise(8, 8)
    config = PreprocessConfig(fit=Fit.letterbox, pad=9)
    picture = read_picture(file_of(encoded(original, ".png")), entry, config, "data.calibration")
    assert picture.sample.shape == (8, 12, 1)
    assert (picture.sample[:, :2] == 9).all()
    assert (picture.sample[:, 10:] == 9).all()
    np.testing.assert_array_equal(picture.sample[:, 2:10, 0], cv2.cvtColor(original, cv2.COLOR_BGR2GRAY))
    np.testing.assert_array_equal(picture.content, original)


def test_a_shorter_side_below_the_cut_is_refused():
    config = PreprocessConfig(Fit.crop, shorter_side=100)
    entry = NetworkInput("x", (1, 3, 224, 224), (0.0,) * 3, (1.0,) * 3, Color.RGB)
    with pytest.raises(UserError, match=r"model\.preprocess\.shorter_side=100: the input needs 224 or more"):
        read_picture(file_of(b""), entry, config, "data.debug")


def test_a_link_to_nowhere_is_named(tmp_path):
    file = SourceFile("gone.png", (tmp_path / "gone.png").read_bytes)
    with pytest.raises(UserError, match=r"data\.debug: gone\.png cannot be read: .*No such file"):
        decode(file, "data.debug")
