import onnx
import pytest

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile
from stages.core.data.model_files import with_format
from stages.export.sources.onnx_file import read_onnx
from tests.networks import tiny_classifier


def test_a_network_is_read_as_it_is():
    model = tiny_classifier()
    assert read_onnx(with_format([SourceFile("net.onnx", model.SerializeToString)])).model == model


@pytest.mark.parametrize("content", [b"", b"text"])
def test_a_file_that_is_no_network_is_named(content):
    with pytest.raises(UserError, match=r"net\.onnx is not an ONNX file"):
        read_onnx(with_format([SourceFile("net.onnx", lambda: content)]))


def test_weights_in_other_files_are_refused_by_name(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(tiny_classifier(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(UserError, match=r"net\.onnx keeps weights in other files \(weights\.bin\), which the cache"):
        read_onnx(with_format([SourceFile("net.onnx", path.read_bytes)]))
