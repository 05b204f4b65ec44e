from dataclasses import replace

import pytest

from stages.build.magik.flat_cfg import flat_cfg
from stages.build.magik.vendor_names import cfg_name
from stages.core.config.schema import FakeQuant, FeatureMethod, WeightMethod
from tests.build.boards import PICTURE, STATE, board_config

BASIC = ["SOC", "INPUT", "INPUT_SHAPE", "MEAN", "NORMAL", "COLOR", "OUTPUT", "QUANT_DATASET_PATH"]
DEBUG = [
    "DEBUG_PATH", "QUANT_FEATURE_BIT", "QUANT_WEIGHT_BIT", "QUANT_FEATURE_METHOD", "QUANT_WEIGHT_METHOD",
    "QUANT_DATASET_SIZE", "QUANT_NODE_SKIP", "QUANT_OP_SKIP", "WEIGHT_CORRECT_PATH", "FEATURE_CORRECT_PATH",
    "WEIGHT_FAKE_QUANT", "FEATURE_FAKE_QUANT", "SAVE_OP_QUANT_BIT", "LOAD_OP_QUANT_BIT", "LOAD_OP_QUANT_MIN_MAX",
]  # fmt: skip


def test_cfg_of_one_input():
    config = board_config(soc="T41", method=FeatureMethod.KL, bits=10, weight_bits=4)
    assert flat_cfg(config, [PICTURE], ["logits"], 25) == {
        "SOC": "T41",
        "INPUT": ["images"],
        "INPUT_SHAPE": [1, 3, 16, 24],
        "MEAN": [127.0, 116.28, 103.53],
        "NORMAL": [128.0, 57.12, 64.0],
        "COLOR": ["RGB"],
        "OUTPUT": ["logits"],
        "QUANT_DATASET_PATH": "./calibration",
        "DEBUG_PATH": "./debug",
        "QUANT_FEATURE_BIT": 10,
        "QUANT_WEIGHT_BIT": 4,
        "QUANT_FEATURE_METHOD": "KL",
        "QUANT_WEIGHT_METHOD": "MAX_ABS",
        "QUANT_DATASET_SIZE": 25,
        "QUANT_NODE_SKIP": [],
        "QUANT_OP_SKIP": [],
        "WEIGHT_CORRECT_PATH": "",
        "FEATURE_CORRECT_PATH": "",
        "WEIGHT_FAKE_QUANT": False,
        "FEATURE_FAKE_QUANT": False,
        "SAVE_OP_QUANT_BIT": False,
        "LOAD_OP_QUANT_BIT": True,
        "LOAD_OP_QUANT_MIN_MAX": True,
    }


def test_cfg_of_two_inputs_nests_lists():
    cfg = flat_cfg(board_config(), [PICTURE, STATE], ["a", "b"], 10)
    assert {key: cfg[key] for key in BASIC[1:7]} == {
        "INPUT": ["images", "state"],
        "INPUT_SHAPE": [[1, 3, 16, 24], [1, 4]],
        "MEAN": [[127.0, 116.28, 103.53], [0.0] * 4],
        "NORMAL": [[128.0, 57.12, 64.0], [1.0] * 4],
        "COLOR": ["RGB", "GRAY"],
        "OUTPUT": ["a", "b"],
    }


def test_keys_are_those_of_the_guide_in_its_order():
    assert list(flat_cfg(board_config(), [PICTURE], ["y"], 1)) == BASIC + DEBUG


@pytest.mark.parametrize(("soc", "name"), [("T40", "magik_t40.cfg"), ("X2500", "magik_x2500.cfg")])
def test_cfg_name(soc, name):
    assert cfg_name(board_config(soc=soc)) == name


@pytest.mark.parametrize(
    ("quant", "expected"),
    [
        ({"fake_quant": FakeQuant.feature}, {"FEATURE_FAKE_QUANT": True, "WEIGHT_FAKE_QUANT": False}),
        ({"fake_quant": FakeQuant.weight}, {"FEATURE_FAKE_QUANT": False, "WEIGHT_FAKE_QUANT": True}),
        ({"weight_bits": 32}, {"FEATURE_FAKE_QUANT": True, "WEIGHT_FAKE_QUANT": False}),
        ({"feature_bits": 32}, {"FEATURE_FAKE_QUANT": False, "WEIGHT_FAKE_QUANT": True}),
        ({"feature_method": FeatureMethod.ADMM}, {"QUANT_FEATURE_METHOD": "ADMM"}),
        ({"feature_method": FeatureMethod.PERCENTILE}, {"QUANT_FEATURE_METHOD": "MAX_ABS"}),
        ({"weight_method": WeightMethod.ADMM}, {"QUANT_WEIGHT_METHOD": "ADMM"}),
    ],
)
def test_settings_in_the_vendors_words(quant, expected):
    config = board_config()
    config.quant = replace(config.quant, **quant)
    cfg = flat_cfg(config, [PICTURE], ["y"], 1)
    assert {key: cfg[key] for key in expected} == expected


def test_nodes_kept_in_float_are_skipped_there_too():
    assert flat_cfg(board_config(), [PICTURE], ["y"], 1, ["a", "b"])["QUANT_NODE_SKIP"] == ["a", "b"]
