import pytest

from stages.compare.diagnose.channel_imbalance import channel_imbalance_findings
from stages.core.config.schema import Equalization, FeatureMethod, QuantConfig, Rounding
from stages.core.integer.network_params import NetworkParams
from tests.compare.diagnose.examples import chain, feature, observed, weight

WIDE = observed((0.0,) * 8, (255.0, *[5.0] * 7))  # of 256 codes the median channel has 5
FEATURE = feature("R0", 0.0, 255.0, seen=(0.0, 255.0), node="r0")


def find(graph=None, feature_params=FEATURE, seen=WIDE, alone=0.9, weights=(), **quant):
    params = NetworkParams([feature_params], list(weights))
    return channel_imbalance_findings(
        graph or chain(), params, {"R0": seen}, {"C1": alone, "C0": alone}, QuantConfig("q", **quant)
    )


def test_one_channel_takes_up_the_range():
    (finding,) = find()
    assert (finding.kind, finding.node, finding.cure) == ("channel_imbalance", "r0", "quant.equalization=cross_layer")
    assert finding.evidence == pytest.approx(
        {"times_the_median": 51.0, "codes_of_the_median": 5.0, "channel": 0.0, "isolated_cosine": 0.9}
    )
    assert finding.effect is None


def test_cures_in_their_order():
    scaled = {"equalization": Equalization.cross_layer}
    assert find(**scaled)[0].cure == "quant.feature_method=OUTPUT"
    (last,) = find(**scaled, feature_method=FeatureMethod.OUTPUT, skip_nodes=["c3"])
    assert last.cure == "quant.skip_nodes=[c3,r0]"


def test_a_clip_with_bounds_cannot_be_scaled():
    assert find(chain(clip=True))[0].cure == "quant.feature_method=OUTPUT"


@pytest.mark.parametrize(
    "seen",
    [
        observed((0.0,) * 8, (255.0, *[40.0] * 7)),  # 40 codes are enough
        observed((0.0,) * 8, (40.0, *[5.5] * 7)),  # 7.3 times the median
        observed((0.0,) * 8, (255.0, 250.0, 240.0, *[0.0] * 5)),  # dead channels are not narrow ones
    ],
)
def test_no_finding(seen):
    assert find(seen=seen) == []


def test_an_imbalance_that_does_no_harm_is_none():
    assert find(alone=0.995) == []


@pytest.mark.parametrize(("coded", "count"), [("other", 1), ("C0", 0)])
def test_weights_that_are_felt_behind_a_fused_activation_only(coded, count):
    """The activation is part of the layer unless there are codes between the two."""
    shared = weight("c0", axis=None, tensor="c0_w", scales=(2.0,))
    params = NetworkParams([feature(coded)], [shared])
    alone = {"C0": 0.995, "R0": 0.9}
    assert len(channel_imbalance_findings(chain(scale_of={0: 100.0}), params, {}, alone, QuantConfig("q"))) == count


def test_weights_before_a_clip_with_bounds_cannot_be_scaled():
    params = NetworkParams([], [weight("c0", axis=None, tensor="c0_w", scales=(2.0,))])
    graph = chain(scale_of={0: 100.0}, clip=True)
    (finding,) = channel_imbalance_findings(graph, params, {}, {"C0": 0.9}, QuantConfig("q"))
    assert finding.cure == "quant.rounding=compensate"
    (finding,) = channel_imbalance_findings(
        graph, params, {}, {"C0": 0.9}, QuantConfig("q", rounding=Rounding.compensate)
    )
    assert finding.cure == "quant.skip_nodes=[c0]"


def test_weights_that_share_a_scale():
    graph = chain(scale_of={0: 100.0})
    shared = weight("c0", axis=None, tensor="c0_w", scales=(2.0,))
    (finding,) = find(graph, feature_params=feature("other"), weights=[shared])
    assert (finding.kind, finding.node, finding.cure) == ("channel_imbalance", "c0", "quant.equalization=cross_layer")
    assert not find(
        graph, feature_params=feature("other"), weights=[weight("c0", axis=0, tensor="c0_w", scales=(2.0,) * 8)]
    )
    assert not find(chain(), feature_params=feature("other"), weights=[shared])
