import json
from pathlib import Path

import pytest

from stages.compare.diagnose.loss_by_depth import loss_by_depth
from stages.compare.gather.networks import load_networks
from stages.compare.gather.picture_sets import DebugPictures
from stages.core.config.schema import PreprocessConfig
from stages.core.data.sample_files import select
from stages.quantize.__main__ import quantize


def losses(config):
    quantize(config)
    config.compare.isolated = False
    networks = load_networks(config)
    files = select(config.data.debug, networks.inputs, "data.debug")
    return loss_by_depth(networks, DebugPictures(files, networks.inputs, PreprocessConfig(), {}))


def test_the_layer_of_few_bits_costs_most(calibrated):
    """The clip of 4 bits ends a fused layer: the network cannot be taken apart inside it."""
    calibrated.quant.node_bits = "file:bits.json"
    Path("bits.json").write_text(json.dumps({"depthwise_relu6": {"QUANT_FEATURE_BIT": 4}}), encoding="utf-8")
    first, *others = losses(calibrated).stretches
    assert first.nodes == ["depthwise_relu6"]
    assert first.share > 0.5
    assert {name for loss in others for name in loss.nodes} >= {"stem_relu", "project", "residual", "fc"}


def test_a_front_makes_most_of_the_loss(calibrated):
    Path("bits.json").write_text(json.dumps({"stem_relu": {"QUANT_FEATURE_BIT": 4}}), encoding="utf-8")
    calibrated.quant.node_bits = "file:bits.json"
    assert losses(calibrated).front == ["stem_relu"]


def test_the_stretches_make_up_the_whole_loss(calibrated):
    found = losses(calibrated).stretches
    assert sum(loss.share for loss in found) == pytest.approx(1.0)
    assert all(loss.before == 0.0 for loss in found if "stem_relu" in loss.nodes)


def test_what_runs_in_float_costs_nothing(calibrated):
    calibrated.quant.feature_bits = calibrated.quant.weight_bits = 32
    assert all(loss.after < 1e-9 for loss in losses(calibrated).stretches)
