import json

import numpy as np
import pytest

from stages.core.errors import UserError
from stages.core.qparams import FeatureParams, QuantParams, WeightParams, load_qparams, save_qparams

FEATURE = FeatureParams("r1", "stem", 8, float(np.float32(0.1)), 3, -0.3, 25.2, -0.29, 25.0, "MAX_ABS")
PER_CHANNEL = WeightParams("w1", "stem", 4, 0, (float(np.float32(1 / 3)), 1e-12), "MAX_ABS")
PER_TENSOR = WeightParams("w2", "fc", 8, None, (0.5,), "MAX_ABS")


def test_parameters_come_back_exactly_and_in_order(tmp_path):
    path = tmp_path / "qparams.json"
    params = QuantParams([FEATURE], [PER_TENSOR, PER_CHANNEL])
    save_qparams(path, params)
    assert load_qparams(path) == params


def test_the_file_holds_plain_named_values(tmp_path):
    path = tmp_path / "qparams.json"
    save_qparams(path, QuantParams([FEATURE], [PER_TENSOR]))
    content = json.loads(path.read_text())
    assert content["features"][0]["zero_point"] == 3
    assert content["weights"] == [
        {"tensor": "w2", "node": "fc", "bits": 8, "axis": None, "scales": [0.5], "method": "MAX_ABS"}
    ]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"qparams\.json is missing"):
        load_qparams(tmp_path / "qparams.json")
