import struct

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.export.sources.mxnet.params import read_params
from tests.export.sources.mxnet.writing import params

ARRAYS = {
    "arg:conv_weight": np.arange(6, dtype="<f4").reshape(2, 3) / 4,
    "aux:bn_moving_mean": np.array([1.5, -2.0], "<f2"),
    "double": np.array([[0.25]], "<f8"),
    "arg:shape": np.array([3, -1], "<i4"),
}


@pytest.mark.parametrize("form", ["legacy", "v1", "v2", "v3"])
def test_arrays_of_every_form_and_type(form):
    found = read_params(params(ARRAYS, form), "net.params")
    assert list(found) == ["conv_weight", "bn_moving_mean", "double", "shape"]
    for array, expected in zip(found.values(), ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == (np.float32 if expected.dtype.kind == "f" else expected.dtype)


@pytest.mark.parametrize(
    "content", [b"", params(ARRAYS)[:-3], params(ARRAYS)[:60], struct.pack("<QQQ", 0x112, 0, 10**9)]
)
def test_a_damaged_file_is_refused(content):
    with pytest.raises(UserError, match=r"^net\.params is damaged: copy it again$"):
        read_params(content, "net.params")


def test_another_file_is_refused():
    with pytest.raises(UserError, match=r"^net\.params is no params file of MXNet$"):
        read_params(b"something else, long enough to hold a header", "net.params")


def test_sparse_arrays_and_arrays_without_names_are_refused():
    sparse = params(ARRAYS).replace(struct.pack("<Ii", 0xF993FAC9, 0), struct.pack("<Ii", 0xF993FAC9, 1), 1)
    with pytest.raises(UserError, match="holds sparse arrays"):
        read_params(sparse, "net.params")
    content = params({"a": np.zeros(1, "<f4")})
    with pytest.raises(UserError, match="holds arrays without names"):
        read_params(content[: -(8 + 8 + 1)] + struct.pack("<Q", 0), "net.params")
