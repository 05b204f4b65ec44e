import pytest

from stages.compare.diagnose.bit_width_findings import bit_width_findings, first_and_last
from stages.core.config.schema import QuantConfig
from stages.core.integer.network_params import NetworkParams
from tests.compare.diagnose.examples import chain, row, table, weight

NODES = [name for index in range(4) for name in (f"c{index}", f"r{index}")]


def find(bits, decibels, cosine=0.9, alone=0.985, **quant):
    """Weights of c0 .. c3 with these bits; rows with 40 dB but for those given."""
    rows = [row(name, alone=alone, decibels=decibels.get(name, 40.0)) for name in NODES]
    params = NetworkParams([], [weight(f"c{index}", each) for index, each in enumerate(bits)])
    return bit_width_findings(chain(), params, table(rows, {"cosine_avg": cosine}), QuantConfig("q", **quant))


def test_a_narrow_layer_that_dominates():
    (finding,) = find([8, 8, 2, 8], {"c2": 10.0})
    assert (finding.kind, finding.node, finding.cure) == ("bit_width", "c2", "quant.skip_nodes=[c2]")
    assert finding.evidence["share_of_errors"] == pytest.approx(0.1 / (0.1 + 7 * 0.0001))
    assert (finding.evidence["bits"], finding.evidence["usual_bits"]) == (2, 8)
    assert finding.evidence["isolated_cosine"] == 0.985


def test_bit_widths_from_a_file_name_its_key():
    (finding,) = find([8, 8, 2, 8], {"c2": 10.0}, node_bits="file:bits.json")
    assert finding.cure == "quant.node_bits_ignore=[c2]"
    assert finding.sentence.endswith(
        "That is the bit width of file:bits.json; ignore it for this layer, or raise QUANT_WEIGHT_BIT there"
    )
    (again,) = find([8, 8, 2, 8], {"c2": 10.0}, node_bits="file:bits.json", node_bits_ignore=["c1"])
    assert again.cure == "quant.node_bits_ignore=[c1,c2]"


def test_a_bit_width_that_no_file_explains_goes_to_float():
    """Nothing is wider there on the SOC, or the file is ignored already."""
    (finding,) = find([8, 8, 2, 8], {"c2": 10.0}, node_bits="file:bits.json", node_bits_ignore=["c2"])
    assert finding.cure == "quant.skip_nodes=[c2]"
    assert (
        find([8, 8, 2, 8], {"c2": 10.0}, node_bits="file:bits.json", weight_bits=2)[0].cure == "quant.skip_nodes=[c2]"
    )


@pytest.mark.parametrize("node", ["c0", "c3"])
def test_first_and_last_layers_get_8_bits(node):
    (finding,) = find([4, 4, 4, 4], {node: 10.0}, weight_bits=4)
    assert (finding.node, finding.cure) == (node, "quant.edge_bits=8")


@pytest.mark.parametrize(
    ("bits", "decibels", "cosine"),
    [
        ([8, 8, 8, 8], {"c2": 10.0}, 0.9),  # no narrower than the others
        ([8, 8, 2, 8], {"c2": 10.0}, 0.995),  # the output does not suffer
        ([8, 8, 4, 8], {"c2": 31.0}, 0.9),  # its error cannot be what hurts
        ([8, 8, 2, 8], {"c2": 12.0, "c1": 5.0}, 0.9),  # others make more
        ([4, 4, 4, 4], {}, 0.9),
    ],
)
def test_no_finding(bits, decibels, cosine):
    assert find(bits, decibels, cosine) == []


def test_without_isolated_errors_nothing_is_said():
    rows = [{"node": "c0", "cosine_avg": 0.5}]
    assert bit_width_findings(chain(), NetworkParams([], [weight("c0", 2)]), table(rows), QuantConfig("q")) == []


def test_first_and_last_layers_of_a_graph():
    assert first_and_last(chain()) == {"c0", "c3"}
    assert first_and_last(chain(1)) == {"c0"}


def test_a_layer_that_is_poor_alone_counts_whatever_the_output_is():
    assert [finding.node for finding in find([8, 8, 2, 8], {"c2": 10.0}, 0.998, alone=0.95)] == ["c2"]
