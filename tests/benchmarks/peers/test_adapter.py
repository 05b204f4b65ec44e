from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.adapter import Feeder, Pictures, input_name
from benchmarks.peers.toolkit_settings import PEERS
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from tests.networks import tiny_classifier

INPUT = NetworkInput("x", (1, 3, 1, 2), (1.0, 2.0, 3.0), (2.0, 2.0, 4.0), Color.RGB)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    np.save(tmp_path / "samples.npy", np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3))
    return Pictures(tmp_path / "samples.npy", INPUT)


def test_pictures_are_what_the_network_takes(pictures: Pictures) -> None:
    # the first picture's pixels are (0, 1, 2) and (3, 4, 5): minus (1, 2, 3), over (2, 2, 4)
    expected = [[[[-0.5, 1.0]], [[-0.5, 1.0]], [[-0.25, 0.5]]]]
    assert len(pictures) == 2
    assert pictures[0].dtype == np.float32
    np.testing.assert_array_equal(pictures[0], expected)
    np.testing.assert_array_equal(pictures[0:2][1], pictures[1])
    assert len(list(pictures)) == 2


def test_a_feeder_begins_again(pictures: Pictures) -> None:
    feeder = Feeder(pictures, "x")
    for begin_again in (feeder.rewind, feeder.reset_iter):
        fed = [feeder.get_next() for _ in range(3)]
        assert [None if feeds is None else list(feeds) for feeds in fed] == [["x"], ["x"], None]
        begin_again()
    assert len(feeder) == 2


def test_input_name() -> None:
    assert input_name(tiny_classifier()) == "images"


def test_no_two_settings_share_a_row_and_none_has_a_comma() -> None:
    rows = [(peer.name, peer.weight_bits, peer.feature_bits) for peer in PEERS]
    assert len(set(rows)) == len(rows)
    assert not any("," in peer.name for peer in PEERS)
