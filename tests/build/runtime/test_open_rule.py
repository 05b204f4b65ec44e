"""The rule of the T41's open compiler in C++: the networks whose codes that compiler gave, layer by layer."""

import pytest

from stages.core.integer.reference import run_reference
from tests.build.pluto.test_recorded_codes import NETWORKS, compiled, picture
from tests.build.runtime.programs import dumps, expected_dumps, model_file

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_layer_is_the_references(debug, kind):
    model, feeds = compiled(kind)[0], picture()
    actual = dumps(debug, model_file(model), list(feeds.values()))
    for name, expected in expected_dumps(model, run_reference(model, feeds)).items():
        assert actual[name] == expected, name
