import pytest

from stages.compare.diagnose.curve_findings import curve_findings
from stages.compare.gather.comparison import SOURCES
from stages.core.config.schema import FeatureMethod, QuantConfig, Rounding
from stages.core.integer.network_params import NetworkParams
from tests.compare.diagnose.examples import feature, row, table, weight
from tests.networks import soc_config

PARAMS = NetworkParams([feature()], [weight("n0")])


def find(cosines, alone=None, sides=(0.9, 0.99), params=PARAMS, soc="t40", **quant):
    rows = [row(f"n{index}", value) for index, value in enumerate(cosines)]
    for index, value in (alone or {}).items():
        rows[index]["isolated_cosine"] = value
        rows[index]["isolated_sqnr"] = 40.0 - 40.0 * (1.0 - value)  # 28 dB and 38 dB
    if sides:
        rows[-1] |= {"feature_cosine": sides[0], "weight_cosine": sides[1]}
    else:
        rows = [{key: value for key, value in each.items() if key not in SOURCES} for each in rows]
    return curve_findings(table(rows), params, soc_config(soc), QuantConfig("q", **quant))


def test_a_first_layer_below_099():
    (finding,) = find([0.985, 0.999, 0.999])
    assert (finding.kind, finding.node, finding.cure) == ("first_layer", "n0", None)


def test_at_few_bits_a_low_first_layer_says_nothing():
    assert find([0.985, 0.999, 0.999], params=NetworkParams([feature(bits=4)], [])) == []


def test_it_falls_because_of_a_layer_that_is_poor_alone():
    (finding,) = find([0.999, 0.999, 0.9, 0.9, 0.9, 0.9], alone={3: 0.7, 2: 0.95})
    assert (finding.kind, finding.node, finding.cure) == ("falls", "n3", "quant.skip_nodes=[n3]")
    assert (finding.evidence["from_node"], finding.evidence["from_depth"]) == ("n2", 2)
    assert finding.effect.before == 0.7


def test_the_sentence_says_where_similarity_is_least():
    (finding,) = find([0.999, 0.9, 0.97, 0.85, 0.93], sides=None)
    assert finding.sentence == (
        "similarity is first below 0.98 at n1 (0.9000), least at n3 (0.8500), 0.9300 at the end"
    )
    assert (finding.evidence["least_node"], finding.evidence["least_cosine"]) == ("n3", 0.85)
    (finding,) = find([0.999, 0.8778, 0.8842], sides=None)
    assert finding.sentence == "similarity is first below 0.98 at n1 (0.8778), 0.8842 at the end"


@pytest.mark.parametrize(
    ("sides", "soc", "cure"),
    [
        ((0.9, 0.99), "t40", "quant.feature_bits=10"),
        ((0.99, 0.9), "t40", None),  # 8 bits are the widest weights of a T40
        ((0.9, 0.99), "bm1684x", None),
    ],
)
def test_it_falls_and_no_layer_is_poor_alone(sides, soc, cure):
    best = {"feature_method": FeatureMethod.OUTPUT}
    cosines, done = [0.999, 0.999, 0.9, 0.9, 0.9, 0.9], {"feature_correction": True, "weight_correction": True}
    (finding,) = find(cosines, sides=sides, soc=soc, rounding=Rounding.compensate, **best, **done)
    assert (finding.kind, finding.node, finding.cure) == ("falls", "n2", cure)


def test_a_layer_that_is_poor_alone_among_others_is_not_to_blame():
    """Four of six layers err alike, so that none makes more than a quarter of all errors."""
    alone = dict.fromkeys((2, 3, 4, 5), 0.9)
    (finding,) = find([0.999, 0.999, 0.9, 0.9, 0.9, 0.9], alone=alone)
    assert (finding.node, finding.cure) == ("n2", "quant.feature_method=OUTPUT")


@pytest.mark.parametrize(
    ("sides", "bits", "settings", "cure"),
    [
        ((0.9, 0.99), 8, {"feature_method": FeatureMethod.KL}, "quant.feature_method=OUTPUT"),
        ((0.9, 0.99), 4, {}, "quant.rounding=compensate"),
        ((0.99, 0.9), 4, {}, "quant.rounding=compensate"),
        ((0.9, 0.99), 4, {"rounding": Rounding.compensate, "feature_bits": 4}, "quant.feature_bits=8"),
        ((0.99, 0.9), 4, {"rounding": Rounding.compensate, "weight_bits": 4}, "quant.weight_bits=6"),
    ],
)
def test_the_mildest_step_first(sides, bits, settings, cure):
    params = NetworkParams([feature(bits=bits)], [weight("n0", bits=bits)])
    (finding,) = find([0.999, 0.999, 0.9, 0.9, 0.9, 0.9], sides=sides, params=params, **settings)
    assert finding.cure == cure


def test_only_the_last_layers_fall():
    cosines = [0.999] * 9 + [0.96]
    assert find(cosines)[0].cure == "quant.feature_method=OUTPUT"
    best = {"feature_method": FeatureMethod.OUTPUT}
    assert find(cosines, **best)[0].cure == "quant.feature_correction=true"
    (finding,) = find(cosines, sides=(0.99, 0.9))
    assert (finding.kind, finding.cure) == ("accumulates", "quant.rounding=compensate")
    assert find(cosines, sides=(0.99, 0.9), rounding=Rounding.compensate)[0].cure == "quant.weight_correction=true"
    assert find(cosines, feature_correction=True, **best)[0].cure == "quant.feature_bits=10"


@pytest.mark.parametrize("cosines", [[0.999, 0.999], [0.999, 0.97, 0.99], [0.991, 0.98, 0.98], []])
def test_all_is_fine(cosines):
    assert (find(cosines) if cosines else curve_findings(table([]), PARAMS, soc_config("t40"), QuantConfig("q"))) == []


@pytest.mark.parametrize(
    ("bits", "weight_bits", "said", "cure"),
    [
        (4, 4, "features have 4 bits and weights have 4 bits", "quant.rounding=compensate"),
        (4, 8, "features have 4 bits", "quant.rounding=compensate"),
        (8, 4, "weights have 4 bits", "quant.rounding=compensate"),
        (8, 8, None, "quant.feature_method=OUTPUT"),
    ],
)
def test_few_bits_are_named_without_the_isolated_errors(bits, weight_bits, said, cure):
    params = NetworkParams([feature(bits=bits)] * 3, [weight("n0", bits=weight_bits)] * 3)
    (finding,) = find([0.995, 0.9, 0.5], sides=None, params=params, feature_bits=bits, weight_bits=weight_bits)
    assert finding.sentence.endswith(said or "at the end")
    assert finding.cure == cure


def test_without_the_isolated_errors_the_side_of_few_bits_is_to_blame():
    params = NetworkParams([feature(bits=8)], [weight("n0", bits=4)])
    (finding,) = find([0.995, 0.9, 0.5], sides=None, params=params, weight_bits=4, rounding=Rounding.compensate)
    assert finding.cure == "quant.weight_bits=6"
