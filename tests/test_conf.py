import re
from functools import cache

import pytest
import yaml

from stages.core.base.errors import UserError
from stages.core.config.bit_widths import allowed_bit_widths
from stages.core.config.composition import compose
from stages.core.config.schema import (
    PICTURE_SETS,
    Anchor,
    Calibration,
    ChannelScales,
    Color,
    Config,
    Equalization,
    FeatureMethod,
    FeatureScale,
    FeatureZeroPoint,
    Fit,
    QuantConfig,
    Requantization,
    Rounding,
    Task,
    ToolchainConfig,
    Vendor,
    WeightMethod,
    WeightScale,
)
from stages.quantize.operators import ONNX_OPERATORS
from tests.conftest import REPOSITORY

CONF = REPOSITORY / "conf"
INGENIC = ("t40", "t41", "x2500", "a1")
SOPHGO = ("bm1684", "bm1684x", "bm1688", "cv186x", "cv181x", "cv183x")
WEIGHTED = {"Conv", "DepthwiseConv", "ConvTranspose", "Gemm", "MatMul"}
PRESETS = {"int8": (8, 8), "a10w8": (10, 8), "a12w8": (12, 8), "a8w4": (8, 4), "a4w4": (4, 4)}
LADDER = {"a16w8": (16, 8), "a32w8": (32, 8), "a8w32": (8, 32)}
"""Widths to compare with on the PC, whether a SOC has them or not; 32 stands for float."""
ULTRALYTICS = {"yolov5s": 0.6, "yolov8n": 0.7, "yolo11n": 0.7, "yolo26n": 0.7}
"""Detector -> the NMS threshold of its published mAP (YOLOv5's val.py, `iou` in Ultralytics' default.yaml)."""


VENDOR_METHODS = ("kl", "max", "mse", "percentile9999", "aciq_laplace", "aciq_gauss")


@cache
def composed(*overrides: str) -> Config:
    return compose(overrides, CONF)[0]


def soc(name):
    return composed(f"soc={name}").soc


def files(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def test_every_file_is_known_here():
    assert files("soc") == sorted([*INGENIC, *SOPHGO])
    assert files("operators") == ["ingenic", "sophgo"]
    assert files("quant") == sorted({*PRESETS, *LADDER, "best", *(f"vendor_{method}" for method in VENDOR_METHODS)})


def test_the_committed_params_are_what_the_configs_compose_to():
    _, text = compose([], CONF)
    assert yaml.safe_load(text) == yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", INGENIC + SOPHGO)
def test_a_soc_composes_under_its_own_name(name):
    found = soc(name)
    assert found.name.lower() == name
    assert found.vendor is (Vendor.ingenic if name in INGENIC else Vendor.sophgo)


@pytest.mark.parametrize("name", INGENIC + SOPHGO)
def test_weights_belong_to_convolutions_and_products(name):
    operators = soc(name).bit_widths
    assert {operator for operator, bit_widths in operators.items() if bit_widths.weight_bits} == WEIGHTED
    assert all(operators[operator].feature_bits for operator in WEIGHTED)


@pytest.mark.parametrize("name", INGENIC + SOPHGO)
def test_softmax_stays_in_float(name):
    assert soc(name).bit_widths["Softmax"].feature_bits == []
    assert soc(name).float_types == ["BF16"] if name in ("cv181x", "cv183x") else "F32" in soc(name).float_types


@pytest.mark.parametrize("name", INGENIC)
def test_ingenic_takes_features_to_12_bits_and_weights_to_8(name):
    operators = soc(name).bit_widths
    assert allowed_bit_widths(soc(name), "feature_bits") == [4, 8, 10, 12]
    assert max(allowed_bit_widths(soc(name), "weight_bits")) == 8
    assert operators["Conv"].feature_bits == [4, 8, 10, 12]
    assert {4, 8} <= set(operators["Conv"].weight_bits)


@pytest.mark.parametrize("name", INGENIC)
def test_ingenic_requantizes_by_its_own_rule(name):
    found = soc(name)
    assert found.requantization is (Requantization.nna_open if name == "t41" else Requantization.nna)
    assert found.feature_zero_point is FeatureZeroPoint.affine
    assert found.weight_scale is WeightScale.per_channel
    assert found.toolchain == ToolchainConfig("magik-transform-tools")
    assert (found.layout, found.channel_alignment) == ("NDHWC32", 32)


@pytest.mark.parametrize(("name", "npu"), [("t40", "nna1"), ("x2500", "nna1"), ("t41", "nna2"), ("a1", "nna2")])
def test_generation_of_the_ingenic_unit(name, npu):
    assert soc(name).npu == npu
    assert soc(name).runtime.tree.split("/")[1] == npu


@pytest.mark.parametrize("name", INGENIC)
def test_the_second_generation_links_drivers_and_aip_too(name):
    libraries = soc(name).runtime.libraries
    assert libraries.keys() == {"release", "profile", "debug", "nmem"}
    further = {build: names[1:] for build, names in libraries.items()}
    if soc(name).npu == "nna1":
        assert not any(further.values())
    else:
        assert further == {
            "release": ["aip", "drivers"],
            "profile": ["aip", "drivers"],
            "debug": ["aip", "drivers"],
            "nmem": ["aip", "drivers.m"],
        }


@pytest.mark.parametrize(("one", "other"), [("t40", "x2500"), ("t41", "a1")])
def test_socs_with_the_same_unit_run_the_same_operators(one, other):
    assert soc(one).operators == soc(other).operators


@pytest.mark.parametrize("name", SOPHGO)
def test_sophgo_runs_at_8_bits_with_one_scale_a_feature(name):
    found = soc(name)
    for side in ("feature_bits", "weight_bits"):
        assert allowed_bit_widths(found, side) == [8]
    small = name in ("cv181x", "cv183x")
    assert found.feature_zero_point is (FeatureZeroPoint.signed if small else FeatureZeroPoint.symmetric)
    assert found.feature_scale is FeatureScale.per_tensor
    assert found.toolchain == ToolchainConfig("model_deploy.py", nntc=name in ("bm1684", "bm1684x"))
    assert found.layout == "NCHW"


@pytest.mark.parametrize("name", SOPHGO)
def test_only_the_bm1684_has_one_shift_a_layer(name):
    shifts = name == "bm1684"
    rules = {"bm1684": Requantization.sophgo_bm1684} | dict.fromkeys(("cv181x", "cv183x"), Requantization.sophgo_cv18xx)
    assert soc(name).requantization is rules.get(name, Requantization.sophgo)
    assert soc(name).weight_scale is (WeightScale.per_tensor if shifts else WeightScale.per_channel)


@pytest.mark.parametrize("name", INGENIC + SOPHGO)
def test_convolutions_take_clamps_alone_into_their_own_end(name):
    assert soc(name).fused_activations == ["Relu", "Clip"]


@pytest.mark.parametrize("name", INGENIC + SOPHGO)
def test_every_operator_that_passes_codes_or_computes_on_them_has_feature_widths(name):
    operators = soc(name).bit_widths
    known = {
        "Relu", "Clip", "PRelu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Silu", "Add", "Sub",
        "Mul", "Max", "Min", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Resize",
        "Concat", "Slice", "Split", "Pad", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
    }  # fmt: skip
    assert known | WEIGHTED == {kind for kind, bit_widths in operators.items() if bit_widths.feature_bits}


@pytest.mark.parametrize("name", INGENIC + SOPHGO)
def test_every_operator_of_a_soc_has_an_integer_rule(name):
    """Written out, so that a new line in a SOC's file asks for arithmetic."""
    operators = {kind for kind, group in soc(name).bit_widths.items() if group.feature_bits}
    lowered = {name for name, operator in ONNX_OPERATORS.items() if operator.lower}
    assert operators <= {"DepthwiseConv", "Silu"} | lowered


@pytest.mark.parametrize("name", INGENIC + SOPHGO)
def test_only_ingenic_widths_go_further_on_the_pc(name):
    found = soc(name)
    ladder = ([14, 16], [16]) if name in INGENIC else ([], [])
    assert (found.simulated.feature_bits, found.simulated.weight_bits) == ladder
    for side, simulated in zip(("feature_bits", "weight_bits"), ladder, strict=True):
        assert set(simulated).isdisjoint(allowed_bit_widths(found, side))


@pytest.mark.parametrize("preset", LADDER)
def test_the_ladders_presets_have_the_widths_of_their_names(preset):
    quant = composed(f"quant={preset}").quant
    assert (quant.name, (quant.feature_bits, quant.weight_bits)) == (preset, LADDER[preset])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_holds_the_bits_of_its_name(preset):
    features, weights = PRESETS[preset]
    quant = composed("soc=t41", f"quant={preset}").quant
    assert quant == QuantConfig(name=preset, feature_bits=features, weight_bits=weights)


def test_the_best_preset_takes_whatever_helps_at_8_bits():
    quant = composed("soc=t41", "quant=best").quant
    assert quant == QuantConfig(
        name="best",
        edge_bits=8,
        feature_method=FeatureMethod.OUTPUT,
        weight_method=WeightMethod.MSE,
        equalization=Equalization.measured,
        rounding=Rounding.reconstruct,
        channel_scales=ChannelScales.measured,
    )


@pytest.mark.parametrize("method", VENDOR_METHODS)
def test_sophgos_own_methods(method):
    quant = composed(f"quant=vendor_{method}", "soc=bm1684x").quant
    assert (quant.name, quant.calibration, quant.vendor_method.value) == (
        f"vendor_{method}",
        Calibration.vendor,
        method,
    )
    assert (quant.feature_bits, quant.weight_bits) == (8, 8)


def test_ingenics_converter_is_not_asked_for_ranges():
    with pytest.raises(UserError, match=r"^quant\.calibration=vendor: give own: Sophgo's tool alone is asked"):
        compose(["quant=vendor_kl"], CONF)


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - {"int8"}))
def test_a_preset_of_other_bits_is_refused_where_the_soc_lacks_them(preset):
    with pytest.raises(UserError, match=r"the bm1688 cannot do (4|10|12) bits; it can do 8; 32 stands for float$"):
        compose(["soc=bm1688", f"quant={preset}"], CONF)


def test_the_default_experiment():
    found = composed()
    names = (found.soc.name, found.model.name, found.data.name, found.quant.name)
    assert names == ("T40", "efficientnet_lite0", "imagenet_demo", "int8")


def test_everything_in_the_default_experiment_is_pinned():
    watched = dict(vars(composed().watch))
    assert watched.pop("compilers") == []
    assert {*watched.values()} == {"stages/core/base/sources.py"}


def own_files(group: str, name: str) -> list[str]:
    """Overrides that give a file of conf/model/ or conf/data/ what it leaves to the user."""
    content = yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))
    if group == "model":
        return ["model.source=file:a.onnx"] if content.get("source") == "???" else []
    parts = [part for part in PICTURE_SETS if content[part]["source"] == "???"]
    return [f"data.{part}.source=file:a" for part in parts]


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(files("model")))
@pytest.mark.parametrize("pictures", sorted(files("data")))
def test_every_model_goes_with_every_data(network, pictures):
    overrides = [f"model={network}", f"data={pictures}", *own_files("model", network), *own_files("data", pictures)]
    found = composed(*overrides)
    assert (found.model.name, found.data.name) == (network, pictures)


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in ("model", "data") for name in files(group)])
def test_whatever_is_fetched_is_pinned(group, name):
    text = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8")
    sources = re.findall(r"(?:package:|https://)\S+", re.sub(r"(?m)^\s*#.*", "", text))
    assert all(re.search(r"#sha256=[0-9a-f]{64}$", source) for source in sources)
    assert sources or own_files(group, name)


@pytest.mark.parametrize("name", sorted(ULTRALYTICS))
def test_what_ultralytics_exports_is_fed_as_ultralytics_feeds_it(name):
    """RGB in 0..1 (torch.from_numpy(im) / 255), grey 114 on both sides of the picture."""
    found = composed(f"model={name}", *own_files("model", name)).model
    (fed,) = found.inputs
    assert (fed.mean, fed.normal, fed.color) == ([0], [255], Color.RGB)
    preprocess = found.preprocess
    assert (preprocess.fit, preprocess.anchor, preprocess.pad) == (Fit.letterbox, Anchor.center, 114)
    assert (found.detector.score_threshold, found.detector.nms_threshold) == (0.25, ULTRALYTICS[name])


@pytest.mark.parametrize("pictures", ["detection", "detection_demo"])
def test_a_detector_without_labels_is_compared_with_the_float_network(pictures):
    evaluation = composed(f"data={pictures}", *own_files("data", pictures)).data.evaluation
    assert (evaluation.task, evaluation.labels) == (Task.detection, None)
