"""The networks of the benchmark are what docs/pluto.md says of them: taken, or refused for the change alone."""

from pathlib import Path

import pytest

from benchmarks.pluto import quantized
from benchmarks.pluto.networks import NETWORKS, Net, pictures_for
from stages.build.pluto.compatibility import find_refusals

pytestmark = pytest.mark.slow
CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_taken(name, monkeypatch):
    monkeypatch.setattr(quantized, "CONF", CONF)
    write, settings = NETWORKS[name]
    net = Net(**settings)
    assert find_refusals(quantized.quantized_network(write(net), pictures_for(net, 2)).form) == []
