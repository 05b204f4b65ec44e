from stages.autotune.allocation.node_bits_content import from_content, to_content
from stages.quantize.quantizers.node_bits import NodeBits


def test_the_file_has_the_keys_that_quantize_reads():
    bits = {"a": NodeBits(8, 4), "b": NodeBits(weight_bits=2), "c": NodeBits(10, range=(0.0, 6.0))}
    assert to_content(bits) == {
        "a": {"QUANT_FEATURE_BIT": 8, "QUANT_WEIGHT_BIT": 4},
        "b": {"QUANT_WEIGHT_BIT": 2},
        "c": {"QUANT_FEATURE_BIT": 10, "MIN": 0.0, "MAX": 6.0},
    }
    assert from_content(to_content(bits)) == bits
