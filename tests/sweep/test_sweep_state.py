import json

import pytest

from stages.core.base.errors import UserError
from stages.sweep.sweep_state import label, load_results, load_sweep, save_result, save_sweep
from tests.sweep.sweeps import failure, made_up, result


def test_a_sweep_is_read_as_it_was_written(tmp_path):
    sweep = made_up(tmp_path)
    save_sweep(sweep)
    assert load_sweep(tmp_path) == sweep
    assert json.loads((tmp_path / "sweep.json").read_text())["parent"] == "p"


def test_a_missing_sweep_is_said(tmp_path):
    with pytest.raises(UserError, match=r"sweep\.json is missing"):
        load_sweep(tmp_path)


def test_results_come_by_number(tmp_path):
    points = [result(0, "4", "8", 0.5, 0.9, 1), result(2, "8", "8", 0.75, 0.9, 2), failure(10)]
    for point in reversed(points):
        save_result(tmp_path / str(point.number), point)
    assert load_results(tmp_path) == points


@pytest.mark.parametrize(
    ("overrides", "varied", "expected"),
    [
        (("soc=t41", "quant.feature_bits=4"), ("quant.feature_bits",), "a4"),
        (("quant.a=4", "quant.b=8"), ("quant.a", "quant.b"), "a=4 b=8"),
        (("quant.weight_bits=4", "soc=t41"), ("quant.weight_bits", "soc"), "w4 soc=t41"),
        (("soc=t41",), (), "soc=t41"),
        (("data.calibration.source=file:a=b",), ("data.calibration.source",), "source=file:a=b"),
        (("quant.feature_bits=8", "sweep.metric=similarity.cosine_mean"), (), "a8"),
        (("sweep.cost=weight_bytes",), (), "default"),
        ((r"data.debug.source=file\:no\ such\=1",), ("data.debug.source",), "source=file:no such=1"),
        ((), (), "default"),
    ],
)  # fmt: skip
def test_a_point_is_named_by_what_varies(overrides, varied, expected):
    assert label(overrides, varied) == expected


def test_a_setting_is_found_by_its_key():
    assert result(0, "4", "8", 1, 1, 1).setting("quant.weight_bits") == "8"
    assert result(0, "4", "8", 1, 1, 1).setting("soc") == ""
    assert result(0, r"file\:a", "8", 1, 1, 1).setting("quant.feature_bits") == "file:a"
