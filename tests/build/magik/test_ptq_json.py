import pytest

from stages.build.magik.ptq_json import ptq_json
from stages.core.config.schema import FakeQuant, FeatureMethod
from tests.build.boards import PICTURE, board_config


def test_the_json_has_every_key_of_the_guide():
    config = board_config(method=FeatureMethod.KL, bits=10, weight_bits=4)
    assert ptq_json(config, PICTURE, 25, ["stem"]) == {
        "format": "RGB",
        "width": 24,
        "height": 16,
        "path": "./calibration",
        "used_image_num": 25,
        "feature_quantize_method": "KL",
        "weight_quantize_method": "MAX_ABS",
        "feature_quantize_bits": 10,
        "weight_quantize_bits": 4,
        "debug": {"open": True, "debug_input_path": "./debug", "debug_output_dir": "./dump_data"},
        "bias_corr": {"weight_corr": False, "feature_corr": False, "vali_dir": "", "corr_dir": ""},
        "weight_fake_quant": False,
        "feature_fake_quant": False,
        "skip_node_quant": ["stem"],
        "skip_op_quant": [],
    }


@pytest.mark.parametrize(("side", "weight", "feature"), [("weight", True, False), ("feature", False, True)])
def test_one_side_only(side, weight, feature):
    config = board_config()
    config.quant.fake_quant = FakeQuant[side]
    ptq = ptq_json(config, PICTURE, 1)
    assert (ptq["weight_fake_quant"], ptq["feature_fake_quant"]) == (weight, feature)
