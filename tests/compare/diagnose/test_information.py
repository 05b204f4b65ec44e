import pytest

from stages.compare.diagnose.information import dead_channels, float_layers, unchecked_input
from stages.core.integer.network_params import NetworkParams, RangeSource
from tests.compare.diagnose.examples import chain, feature, observed


@pytest.mark.parametrize(
    ("one_picture", "norms", "why"),
    [
        (True, 0, "the network has no batch norms that export could note, and there are no labels (or too few)"),
        (True, 4, "there are too few calibration pictures to go by its batch norms, and no labels (or too few)"),
        (False, 4, "that takes a network whose only input is a picture"),
    ],
)
def test_why_the_input_was_not_checked(one_picture, norms, why):
    finding = unchecked_input(one_picture, norms)
    assert finding.sentence == f"input (colour order, mean, normal) not checked: {why}"


def test_layers_in_float_that_nobody_asked_for():
    params = NetworkParams([feature()], [], float_nodes=["c1"])
    (finding,) = float_layers(chain(2), {"C0", "R0"}, params, "T40")
    assert (finding.sentence, finding.evidence["nodes"]) == ("1 of 4 nodes run in float on T40: r1", 1)
    assert float_layers(chain(2), {"C0", "R0", "R1"}, params, "T40") == []
    assert float_layers(chain(2), set(), NetworkParams([], []), "T40") == []


def test_channels_that_are_always_0():
    params = NetworkParams([feature("a"), feature("b"), feature("c", method=RangeSource.shared)], [])
    seen = {
        "a": observed((0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
        "b": observed((0.0, 0.0), (0.0, 0.0)),
        "c": observed((0.0, 0.0), (0.0, 0.0)),
    }
    (finding,) = dead_channels(params, seen)
    assert finding.evidence == {"dead": 3, "channels": 5, "most": "b_node", "most_dead": 2}
    assert dead_channels(NetworkParams([feature("a")], []), {"a": observed((0.0, -1.0), (1.0, 0.0))}) == []
