"""Networks that the onnx package ships with the outputs that are right: opset 6 and 9, IR version 3, and younger."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.core.graph.session import Runner
from stages.export.canonical import canonicalize
from stages.export.cut import find_cut
from stages.export.shapes import fix_shapes
from stages.export.standard_form.standard_form import standard_form

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
OTHER_DOMAINS = {"test_gradient_of_add", "test_gradient_of_add_and_mul"}
FILES = {
    path.parent.name: path.parent
    for path in sorted(DATA.glob("*/*/model.onnx"))
    if path.parent.name not in OTHER_DOMAINS
}


def value(path):
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def feeds_of(model, folder):
    arrays = [value(folder / f"input_{index}.pb") for index in range(len(model.graph.input))]
    return {info.name: array for info, array in zip(model.graph.input, arrays, strict=True)}


@pytest.mark.slow
def test_they_are_exported_and_compute_the_same():
    checked = 0
    for name, folder in FILES.items():
        data = folder / "test_data_set_0"
        source = standard_form(onnx.load(folder / "model.onnx"), name)
        feeds = feeds_of(source, data)
        if any(array.dtype != np.float32 for array in feeds.values()):
            continue  # an input of integers, or of float64 that float32 has no values for
        static = fix_shapes(source, {key: list(array.shape) for key, array in feeds.items()})
        exported = canonicalize(static, find_cut(static, [None], []))
        outputs = Runner(exported).run(feeds)
        for index, found in enumerate(outputs.values()):
            expected = value(data / f"output_{index}.pb")
            assert found.shape == expected.shape, name
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5, err_msg=name)
        checked += 1
    assert checked >= 118


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v2", "densenet121"])
def test_networks_of_opset_9_in_which_every_initializer_is_an_input(name):
    path = DATA / "light" / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this release of onnx does not ship it")
    source = standard_form(onnx.load(path), name)
    static = fix_shapes(source, {})
    exported = canonicalize(static, find_cut(static, [None], []))
    assert exported.opset_import[0].version >= 13
