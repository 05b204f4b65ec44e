from dataclasses import replace

import onnx
import pytest

from stages.build.pluto.refusals import Concern, Effect, Refusal
from stages.core.config.schema import ChannelScales, FeatureMethod, WeightMethod
from stages.scan.routes import CPP, OPEN_T41
from tests.scan.networks import INT8, joined_parts, large_kernels, scan_of, scanned


def routes(scan, soc):
    return {route.name: route for route in scan.socs[soc].routes}


def test_only_the_t41_has_an_open_runtime():
    scan = scan_of("large_kernels", "t40", "t41", "bm1684x")
    assert {soc: list(routes(scan, soc)) for soc in scan.socs} == {
        "t40": [CPP],
        "t41": [CPP, OPEN_T41],
        "bm1684x": [CPP],
    }


def test_a_large_depthwise_kernel_is_refused_by_the_open_runtime_alone():
    of_t41 = routes(scan_of("large_kernels", "t40", "t41", "bm1684x"), "t41")
    assert of_t41[CPP].taken
    (refusal,) = of_t41[OPEN_T41].refusals
    assert (refusal.node, refusal.reason) == ("wide", "depthwise 5x5: the runtime's is 3x3")


def test_what_ranges_decide_is_a_condition(monkeypatch):
    """Whether the scales of a sum tie follows from ranges, which are assumed here; the operators do not."""
    tied = Refusal("sum", "Add", Effect.compile, "no integer sum", "another range", "add.py", Concern.settings)
    unknown = Refusal("odd", "Exp", Effect.compile, "is no operator", "another network", "README.md")
    monkeypatch.setattr("stages.scan.routes.compiled_form", lambda *_: (onnx.ModelProto(), [tied, unknown], []))
    route = routes(scanned(large_kernels(), ("t41",), INT8), "t41")[OPEN_T41]
    assert [each.node for each in route.conditions] == ["sum"]
    assert [each.node for each in route.refusals] == ["odd"]
    assert not route.taken


@pytest.mark.parametrize("method", list(FeatureMethod))
def test_no_method_that_needs_pictures_stops_a_scan(method):
    quant = replace(INT8, feature_method=method, weight_method=WeightMethod.ADMM)
    assert routes(scanned(joined_parts(), ("t41",), quant), "t41")[OPEN_T41].taken


def test_settings_that_the_open_runtime_lacks_are_refused():
    always = replace(INT8, channel_scales=ChannelScales.always)
    refusals = routes(scanned(large_kernels(), ("t41",), always), "t41")[OPEN_T41].refusals
    assert [(each.node, each.reason) for each in refusals] == [
        ("stem_relu", "its output has a scale a channel; the runtime has one")
    ]
    narrow = replace(INT8, weight_bits=4)
    refusals = routes(scanned(large_kernels(), ("t41",), narrow), "t41")[OPEN_T41].refusals
    assert {each.reason for each in refusals} == {"its weight has 4 bits; the runtime has 8"}
    measured = replace(INT8, channel_scales=ChannelScales.measured)
    assert len(routes(scanned(large_kernels(), ("t41",), measured), "t41")[OPEN_T41].refusals) == 1
