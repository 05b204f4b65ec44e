from contextlib import nullcontext
from dataclasses import replace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from stages.core.base.errors import UserError
from stages.core.base.user_code import watched_module
from stages.core.config.check import check
from stages.core.config.composition import compose
from stages.core.config.load import conform
from stages.core.config.schema import DetectorKind, OperatorGroup
from tests.conftest import REPOSITORY

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
    (
        "evaluate.backend=toolchain",
        "evaluate.backend=toolchain: give simulator: no toolchain that simulates the T40 is known",
    ),
    ("compare.cures=-1", "compare.cures=-1: give how many lines to try at most, or 0"),
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
    ("data.evaluation.task=custom", "data.evaluation.metric=None: give module:Class, what task=custom measures"),
    (
        "data.evaluation.kpt_oks_sigmas=[0.1,0]",
        "data.evaluation.kpt_oks_sigmas=[0.1, 0.0]: give a number above 0 for each key point, or []",
    ),
    ("data.evaluation.metric=words", "data.evaluation.metric=words: give module:Class"),
    (
        "data.evaluation={metric: 'a:B', task: detection, labels: null}",
        "data.evaluation.metric=a:B: give null: boxes are scored by mAP and by agreement",
    ),
    (
        "data.evaluation={metric: 'a:B', task: custom, labels: folders}",
        "data.evaluation.labels=folders: give file:CSV with columns file and label, or null",
    ),
    ("data.evaluation={metric: 'a:B', task: custom, labels: 'file:'}", "data.evaluation.labels: source 'file:'"),
    ("data.debug.part=[0.5,0.5]", "data.debug.part=[0.5, 0.5]: give [LOW, HIGH] with 0 <= LOW < HIGH <= 1, or null"),
    ("data.debug.part=[0.5,1.5]", "data.debug.part=[0.5, 1.5]: give [LOW, HIGH]"),
    ("data.debug.part=[0.5]", "data.debug.part=[0.5]: give [LOW, HIGH]"),
    ("data.validation.part=[0,1]", "data.validation.part=[0.0, 1.0]: give null: without a source it is taken out of"),
    ("model.source=ftp://host/a", "model.source: source 'ftp://host/a': give one of package:"),
    ("model.torch.code=lib", "model.torch.code: source 'lib': give one of package:"),
    ("model.fp32_diff=0", "model.fp32_diff=0.0: give a positive number"),
    ("model.fp32_diff=nan", "model.fp32_diff=nan: give a positive number"),
    ("model.inputs=[]", "model.inputs=[]: give at least one input"),
    ("model.inputs=[{shape: [2147483648]}]", "model.inputs[0].shape=[2147483648]: give the sizes to run with"),
    ("model.inputs=[{},{shape: [1,0]}]", "model.inputs[1].shape=[1, 0]: give the sizes to run with, all positive"),
    ("model.inputs=[{normal: [1,0,1]}]", "model.inputs[0].normal=[1.0, 0.0, 1.0]: give finite values other than 0"),
    ("model.preprocess.pad=256", "model.preprocess.pad=256: give a grey level, 0 to 255"),
    ("model.preprocess.fit=stretch", "model.preprocess.shorter_side is for fit=crop"),
    ("model.preprocess.shorter_side=-3", "model.preprocess.shorter_side=-3: give "),
]


@pytest.fixture(scope="module")
def default():
    return compose([], REPOSITORY / "conf")[1]


@pytest.mark.parametrize(("override", "message"), VALUES)
def test_a_value_out_of_range_comes_with_the_range(default, override, message):
    """An override of one value is put into a composition, which takes a fifth of the time of composing with it."""
    content = OmegaConf.create(default)
    (parsed,) = OverridesParser.create().parse_overrides([override])
    OmegaConf.update(content, parsed.key_or_group, parsed.value())
    with pytest.raises(UserError) as caught:
        check(conform(content))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("override", "message"), VALUES[::20])
def test_so_it_is_where_it_is_composed(refused, override, message):
    assert refused(override).startswith(message)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (OperatorGroup(["Silu"], [8], []), None),
        (OperatorGroup(["DepthwiseConv"], [16], [2]), None),
        (
            OperatorGroup(["Silo"], [8], []),
            r"soc\.operators\.own\.types: Silo is no ONNX operator \(nor DepthwiseConv or Silu\)",
        ),
        (
            OperatorGroup(["Silu"], [17], []),
            r"soc\.operators\.own\.feature_bits=\[17\]: give widths of 2 to 16 bits",
        ),
        (
            OperatorGroup([], [8], [8]),
            r"soc\.operators\.own\.types is empty: list the operators that run at its bit widths",
        ),
        (OperatorGroup(["Conv"], [8], [1]), r"soc\.operators\.own\.weight_bits=\[1\]: give widths of 2 to 16 bits"),
    ],
)
def test_operators_of_a_soc_are_checked(conf, group, said):
    config, _ = compose([], conf)
    free = {"own": group} | {
        name: replace(each, types=types)
        for name, each in config.soc.operators.items()
        if (types := sorted({*each.types} - {*group.types}))
    }
    config.soc.operators = free
    with pytest.raises(UserError, match=said) if said else nullcontext():
        check(config)


def test_an_operator_is_in_one_group(conf):
    config, _ = compose([], conf)
    config.soc.operators["own"] = OperatorGroup(["Add"], [8])
    with pytest.raises(UserError, match=r"^soc\.operators: Add is in the groups from_4_bits and own: leave one$"):
        check(config)


def test_boxes_of_a_network_that_is_said_to_be_no_detector_are_refused(conf):
    config, _ = compose(["data.evaluation.task=detection", "data.evaluation.labels=null"], conf)
    check(config)
    config.model.detector.kind = DetectorKind.none
    with pytest.raises(UserError, match=r"^data\.evaluation\.task=detection: model\.detector\.kind=none says that "):
        check(config)
    config.model.detector.function = "mine:decode"
    config.watch.decoding = watched_module("mine:decode")
    check(config)


@pytest.mark.slow
def test_a_scale_a_channel_is_refused_where_the_converter_takes_one_a_feature():
    with pytest.raises(UserError, match=r"^quant\.channel_scales=always: give never or measured: the bm1684x's conver"):
        compose(["soc=bm1684x", "quant.channel_scales=always"], REPOSITORY / "conf")
    compose(["soc=t40", "quant.channel_scales=always"], REPOSITORY / "conf")
    compose(["soc=bm1684x", "quant=best"], REPOSITORY / "conf")  # it measures what the SOC can hold
