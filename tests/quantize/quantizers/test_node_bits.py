import json
from pathlib import Path

import pytest

from stages.core.base.artifacts import read_json
from stages.core.base.errors import UserError
from stages.core.integer.network_params import FeatureParams, NetworkParams, RangeSource, WeightParams
from stages.quantize.__main__ import quantize
from stages.quantize.quantizers.node_bits import NodeBits, load_node_bits, node_bits

KNOWN = ["images", "stem", "stem_relu", "fc"]


@pytest.fixture
def load(tmp_path):
    """Write content to a file and load it."""

    def run(content, ranges=True):
        path = tmp_path / "bits.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return load_node_bits(f"file:{path}", KNOWN, ranges)

    return run


# --- reading


def test_no_file_says_nothing():
    assert load_node_bits(None, KNOWN, True) == {}


def test_widths_and_ranges_are_read(load):
    content = {
        "images": {"QUANT_FEATURE_BIT": 8, "MIN": -1, "MAX": 1.5},
        "stem": {"QUANT_WEIGHT_BIT": 4},
        "stem_relu": {"QUANT_FEATURE_BIT": 32},
        "fc": {},
    }
    assert load(content) == {
        "images": NodeBits(8, None, (-1.0, 1.5)),
        "stem": NodeBits(None, 4, None),
        "stem_relu": NodeBits(32, None, None),
        "fc": NodeBits(),
    }


def test_without_ranges_the_widths_are_read_alone(load):
    content = {"images": {"QUANT_FEATURE_BIT": 8, "MIN": -1, "MAX": 1.5}}
    assert load(content, ranges=False) == {"images": NodeBits(8)}


def test_an_empty_file_of_nodes_says_nothing(load):
    assert load({}) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON: Expecting value"),
        ("{", "is not JSON: "),
        ("[]", 'give one group of keys a node: {"NODE": {"QUANT_FEATURE_BIT": 8}}'),
        ("3", "give one group of keys a node"),
        ({"stemm": {}}, "quant.node_bits: stemm: no such node or input; did you mean 'stem'"),
        ({"zzz": {}}, "quant.node_bits: zzz: no such node or input; known: 'fc', 'images', 'stem', 'stem_relu'"),
        ({"stem": 8}, "quant.node_bits: stem: give keys QUANT_FEATURE_BIT, QUANT_WEIGHT_BIT, MIN, MAX"),
        ({"stem": [8]}, "quant.node_bits: stem: give keys QUANT_FEATURE_BIT, QUANT_WEIGHT_BIT, MIN, MAX"),
        (
            {"stem": {"QUANT_BIT": 8}},
            "quant.node_bits: stem: no such key QUANT_BIT; give QUANT_FEATURE_BIT, QUANT_WEIGHT_BIT, MIN or MAX",
        ),
        ({"stem": {"QUANT_FEATURE_BIT": "8"}}, "stem: QUANT_FEATURE_BIT=8: give a number of bits, or 32 for float"),
        ({"stem": {"QUANT_FEATURE_BIT": 8.5}}, "stem: QUANT_FEATURE_BIT=8.5: give a number of bits"),
        ({"stem": {"QUANT_WEIGHT_BIT": True}}, "stem: QUANT_WEIGHT_BIT=True: give a number of bits"),
        ({"stem": {"MIN": 0}}, "stem: MIN=0: give both, as finite numbers"),
        ({"stem": {"MAX": 1}}, "stem: MAX=1: give both, as finite numbers"),
        ({"stem": {"MIN": "a", "MAX": 1}}, 'stem: MIN="a", MAX=1: give both, as finite numbers'),
        ({"stem": {"MIN": False, "MAX": 1}}, "stem: MIN=false, MAX=1: give both, as finite numbers"),
        ('{"stem": {"MIN": -Infinity, "MAX": 1}}', "stem: MIN=-Infinity, MAX=1: give both, as finite numbers"),
        ('{"stem": {"MIN": NaN, "MAX": 1}}', "stem: MIN=NaN, MAX=1: give both, as finite numbers"),
        ({"stem": {"MIN": None, "MAX": 1}}, "stem: MIN=null, MAX=1: give both, as finite numbers"),
        ({"stem": {"MIN": 1, "MAX": 1}}, "stem: MIN=1, MAX=1: MIN must be below MAX"),
        ({"stem": {"MIN": 2, "MAX": -1}}, "stem: MIN=2, MAX=-1: MIN must be below MAX"),
    ],
)
def test_a_mistake_is_said_in_one_line(load, content, said):
    with pytest.raises(UserError) as caught:
        load(content)
    assert said in str(caught.value)
    assert str(caught.value).startswith("quant.node_bits")
    assert "\n" not in str(caught.value)


def test_a_range_that_is_not_used_is_not_checked(load):
    assert load({"stem": {"MIN": 2, "MAX": -1}}, ranges=False) == {"stem": NodeBits()}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.json") as caught:
        load_node_bits(f"file:{tmp_path}/nowhere.json", KNOWN, True)
    assert "\n" not in str(caught.value)


def test_a_folder_of_files_is_refused(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match="a folder or pattern of 2 files; give one file"):
        load_node_bits(f"file:{tmp_path}", KNOWN, True)


# --- writing


def test_written_golden():
    features = [
        FeatureParams("k", "k", 8, 0.5, 0, 0.0, 127.5, 0.0, 120.0, RangeSource.constant),
        FeatureParams("images", "images", 8, 0.5, 2, -1.0, 126.5, -0.9, 120.0, RangeSource.MAX_ABS),
        FeatureParams("r1", "/layer/Relu", 10, 0.25, 0, 0.0, 255.75, 0.0, 250.0, RangeSource.KL),
        FeatureParams("p1", "/layer/Pool", 10, 0.25, 0, 0.0, 255.75, 0.0, 250.0, RangeSource.shared),
        FeatureParams("s", "/layer/Add", 4, 1.0, 0, 0.0, 15.0, 0.0, 9.0, RangeSource.node_bits),
    ]
    weights = [WeightParams("w1", "/layer/Conv", 8, 0, (1.0,), "MSE"), WeightParams("w2", "fc", 4, 0, (1.0,), "MSE")]
    assert node_bits(NetworkParams(features, weights), 8, symmetric=False, by_node={}) == {
        "images": {"QUANT_FEATURE_BIT": 8, "MIN": -1.0, "MAX": 126.5},
        "/layer/Relu": {"QUANT_FEATURE_BIT": 10, "MIN": 0.0, "MAX": 255.75},
        "/layer/Add": {"QUANT_FEATURE_BIT": 4, "MIN": 0.0, "MAX": 15.0},
        "fc": {"QUANT_WEIGHT_BIT": 4},
    }


@pytest.mark.parametrize(
    ("symmetric", "seen", "written"),
    [
        (False, (-0.25, 20.0), (-0.25, 20.0)),  # scales of 0.5 from zero point 80 reach from -40 to 87.5
        (False, (1.0, 20.0), (0.0, 20.0)),
        (False, (-50.0, 99.0), (-40.0, 87.5)),  # a method has clipped it
        (False, (0.0, 0.0), (-40.0, 87.5)),
        (True, (-0.25, 20.0), (-87.5, 87.5)),
    ],
)
def test_scales_of_channels_are_written_as_the_range_of_a_single_one(symmetric, seen, written):
    entry = FeatureParams("a", "/act/Mul", 8, 0.5, 80, -40.0, 87.5, *seen, RangeSource.MAX_ABS, (0.5, 0.01))
    actual = node_bits(NetworkParams([entry], []), 8, symmetric, {})
    assert actual == {"/act/Mul": {"QUANT_FEATURE_BIT": 8, "MIN": written[0], "MAX": written[1]}}


def test_a_node_of_its_own_weights_is_written_once():
    features = [FeatureParams("c", "conv", 8, 0.5, 0, 0.0, 127.5, 0.0, 120.0, RangeSource.MAX_ABS)]
    weights = [WeightParams("w", "conv", 4, 0, (1.0,), "MAX_ABS")]
    assert node_bits(NetworkParams(features, weights), 8, symmetric=False, by_node={}) == {
        "conv": {"QUANT_FEATURE_BIT": 8, "MIN": 0.0, "MAX": 127.5, "QUANT_WEIGHT_BIT": 4}
    }


# --- there and back


def networks():
    return {name: Path(f"out/quantize/{name}.onnx").read_bytes() for name in ("integer", "quantized")}


@pytest.mark.parametrize("changes", [{}, {"feature_bits": 10, "weight_bits": 4}, {"feature_method": "KL"}])
def test_the_written_file_gives_the_same_network_again(quantized, changes):
    for key, value in changes.items():
        kind = type(getattr(quantized.quant, key))
        setattr(quantized.quant, key, kind[value] if isinstance(value, str) else value)
    quantize(quantized)
    first = networks()
    Path("out/quantize/magik_node_quant_bit_info.json").rename("mine.json")
    quantized.quant.node_bits = "file:mine.json"
    if "feature_method" in changes:  # the file's ranges are taken, not the method's
        quantized.quant.feature_method = type(quantized.quant.feature_method).MAX_ABS
    quantize(quantized)
    assert networks() == first


def test_the_written_file_of_mixed_widths_gives_the_same_network_again(quantized):
    content = {
        "stem": {"QUANT_FEATURE_BIT": 12, "QUANT_WEIGHT_BIT": 4},
        "residual": {"QUANT_FEATURE_BIT": 10, "MIN": -3.0, "MAX": 4.0},
        "fc": {"QUANT_WEIGHT_BIT": 2},
    }
    Path("mine.json").write_text(json.dumps(content))
    quantized.quant.node_bits = "file:mine.json"
    quantize(quantized)
    first = networks()
    written = read_json(Path("out/quantize/magik_node_quant_bit_info.json"))
    assert written["stem_relu"]["QUANT_FEATURE_BIT"] == 12
    assert (written["stem"], written["fc"]) == ({"QUANT_WEIGHT_BIT": 4}, {"QUANT_WEIGHT_BIT": 2})
    assert written["residual"]["MIN"] == pytest.approx(-3.0, abs=0.01)
    Path("out/quantize/magik_node_quant_bit_info.json").rename("again.json")
    quantized.quant.node_bits = "file:again.json"
    quantize(quantized)
    assert networks() == first


@pytest.mark.parametrize("ranges", [True, False])
def test_ranges_are_taken_if_wanted(quantized, ranges):
    content = {"stem_relu": {"QUANT_FEATURE_BIT": 10, "MIN": 0.0, "MAX": 10.23}}
    Path("mine.json").write_text(json.dumps(content))
    quantized.quant.node_bits, quantized.quant.node_ranges = "file:mine.json", ranges
    quantize(quantized)
    (entry,) = [e for e in read_json(Path("out/quantize/qparams.json"))["features"] if e["node"] == "stem_relu"]
    assert entry["bits"] == 10
    if ranges:
        assert entry["scale"] == pytest.approx(0.01)
        assert entry["method"] == "node_bits"
    else:
        assert entry["high"] == pytest.approx(entry["seen_high"], abs=entry["scale"])
        assert entry["method"] == "MAX_ABS"


def test_a_layer_of_the_file_may_be_ignored(quantized):
    """By any of its nodes: the file names the convolution and its Relu."""
    content = {"stem": {"QUANT_WEIGHT_BIT": 4}, "stem_relu": {"QUANT_FEATURE_BIT": 10}, "fc": {"QUANT_WEIGHT_BIT": 2}}
    Path("mine.json").write_text(json.dumps(content))
    quantized.quant.node_bits, quantized.quant.node_bits_ignore = "file:mine.json", ["stem_relu"]
    quantize(quantized)
    params = read_json(Path("out/quantize/qparams.json"))
    assert {each["node"]: each["bits"] for each in params["weights"] if each["node"] in ("stem", "fc")} == {
        "stem": 8,
        "fc": 2,
    }
    assert {each["bits"] for each in params["features"]} == {8}
    quantized.quant.node_bits = None
    quantize(quantized)  # without a file there is nothing to ignore


def test_a_layer_that_the_file_does_not_name_cannot_be_ignored(quantized):
    Path("mine.json").write_text('{"stem": {"QUANT_WEIGHT_BIT": 4}}')
    quantized.quant.node_bits, quantized.quant.node_bits_ignore = "file:mine.json", ["stm"]
    with pytest.raises(UserError, match=r"node_bits_ignore: stm: .* no entry .*'stem'"):
        quantize(quantized)


def test_a_name_that_the_network_lacks_stops_the_stage(quantized):
    Path("mine.json").write_text('{"stem_rel": {}}')
    quantized.quant.node_bits = "file:mine.json"
    with pytest.raises(UserError, match="stem_rel: no such node or input; did you mean 'stem_relu'"):
        quantize(quantized)
