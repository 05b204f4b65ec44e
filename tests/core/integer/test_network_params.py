import json
from dataclasses import replace

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import (
    ChannelScales,
    Config,
    DataConfig,
    Equalization,
    FeatureMethod,
    Head,
    InputConfig,
    ModelConfig,
    PictureSet,
    QuantConfig,
    SocConfig,
)
from stages.core.integer.network_params import (
    FeatureParams,
    NetworkParams,
    RangeSource,
    WeightParams,
    load_qparams,
    save_qparams,
)

CONFIG = Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8"))
FEATURE = FeatureParams("r1", "stem", 8, float(np.float32(0.1)), 3, -0.3, 25.2, -0.29, 25.0, RangeSource.MAX_ABS)
PER_CHANNEL = WeightParams("w1", "stem", 4, 0, (float(np.float32(1 / 3)), 1e-12), "MAX_ABS")
PER_TENSOR = WeightParams("w2", "fc", 8, None, (0.5,), "MAX_ABS")


def test_parameters_come_back_exactly_and_in_order(tmp_path):
    path = tmp_path / "qparams.json"
    factors = {"r1": (float(np.float32(1 / 3)), 1.0), "c1": (16.0,)}
    params = NetworkParams([FEATURE], [PER_TENSOR, PER_CHANNEL], ["stem", "fc"], factors)
    save_qparams(path, params, CONFIG)
    assert load_qparams(path, CONFIG) == params
    assert list(load_qparams(path, CONFIG).factors) == ["r1", "c1"]


def test_consumers_in_float_come_back_and_are_named_where_there_are_any(tmp_path):
    read = replace(FEATURE, float_consumers=("gate", "mul"))
    path = tmp_path / "qparams.json"
    save_qparams(path, NetworkParams([read, FEATURE], []), CONFIG)
    assert load_qparams(path, CONFIG).features == [read, FEATURE]
    first, second = json.loads(path.read_text())["features"]
    assert first["float_consumers"] == ["gate", "mul"]
    assert "float_consumers" not in second


def test_scales_of_channels_come_back(tmp_path):
    own = replace(FEATURE, channel_scales=(FEATURE.scale, float(np.float32(0.03))))
    save_qparams(tmp_path / "qparams.json", NetworkParams([own, FEATURE], []), CONFIG)
    assert load_qparams(tmp_path / "qparams.json", CONFIG).features == [own, FEATURE]
    np.testing.assert_array_equal(own.scales, np.float32([0.1, 0.03]))
    np.testing.assert_array_equal(FEATURE.scales, np.float32([0.1]))


def test_settings_with_lists_come_back(tmp_path):
    config = replace(CONFIG, quant=QuantConfig("q", skip_nodes=["a", "b"], skip_ops=["Conv"], node_bits="file:a.json"))
    save_qparams(tmp_path / "qparams.json", NetworkParams([], []), config)
    assert load_qparams(tmp_path / "qparams.json", config) == NetworkParams([], [], [])


def test_the_file_holds_plain_named_values(tmp_path):
    path = tmp_path / "qparams.json"
    save_qparams(path, NetworkParams([FEATURE], [PER_TENSOR]), CONFIG)
    content = json.loads(path.read_text())
    assert content["features"][0]["zero_point"] == 3
    assert content["features"][0]["method"] == "MAX_ABS"
    assert content["weights"] == [
        {"tensor": "w2", "node": "fc", "bits": 8, "axis": None, "scales": [0.5], "method": "MAX_ABS"}
    ]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"qparams\.json is missing"):
        load_qparams(tmp_path / "qparams.json", CONFIG)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Config(soc=SocConfig(name="T41"), quant=QuantConfig("int8")), "soc.name=T40, not T41"),
        (Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8", 10)), "quant.feature_bits=8, not 10"),
        (
            Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8", feature_method=FeatureMethod.MSE)),
            "quant.feature_method=MAX_ABS, not MSE",
        ),
        (
            Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8", skip_nodes=["a"])),
            r"quant.skip_nodes=\[\], not \['a'\]",
        ),
        (
            Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8", head=Head.float)),
            "quant.head=quantized, not float",
        ),
        (
            Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8", channel_scales=ChannelScales.always)),
            "quant.channel_scales=never, not always",
        ),
        (
            Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8", node_bits="file:a.json")),
            "quant.node_bits=None, not file:a.json",
        ),
        (
            Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8", equalization=Equalization.cross_layer)),
            "quant.equalization=none, not cross_layer",
        ),
        (
            Config(soc=SocConfig(name="T40"), quant=QuantConfig("int8"), model=ModelConfig(inputs=[InputConfig("x")])),
            "another model.inputs",
        ),
        (
            Config(
                soc=SocConfig(name="T40"), quant=QuantConfig("int8"), data=DataConfig(correction=PictureSet("file:a"))
            ),
            "another data.correction.source",
        ),
    ],
)
def test_parameters_of_other_settings_are_refused(tmp_path, other, said):
    path = tmp_path / "qparams.json"
    save_qparams(path, NetworkParams([FEATURE], []), CONFIG)
    with pytest.raises(UserError, match=f"was made with {said}.*: run `dvc repro`"):
        load_qparams(path, other)


@pytest.mark.parametrize("source", list(RangeSource))
def test_where_a_range_comes_from_is_one_of_four(source, tmp_path):
    kinds = [source.by_method is not None, source.is_given, source.is_shared, source.is_constant]
    assert kinds.count(True) == 1
    assert source.is_chosen == any(kinds[:2])
    save_qparams(tmp_path / "qparams.json", NetworkParams([replace(FEATURE, method=source)], []), CONFIG)
    assert load_qparams(tmp_path / "qparams.json", CONFIG).features[0].method is source


def test_every_feature_method_is_a_source_of_ranges():
    assert [RangeSource(method.name).by_method for method in FeatureMethod] == list(FeatureMethod)
