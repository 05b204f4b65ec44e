import dataclasses

from stages.compare.render.open_runtime import CONVERTER, open_runtime_sentence
from stages.core.config.schema import OpenRuntime, Requantization, SocConfig
from stages.core.integer.network_params import FeatureParams, NetworkParams, RangeSource, WeightParams

FEATURE = FeatureParams("t", "stem", 8, 0.5, 1, -0.5, 127.0, -0.4, 100.0, RangeSource.MAX_ABS)
WEIGHT = WeightParams("w", "stem", 8, 0, (0.1,), "MAX_ABS")
SOUND = NetworkParams([FEATURE], [WEIGHT])


def sentence(params=SOUND, **soc):
    settings = {"requantization": Requantization.nna_open, "open_runtime": OpenRuntime.pluto} | soc
    return open_runtime_sentence(SocConfig(name="T41", **settings), params)


def test_another_soc_has_none():
    assert sentence(open_runtime=None) == ""


def test_equal_integers():
    check = "out/build/t41/pluto/check.json"
    equal = f"The integers are those of the T41's open compiler too, to the bit, if it takes the network ({check})"
    assert sentence(float_outputs=False) == f"{equal}. {CONVERTER}"
    ends = "only its outputs are float here and of 8 bits there, as with soc.float_outputs=false."
    assert sentence(float_outputs=True) == f"{equal}; {ends} {CONVERTER}"


def test_an_estimate_says_why():
    wide = dataclasses.replace(FEATURE, bits=12)
    scaled = dataclasses.replace(FEATURE, channel_scales=(0.5, 0.25))
    params = NetworkParams([wide, wide, scaled], [WEIGHT], float_nodes=["head"])
    assert sentence(params) == (
        "For the open runtime of the T41 the numbers are an estimate: 2 tensors of other than 8 bits; "
        "1 feature with a scale a channel; 1 node kept in float."
    )
    assert sentence(requantization=Requantization.nna).endswith("an estimate: its rule is not nna.")
