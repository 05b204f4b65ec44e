"""The C++ runtime gives the codes that TPU-MLIR computed: the golden ones of tests/quantize/emit/tpu_mlir."""

import pytest

from stages.core.integer.reference import run_reference
from tests.build.runtime.programs import dumps, expected_dumps, model_file
from tests.quantize.emit.tpu_mlir.golden import case_network, feeds_of
from tests.quantize.emit.tpu_mlir.test_golden import RECORDED

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("chip", "name"), RECORDED)
def test_every_layer_has_the_references_bytes(chip, name, debug):
    model = case_network(name, chip).integer
    content = model_file(model)
    for feeds in feeds_of(name):
        actual = dumps(debug, content, [feeds[info.name] for info in model.graph.input])
        for dump, expected in expected_dumps(model, run_reference(model, feeds)).items():
            assert actual[dump] == expected, dump
