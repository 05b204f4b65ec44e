import pytest

from stages.core.config.bit_widths import allowed_bit_widths
from stages.core.config.composition import compose
from stages.core.config.schema import OperatorGroup, SocConfig


def test_allowed_widths_are_those_of_any_operator():
    groups = {
        "a": OperatorGroup(["Conv"], [8, 4], [8]),
        "b": OperatorGroup(["Erf"]),
        "c": OperatorGroup(["Add"], [12, 8]),
    }
    soc = SocConfig(operators=groups)
    assert allowed_bit_widths(soc, "feature_bits") == [4, 8, 12]
    assert allowed_bit_widths(soc, "weight_bits") == [8]
    assert allowed_bit_widths(SocConfig(), "weight_bits") == []


def test_widths_depend_on_the_soc(refused):
    message = refused("soc=bm1684", "quant=a10w8")
    assert message == "quant.feature_bits=10: the bm1684 cannot do 10 bits; it can do 8; 32 stands for float"


@pytest.mark.parametrize("soc", ["t40", "bm1684"])
def test_32_bits_stand_for_float_everywhere(conf, soc):
    config, _ = compose([f"soc={soc}", "quant.feature_bits=32", "quant.weight_bits=32"], conf)
    assert (config.quant.feature_bits, config.quant.weight_bits) == (32, 32)


def test_widths_of_the_pc_are_allowed_where_the_soc_has_them(conf, refused):
    config, _ = compose(["quant.feature_bits=14", "quant.weight_bits=16"], conf)
    assert (config.quant.feature_bits, config.quant.weight_bits) == (14, 16)
    message = refused("soc=bm1684x", "quant.feature_bits=16")
    assert message == "quant.feature_bits=16: the bm1684x cannot do 16 bits; it can do 8; 32 stands for float"


@pytest.mark.parametrize(("soc", "width"), [("t40", 8), ("t40", 12), ("t40", 16), ("bm1684", 8)])
def test_edges_may_have_any_width_of_the_soc(conf, soc, width):
    assert compose([f"soc={soc}", f"quant.edge_bits={width}"], conf)[0].quant.edge_bits == width
