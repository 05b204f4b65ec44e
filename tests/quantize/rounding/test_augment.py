import numpy as np
import pytest

from stages.quantize.rounding.augment import picture_variants, variants


def picture(height=20, width=30, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_the_first_is_the_picture_the_second_its_mirror_image():
    given = picture()
    first, second = picture_variants(given, 2, 7)
    np.testing.assert_array_equal(first, given)
    np.testing.assert_array_equal(second, given[:, ::-1])


@pytest.mark.parametrize("shape", [(20, 30, 3), (17, 5, 1), (8, 8, 2), (1, 1, 3), (2, 9, 4)])
def test_all_have_the_picture_s_shape(shape):
    given = picture(*shape)
    varied = list(picture_variants(given, 9, 0))
    assert [value.shape for value in varied] == [shape] * 9
    assert all(value.dtype == np.uint8 and value.flags.c_contiguous for value in varied)


def test_the_same_seed_gives_the_same_and_another_gives_others():
    given = picture()
    one, same, other = (list(picture_variants(given, 6, seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not any(np.array_equal(a, b) for a, b in zip(one[2:], other[2:], strict=True))


def test_more_of_them_begin_with_the_same():
    given = picture()
    np.testing.assert_array_equal(list(picture_variants(given, 9, 3))[:4], list(picture_variants(given, 4, 3)))


def test_cut_outs_lie_inside_and_every_second_is_mirrored():
    # a picture whose columns grow from left to right: so do a cut-out's, and less far
    given = np.broadcast_to(np.arange(0, 240, 6, dtype=np.uint8)[np.newaxis, :, np.newaxis], (40, 40, 3)).copy()
    for index, varied in enumerate(picture_variants(given, 12, 1)):
        row = varied[0, :, 0].astype(int)
        steps = np.diff(row if index % 2 == 0 else row[::-1])
        assert (steps >= 0).all()
        assert row.min() >= 0
        assert row.max() <= 234


def test_of_a_sample_the_pictures_vary_and_the_tensors_stay():
    left, right, state = picture(seed=1), picture(seed=2), np.arange(4.0, dtype=np.float32)
    sample = {"left": left, "state": state, "right": right}
    varied = list(variants(sample, ["left", "right"], 4, 7))
    assert [list(each) for each in varied] == [["left", "state", "right"]] * 4
    for name, given in (("left", left), ("right", right)):
        np.testing.assert_array_equal([each[name] for each in varied], list(picture_variants(given, 4, 7)))
    assert all(each["state"] is state for each in varied)


def test_pictures_of_one_size_are_cut_alike():
    left = picture()
    for each in variants({"left": left, "right": 255 - left}, ["left", "right"], 6, 3):
        assert (np.abs(255 - each["left"].astype(int) - each["right"]) <= 1).all()  # resizing rounds


def test_a_sample_without_pictures_is_given_once():
    sample = {"state": np.zeros((1, 3), np.uint8), "image": np.zeros((4, 4, 3), np.float32)}
    (only,) = variants(sample, ["image"], 5, 0)
    assert only == sample
