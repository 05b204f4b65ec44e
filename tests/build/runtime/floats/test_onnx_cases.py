"""Operators in float: the ONNX package's own tests in the runtime, and the same bytes on the PC."""

import numpy as np
import pytest

from stages.build.runtime.translate import FLOAT_TRANSLATORS
from stages.build.runtime.translate.moves import MOVING_OPERATORS
from stages.build.runtime.translate.pools import MAX_POOLS
from stages.core.graph.session import Runner
from stages.core.integer.dumps import nhwc
from stages.core.integer.float_forms import RULES
from stages.infer.precise import precise
from tests.build.runtime.floats.onnx_cases import ROUNDED, cases, networks
from tests.build.runtime.programs import dumps, model_file

FOLDED = {"Constant", "ConstantOfShape", "Range", "Shape", "Size"}
KINDS = sorted((FLOAT_TRANSLATORS.keys() | MOVING_OPERATORS | MAX_POOLS | RULES.keys() | FOLDED) - {"SpaceToDepth"})
WITHOUT_CASES = {"Cast", "GlobalLpPool"}
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::RuntimeWarning")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_runtime_gives_what_onnx_says_and_the_pc_the_same_bytes(debug, kind):
    for network in networks(kind):
        feeds = list(network.feeds.values())
        board = dumps(debug, model_file(network.model), feeds)
        pc = Runner(precise(network.model), optimize="safe").run(network.feeds)
        for index, (name, expected) in enumerate(network.expected.items()):
            lying = np.ascontiguousarray(nhwc(expected))
            content = board[f"output_{index}.bin"]
            values = np.frombuffer(content, expected.dtype)
            tolerance = {"rtol": 0, "atol": 1e-4} if ROUNDED in name else TOLERANCE
            np.testing.assert_allclose(values, lying.ravel(), err_msg=name, **tolerance)
            if expected.dtype == np.float64:
                np.testing.assert_allclose(values, nhwc(pc[name]).ravel(), rtol=1e-13, err_msg=name)
            else:
                assert content == np.ascontiguousarray(nhwc(pc[name])).tobytes(), name


def test_every_operator_has_a_case():
    missing = {kind for kind in KINDS if kind not in cases()}
    assert missing == WITHOUT_CASES, missing
