import numpy as np
import pytest

from stages.core.integer.dumps import dump_names, dumped_layers, layer_dumps, node_info, packed
from stages.core.integer.quant_params import QuantParams
from tests.core.integer.nets import Net


def test_bytes_lie_as_nhwc():
    values = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    assert list(packed(values, QuantParams(8, 1.0, 0))) == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]
    wide = packed(values.astype(np.uint16) * 256, QuantParams(12, 1.0, 0))
    assert wide == b"".join(bytes([0, value]) for value in [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11])
    assert packed(np.float32([[1]]), None) == bytes([0, 0, 0x80, 0x3F])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 2, 1, 3), [0x41, 0x52, 0x63]), ((1, 3, 1, 2), [0x31, 0x05, 0x42, 0x06]), ((6,), [0x21, 0x43, 0x65])],
)
def test_four_bits_lie_two_a_byte_the_even_channel_below(shape, expected):
    values = np.arange(1, 7, dtype=np.uint8).reshape(shape)
    assert list(packed(values, QuantParams(4, 1.0, 0))) == expected


def test_layers_are_named_after_nodes_inputs_after_their_tensor():
    net, codes = Net(), QuantParams(8, 1.0, 0)
    net.feature("x", [1, 2], codes)
    net.add("Constant", [np.array([1, 2], np.uint8)], codes, "c")
    net.add("Add", ["x", "c"], codes, "/block/sum", multipliers=[1, 1], shift=1)
    net.add("Dequantize", ["/block/sum"], None, "r")
    net.plain("Abs", ["r"], "abs")
    values = net.reference(x=[1, 2])
    model = net.model(values)
    assert dump_names(model) == {"x": "x", "/block/sum": "block_sum", "abs": "abs"}
    codes_of_x, total, magnitude = dumped_layers(model)
    assert (codes_of_x.node, codes_of_x.shape, codes_of_x.inputs) == ("x", (1, 2), ())
    assert (total.node, total.file, total.quant_params, total.inputs) == (
        "/block/sum",
        "block_sum_Quantize.bin",
        codes,
        ("x",),
    )
    assert (magnitude.file, magnitude.quant_params, magnitude.inputs) == ("abs.bin", None, ("/block/sum",))
    listed = node_info([codes_of_x, total, magnitude])["files"]
    assert listed["abs"] == {"file": "abs.bin", "shape": [1, 2], "takes": ["/block/sum"]}
    assert (listed["/block/sum"]["bits"], listed["/block/sum"]["type"]) == (8, "uint8")
    actual = layer_dumps(model, values)
    assert list(actual) == ["x_Quantize.bin", "block_sum_Quantize.bin", "abs.bin"]
    assert actual["block_sum_Quantize.bin"] == bytes([1, 2])
