from contextlib import nullcontext
from dataclasses import replace

import pytest
import yaml

from stages.core.base.errors import UserError
from stages.core.config.composition import compose
from stages.core.config.schema import (
    ChannelScales,
    Color,
    FakeQuant,
    FeatureMethod,
    Fit,
    Head,
    OperatorBitWidths,
    PictureSet,
    Rounding,
)
from stages.core.config.settings import allowed_bit_widths, check, check_files, load_params
from tests.conftest import project_overrides
from tests.core.lean import lean_conf


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    return lean_conf(tmp_path_factory.mktemp("lean"))


@pytest.fixture(scope="module")
def composed(conf):
    return compose(project_overrides(), conf)


@pytest.fixture
def refused(conf):
    def message(*overrides):
        with pytest.raises(UserError) as caught:
            compose(overrides, conf)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


# --- what composition refuses

KEYS = [
    ("nonsense=1", "nonsense: no such key", "known: 'soc', 'model', 'data', 'quant', 'compare', 'track', 'watch'"),
    ("+nonsense=1", "nonsense: no such key", "'quant'"),
    ("+nonsense.deep=1", "nonsense: no such key", "'quant'"),
    ("quant.feature_bit=8", "quant.feature_bit: no such key of quant", "did you mean 'feature_bits'"),
    ("+quant.bits=4", "quant.bits: no such key of quant", "did you mean 'node_bits'"),
    ("+quant.width=4", "quant.width: no such key of quant", "'feature_bits'"),
    ("quant.skip_node=[a]", "quant.skip_node: no such key of quant", "did you mean 'skip_nodes'"),
    ("quant.fake_quants=weight", "quant.fake_quants: no such key of quant", "did you mean 'fake_quant'"),
    ("+soc.simulated.feature_bit=[16]", "soc.simulated.feature_bit: no such key", "'feature_bits'"),
    ("model.torch.callabel=a", "model.torch.callabel: no such key of model.torch", "did you mean 'callable'?"),
    ("model.inputs=[{maen: [1]}]", "model.inputs[].maen: no such key", "did you mean 'mean'?"),
    ("model.inputs=[{mean: [1]}, {colour: RGB}]", "model.inputs[].colour: no such key", "did you mean 'color'?"),
    ("model.inputs=[{data: 1}]", "model.inputs[].data: no such key", "'mean'"),
    ("+model.inputs.0.foo=1", "model.inputs[].foo: no such key", "'normal'"),
    ("+soc.operators.Conv.feature_bit=[8]", "soc.operators.Conv.feature_bit: no such key", "'feature_bits'"),
    ("model.detector.stride=[8]", "model.detector.stride: no such key of model.detector", "did you mean 'strides'?"),
    ("compare.isolate=false", "compare.isolate: no such key of compare", "did you mean 'isolated'"),
    ("+soc.runtime.librares=a", "soc.runtime.librares: no such key", "did you mean 'libraries'?"),
]

TYPES = [
    ("quant.feature_bits=many", "quant.feature_bits: ", "'many'", "give a whole number"),
    ("quant.feature_bits=8.5", "quant.feature_bits: ", "8.5", "give a whole number"),
    ("++quant.weight_bits=zz", "quant.weight_bits: ", "zz", "give a whole number"),
    ("quant.edge_bits=wide", "quant.edge_bits: ", "'wide'", "give a whole number"),
    ("quant.percentile=most", "quant.percentile: ", "'most'", "give a number"),
    ("quant.rounding=up", "quant.rounding: ", "up", "give one of nearest, compensate, reconstruct"),
    ("quant.steps=few", "quant.steps: ", "'few'", "give a whole number"),
    ("quant.variants=null", "quant.variants: ", "", "give a whole number"),
    ("quant.weight_correction=some", "quant.weight_correction: ", "some", "give true or false"),
    ("quant.skip_nodes=stem", "quant.skip_nodes: ", "not a list", "give a list of texts"),
    ("quant.skip_ops=Conv", "quant.skip_ops: ", "not a list", "give a list of texts"),
    ("quant.node_bits=[a]", "quant.node_bits: ", "", "give a text"),
    ("quant.node_ranges=some", "quant.node_ranges: ", "some", "give true or false"),
    ("quant.channel_scales=most", "quant.channel_scales: ", "most", "give one of never, always, measured"),
    ("soc.simulated.feature_bits=16", "soc.simulated.feature_bits: ", "", "give a list of whole numbers"),
    ("model.fp32_diff=little", "model.fp32_diff: ", "little", "give a number"),
    ("soc.float_outputs=maybe", "soc.float_outputs: ", "maybe", "give true or false"),
    ("compare.dump=all", "compare.dump: ", "", "give true or false"),
    ("track.experiment=null", "track.experiment: ", "", "give a text"),
    ("model.inputs=[{mean: [a]}]", "model.inputs[].mean[0]: ", "'a'", "give a number"),
    ("model.inputs=[{mean: 3}]", "model.inputs[].mean: ", "not a list", "give a list of numbers"),
    ("model.inputs=[{shape: [1,x]}]", "model.inputs[].shape[1]: ", "'x'", "give a whole number"),
    ("model.outputs=logits", "model.outputs: ", "not a list", "give a list of texts"),
    ("soc.operators.Conv.feature_bits=8", "soc.operators.Conv.feature_bits: ", "", "give a list of whole numbers"),
    (
        "model.preprocess=4",
        "model.preprocess: ",
        "no group of keys",
        "give keys of fit, shorter_side, interpolation, pad, anchor",
    ),
]

ENUMS = [
    (
        "quant.feature_method=KLL",
        "quant.feature_method: ",
        "'KLL'",
        "give one of MAX_ABS, KL, MSE, ADMM, OUTPUT, PERCENTILE",
    ),
    ("quant.weight_method=KL", "quant.weight_method: ", "'KL'", "give one of MAX_ABS, MSE, ADMM"),
    ("quant.equalization=cross", "quant.equalization: ", "'cross'", "give one of none, cross_layer, measured"),
    ("quant.fake_quant=both", "quant.fake_quant: ", "'both'", "give one of none, feature, weight"),
    ("quant.head=kept", "quant.head: ", "'kept'", "give one of quantized, float"),
    ("model.detector.kind=ssd", "model.detector.kind: ", "'ssd'", "give one of none, yolox, yolov5"),
    ("model.preprocess.fit=letterbx", "model.preprocess.fit: ", "'letterbx'", "give one of stretch, letterbox, crop"),
    ("model.inputs=[{color: CMYK}]", "model.inputs[].color: ", "'CMYK'", "give one of RGB, BGR, GRAY"),
    ("soc.vendor=acme", "soc.vendor: ", "'acme'", "give one of ingenic, sophgo"),
    ("data.evaluation.task=boxes", "data.evaluation.task: ", "'boxes'", "give one of classification, none"),
]

FILES = [
    ("soc=t99", "soc=t99: ", "a1, bm1684, bm1684x, bm1688, cv186x, t40, t41, x2500"),
    ("quant=a99", "quant=a99: ", "a10w8, a12w8, a16w8, a32w8, a4w4, a8w32, a8w4, best, int8"),
    ("model=resnet", "model=resnet: ", "efficientnet_lite0, onnx"),
    ("data=coco", "data=coco: ", "folder, imagenet_demo"),
]

VALUES = [
    (
        "quant.feature_bits=9",
        "quant.feature_bits=9: the T40 cannot do 9 bits; it can do 4, 8, 10, 12 (on the PC also 14, 16); "
        "32 stands for float",
    ),
    (
        "quant.weight_bits=3",
        "quant.weight_bits=3: the T40 cannot do 3 bits; it can do 2, 4, 6, 8 (on the PC also 16); 32 stands for float",
    ),
    (
        "quant.weight_bits=14",
        "quant.weight_bits=14: the T40 cannot do 14 bits; it can do 2, 4, 6, 8 (on the PC also 16)",
    ),
    ("quant.feature_bits=0", "quant.feature_bits=0: the T40 cannot do 0 bits"),
    (
        "quant.edge_bits=3",
        "quant.edge_bits=3: the T40 can do 2, 4, 6, 8, 10, 12 (on the PC also 14, 16); null for none",
    ),
    ("quant.edge_bits=32", "quant.edge_bits=32: the T40 can do 2, 4,"),
    ("quant.edge_bits=0", "quant.edge_bits=0: the T40 can do 2, 4,"),
    ("quant.percentile=49.9", "quant.percentile=49.9: give percent of the values, 50 to 100"),
    ("quant.percentile=100.1", "quant.percentile=100.1: give percent of the values, 50 to 100"),
    ("quant.percentile=nan", "quant.percentile=nan: give percent of the values, 50 to 100"),
    ("quant.steps=0", "quant.steps=0: give a positive number or null"),
    ("model.detector.strides=[16,8]", "model.detector.strides=[16, 8]: give positive pixels in ascending order"),
    ("model.detector.strides=[8,8]", "model.detector.strides=[8, 8]: give positive pixels in ascending order"),
    ("model.detector.strides=[0,8]", "model.detector.strides=[0, 8]: give positive pixels in ascending order"),
    ("model.detector.strides=[]", "model.detector.strides=[]: give positive pixels in ascending order"),
    ("model.detector.classes=0", "model.detector.classes=0: give a positive number"),
    ("model.detector.score_threshold=0", "model.detector.score_threshold=0.0: give a number between 0 and 1"),
    ("model.detector.nms_threshold=1", "model.detector.nms_threshold=1.0: give a number between 0 and 1"),
    ("model.detector.nms_threshold=nan", "model.detector.nms_threshold=nan: give a number between 0 and 1"),
    (
        "model.detector.kind=yolov5",
        "model.detector.anchors=[]: give widths and heights in pixels, w,h,w,h,..., as many",
    ),
    (
        "model.detector={kind: yolov5, anchors: [10,13,16,30]}",
        "model.detector.anchors=[10.0, 13.0, 16.0, 30.0]: give widths and heights in pixels, w,h,w,h,..., as many "
        "for each of the 3 strides",
    ),
    (
        "model.detector={kind: yolov5, strides: [8], anchors: [10,-3]}",
        "model.detector.anchors=[10.0, -3.0]: give widths and heights",
    ),
    (
        "model.detector={kind: yolox, anchors: [10,13]}",
        "model.detector.anchors=[10.0, 13.0]: give []: they are for kind=yolov5",
    ),
    ("quant.variants=0", "quant.variants=0: give a positive number"),
    ("quant.variants=-1", "quant.variants=-1: give a positive number"),
    ("quant.node_bits=bits.json", "quant.node_bits: source 'bits.json': give one of package:"),
    ("data.calibration.size=0", "data.calibration.size=0: give a positive number or null"),
    ("data.debug.size=-1", "data.debug.size=-1: give a positive number or null"),
    ("data.correction.source=[]", "data.correction.source=[]: give a source or a list of sources"),
    ("data.validation.source=pictures", "data.validation.source: source 'pictures': give one of package:"),
    (
        "data.correction.size=3",
        "data.correction.size=3: give null: without a source it is taken out of the calibration",
    ),
    ("+data.validation={source: 'file:a', size: 0}", "data.validation.size=0: give a positive number or null"),
    ("data.calibration.source=null", "data.calibration.source=None: give a source or a list of sources"),
    ("data.debug.source=null", "data.debug.source=None: give a source or a list of sources"),
    ("data.debug.source=pictures", "data.debug.source: source 'pictures': give one of package:"),
    ("data.debug.source=[]", "data.debug.source=[]: give a source or a list of sources"),
    ("data.debug.source=3", "data.debug.source=3: give a source or a list of sources"),
    ("data.debug.source=['file:a','file:b']", "data.debug.source: a list holds pinned sources only"),
    ("data.evaluation.labels=csv", "data.evaluation.labels=csv: give pattern:REGEX, folders or file:CSV"),
    ("data.evaluation.labels=null", "data.evaluation.labels=None: give pattern:REGEX, folders or file:CSV"),
    ("data.evaluation.task=none", r"data.evaluation.labels=pattern:imagenet_\d+_(\d+)\.jpg: give null"),
    ("model.source=ftp://host/a", "model.source: source 'ftp://host/a': give one of package:"),
    ("model.torch.code=lib", "model.torch.code: source 'lib': give one of package:"),
    ("model.fp32_diff=0", "model.fp32_diff=0.0: give a positive number"),
    ("model.fp32_diff=nan", "model.fp32_diff=nan: give a positive number"),
    ("model.inputs=[]", "model.inputs=[]: give at least one input"),
    ("model.inputs=[{},{shape: [1,0]}]", "model.inputs[1].shape=[1, 0]: give positive sizes"),
    ("model.inputs=[{normal: [1,0,1]}]", "model.inputs[0].normal=[1.0, 0.0, 1.0]: give finite values other than 0"),
    ("model.preprocess.pad=256", "model.preprocess.pad=256: give a grey level, 0 to 255"),
    ("model.preprocess.fit=stretch", "model.preprocess.shorter_side is for fit=crop"),
    ("model.preprocess.shorter_side=-3", "model.preprocess.shorter_side=-3: give "),
]


@pytest.mark.parametrize(("override", "problem", "allowed"), KEYS)
def test_a_wrong_key_comes_with_those_there_are(refused, override, problem, allowed):
    message = refused(override)
    assert message.startswith(problem)
    assert allowed in message


@pytest.mark.parametrize(("override", "key", "value", "allowed"), TYPES + ENUMS)
def test_a_wrong_value_comes_with_what_to_give(refused, override, key, value, allowed):
    message = refused(override)
    assert message.startswith(key)
    assert value in message
    assert message.endswith(allowed)


@pytest.mark.parametrize(("override", "problem", "choices"), FILES)
def test_an_unknown_file_of_a_group_comes_with_those_there_are(refused, override, problem, choices):
    message = refused(override)
    assert message.startswith(problem)
    assert message.endswith(f"choose one of {choices}")


@pytest.mark.parametrize(("override", "message"), VALUES)
def test_a_value_out_of_range_comes_with_the_range(refused, override, message):
    assert refused(override).startswith(message)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["data=folder"], "data.calibration.source"),
        (["model=onnx"], "model.source"),
        (["model.source=null", "model.torch.callable=null"], "model.source"),
        (["~quant"], "quant.name"),
        (["quant.name=???"], "quant.name"),
    ],
)
def test_a_missing_value_is_named(refused, overrides, key):
    message = refused(*overrides)
    assert message.startswith(key)
    assert "has no value" in message or "is empty" in message


@pytest.mark.parametrize("override", ["quant.feature_bits", "quant.feature_bits=[1", "'a b'=3"])
def test_an_override_that_is_none_is_quoted(refused, override):
    assert refused(override).startswith(f"override {override!r} is not KEY=VALUE; ")


@pytest.mark.parametrize("override", ["soc=40", "model=null", "=3"])
def test_a_group_that_is_given_no_file_is_a_user_error(refused, override):
    assert override.split("=", maxsplit=1)[0] in refused(override)


def test_an_interpolation_that_leads_nowhere_names_its_key(refused):
    message = refused("quant.name=${nowhere}")
    assert "quant.name" in message
    assert "nowhere" in message


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


@pytest.mark.parametrize(
    ("kind", "bit_widths", "said"),
    [
        ("Silu", OperatorBitWidths([8], []), None),
        ("DepthwiseConv", OperatorBitWidths([16], [2]), None),
        (
            "Silo",
            OperatorBitWidths([8], []),
            r"soc\.operators\.Silo: is no ONNX operator \(nor DepthwiseConv or Silu\)",
        ),
        (
            "Silu",
            OperatorBitWidths([17], []),
            r"soc\.operators\.Silu\.feature_bits=\[17\]: give widths of 2 to 16 bits",
        ),
        ("Conv", OperatorBitWidths([8], [1]), r"soc\.operators\.Conv\.weight_bits=\[1\]: give widths of 2 to 16 bits"),
    ],
)
def test_operators_of_a_soc_are_checked(conf, kind, bit_widths, said):
    config, _ = compose([], conf)
    config.soc.operators[kind] = bit_widths
    with pytest.raises(UserError, match=said) if said else nullcontext():
        check(config)


def test_a_file_of_node_bits_must_be_there(conf, tmp_path):
    config, _ = compose(["quant.node_bits=file:nowhere.json"], conf)
    with pytest.raises(UserError, match=r"quant\.node_bits: .*nowhere\.json"):
        check_files(config)
    (tmp_path / "bits.json").write_text("{}")
    config, _ = compose([f"quant.node_bits=file:{tmp_path}/bits.json"], conf)
    config.model.source = config.model.torch.code = None
    config.watch.model = config.watch.code = ""
    check_files(config)


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"config\.yaml is missing: run this in the project's folder"):
        compose([], tmp_path)


def test_a_config_file_that_is_not_yaml_is_refused_in_one_line(tmp_path):
    (tmp_path / "config.yaml").write_text("defaults:\n  - schema\n  - _self_\nquant: [\n")
    with pytest.raises(UserError) as caught:
        compose([], tmp_path)
    assert "\n" not in str(caught.value)


# --- what composition gives


def test_overrides_reach_the_config(composed):
    config, _ = composed
    (entry,) = config.model.inputs
    assert (entry.mean, entry.normal, entry.color) == ([128.0], [64.0], None)
    assert config.model.source == "file:tiny.onnx"
    assert config.model.preprocess.fit is Fit.stretch
    assert config.quant.feature_method is FeatureMethod.MAX_ABS


def test_local_sources_are_watched(composed):
    watch = composed[0].watch
    assert (watch.model, watch.calibration, watch.evaluation) == ("tiny.onnx", "calibration", "evaluation")
    assert (watch.code, watch.labels, watch.node_bits) == ("stages/core/base/sources.py",) * 3
    assert (watch.correction, watch.validation) == ("stages/core/base/sources.py",) * 2


def test_corrections_have_no_pictures_of_their_own_unless_given(composed, conf):
    data = composed[0].data
    assert data.correction == data.validation == PictureSet(source=None, size=None)
    config, _ = compose(
        ["data.correction.source=file:a", "data.validation.source=file:b", "data.validation.size=2"], conf
    )
    assert (config.data.correction, config.data.validation) == (PictureSet("file:a"), PictureSet("file:b", 2))
    assert (config.watch.correction, config.watch.validation) == ("a", "b")


@pytest.mark.parametrize("name", ["correction", "validation"])
def test_pictures_of_their_own_must_be_there(conf, name):
    config, _ = compose([*project_overrides(f"data.{name}.source=file:nowhere"), "model.source=https://a/b.onnx"], conf)
    for part in (config.data.calibration, config.data.debug, config.data.evaluation):
        part.source = []
    with pytest.raises(UserError, match=rf"data\.{name}\.source: .*nowhere does not exist"):
        check_files(config)


def test_a_file_of_node_bits_is_watched(conf):
    assert compose(["quant.node_bits=file:bits.json"], conf)[0].watch.node_bits == "bits.json"


def test_the_controls_default_to_nothing(composed):
    quant = composed[0].quant
    assert (quant.skip_nodes, quant.skip_ops, quant.node_bits, quant.node_ranges) == ([], [], None, True)
    assert (quant.fake_quant, quant.head, quant.percentile) == (FakeQuant.none, Head.quantized, 99.99)
    assert quant.edge_bits is None
    assert quant.channel_scales is ChannelScales.never
    assert quant.rounding is Rounding.nearest
    assert (quant.steps, quant.variants) == (None, 4)
    assert (quant.weight_correction, quant.feature_correction) == (False, False)


@pytest.mark.parametrize(("soc", "width"), [("t40", 8), ("t40", 12), ("t40", 16), ("bm1684", 8)])
def test_edges_may_have_any_width_of_the_soc(conf, soc, width):
    assert compose([f"soc={soc}", f"quant.edge_bits={width}"], conf)[0].quant.edge_bits == width


def test_the_controls_reach_the_config(conf):
    config, _ = compose(["quant.skip_nodes=[a,/b/Conv]", "quant.skip_ops=[Conv]", "quant.fake_quant=weight"], conf)
    assert config.quant.skip_nodes == ["a", "/b/Conv"]
    assert config.quant.skip_ops == ["Conv"]
    assert config.quant.fake_quant is FakeQuant.weight


def test_arguments_of_a_torch_callable_are_free(conf):
    config, _ = compose(["+model.torch.arguments.depth=[1, x]"], conf)
    assert config.model.torch.arguments == {"model_name": "efficientnet-lite0", "depth": [1, "x"]}


def test_several_inputs_keep_their_order(conf):
    config, _ = compose(["model.inputs=[{name: a, color: BGR}, {name: b, shape: [1, 1, 4, 4]}]"], conf)
    assert [entry.name for entry in config.model.inputs] == ["a", "b"]
    assert config.model.inputs[0].color is Color.BGR
    assert config.model.inputs[1].shape == [1, 1, 4, 4]


def test_allowed_widths_are_those_of_any_operator():
    operators = [OperatorBitWidths([8, 4], [8]), OperatorBitWidths([], []), OperatorBitWidths([12, 8], [])]
    assert allowed_bit_widths(operators, "feature_bits") == [4, 8, 12]
    assert allowed_bit_widths(operators, "weight_bits") == [8]
    assert allowed_bit_widths([], "weight_bits") == []


# --- params.yaml


@pytest.fixture
def params(tmp_path, composed):
    path = tmp_path / "params.yaml"
    path.write_text(composed[1], encoding="utf-8")
    return path


def test_the_composed_text_loads_as_the_composed_config(params, composed):
    assert load_params(params) == composed[0]


def test_a_key_left_out_is_named(params):
    params.write_text(params.read_text().replace("  fp32_diff: 0.001\n", ""))
    with pytest.raises(UserError, match=r"params\.yaml lacks model\.fp32_diff: write it anew"):
        load_params(params)


def test_a_source_edited_by_hand_no_longer_fits_what_is_watched(params):
    content = yaml.safe_load(params.read_text())
    content["data"]["debug"]["source"] = "file:other_pictures"
    params.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"watch\.\w+=.* does not fit file:other_.*stages\.compose"):
        load_params(params)


def test_an_edited_value_is_read(params, composed):
    params.write_text(params.read_text().replace("feature_bits: 8\n", "feature_bits: 12\n"))
    expected = replace(composed[0], quant=replace(composed[0].quant, feature_bits=12))
    assert load_params(params) == expected


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("feature_bits: 8\n", "feature_bitz: 8\n", "quant.feature_bitz: no such key of quant; did you mean"),
        ("feature_bits: 8\n", "feature_bits: x\n", "give a whole number"),
        ("feature_bits: 8\n", "feature_bits: 5\n", "quant.feature_bits=5: the T40 cannot do 5 bits"),
        ("feature_method: MAX_ABS", "feature_method: MAX", "give one of MAX_ABS, KL"),
        ("    mean:\n", "    maen:\n", "model.inputs[].maen: no such key"),
        ("  name: int8\n", "", "quant.name has no value"),
        ("quant:\n", "quant: [\n", "is not YAML"),
    ],
)
def test_a_mistake_in_params_is_said_in_one_line(params, old, new, said):
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new))
    with pytest.raises(UserError) as caught:
        load_params(params)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "3\n", "- a\n", "text\n"])
def test_params_that_hold_no_keys_are_a_user_error_that_names_the_file(params, content):
    params.write_text(content)
    with pytest.raises(UserError, match=r"params\.yaml") as caught:
        load_params(params)
    assert "\n" not in str(caught.value)


def test_missing_params_say_how_to_write_them(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml is missing: write it with `python -m stages\.compose`"):
        load_params(tmp_path / "params.yaml")
