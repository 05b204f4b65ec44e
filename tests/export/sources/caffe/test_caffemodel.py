import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.export.sources.caffe.caffemodel import read_weights
from tests.export.sources.caffe.writing import caffemodel

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3) / 4  # exact in half precision


@pytest.mark.parametrize("old", [False, True], ids=["layer", "layers"])
@pytest.mark.parametrize("form", ["shape", "half", "double"])
def test_arrays_have_their_values_in_every_form(form, old):
    weights = read_weights(caffemodel({"conv": [WEIGHT, WEIGHT[0]], "none": []}, form, old), "net.caffemodel")
    assert list(weights) == ["conv"]
    for found, expected in zip(weights["conv"], (WEIGHT, WEIGHT[0]), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


def test_arrays_of_old_files_have_four_axes():
    weights = read_weights(caffemodel({"fc": [WEIGHT]}, "legacy", old=True), "net.caffemodel")
    np.testing.assert_array_equal(weights["fc"][0], WEIGHT.reshape(1, 1, 2, 3))


@pytest.mark.parametrize(
    "content",
    [b"", b"text that is none", caffemodel({"conv": [WEIGHT]})[:-3], caffemodel({"conv": [WEIGHT]}, "loose")],
    ids=["empty", "text", "cut", "numbers one by one"],
)
def test_a_damaged_file_is_refused(content):
    with pytest.raises(UserError, match=r"^net\.caffemodel is no caffemodel"):
        read_weights(content, "net.caffemodel")


def test_hdf5_is_said():
    with pytest.raises(UserError, match=r"is HDF5: save it as binary protocol buffers"):
        read_weights(b"\x89HDF\r\n", "net.caffemodel")
