"""Checking what the schema's types cannot express. Every refusal is one line that names the key."""

import math
import re
from typing import Any

import onnx

from stages.core.base.errors import UserError
from stages.core.base.sources import parse
from stages.core.config.bit_widths import SIDES, check_bit_width, check_edge_bits
from stages.core.config.schema import (
    PICTURE_SETS,
    Backend,
    Calibration,
    ChannelScales,
    Config,
    DataConfig,
    DetectorConfig,
    DetectorKind,
    FeatureScale,
    Fit,
    InputConfig,
    LabelledSet,
    ModelConfig,
    PreprocessConfig,
    SocConfig,
    Task,
    Vendor,
)
from stages.core.config.watch import check_watch

__all__ = ["check"]

LARGEST_SIZE = 2**31 - 1
SETS_OUT_OF_CALIBRATION = ("correction", "validation")
"""Sets that are taken out of the calibration pictures where they have no source."""


def check(config: Config) -> None:
    """Refuse values that no dataclass can: bit widths the SOC lacks, lengths, ranges, sources.

    Raises:
        UserError: for the first that is wrong.
    """
    for key, name in (("soc.name", config.soc.name), ("model.name", config.model.name)):
        _require(bool(re.fullmatch(r"\w[\w.+-]*", name, re.ASCII)), key, name, "letters, digits and . _ + -")
    for key, name in (("data.name", config.data.name), ("quant.name", config.quant.name)):
        _require(bool(name.strip()), key, name, "a name")
    _require(bool(config.track.experiment.strip()), "track.experiment", config.track.experiment, "a name")
    _check_soc(config.soc)
    _check_quant(config)
    _check_model(config.model)
    _check_data(config.data)
    _check_task(config)
    cures = config.compare.cures
    _require(cures >= 0, "compare.cures", cures, "how many lines to try at most, or 0")
    by_vendor = config.evaluate.backend is Backend.toolchain
    sophgo = "simulator, or install Sophgo's compiler: `python -m stages.toolchain install sophgo`"
    other = f"simulator: no toolchain that simulates the {config.soc.name} is known"
    allowed = sophgo if config.soc.vendor is Vendor.sophgo else other
    _require(not by_vendor or bool(config.watch.compilers), "evaluate.backend", "toolchain", allowed)
    check_watch(config)


def _require(holds: bool, key: str, value: Any, allowed: str) -> None:
    if not holds:
        raise UserError(f"{key}={value}: give {allowed}")


def _check_soc(soc: SocConfig) -> None:
    group_of: dict[str, str] = {}
    for name, group in soc.operators.items():
        if not group.types and (group.feature_bits or group.weight_bits):
            raise UserError(
                f"soc.operators.{name}.types is empty: list the operators that run at its bit widths; where "
                "params.yaml is of an earlier version, compose it anew (`python -m stages.compose --keep`)"
            )
        for kind in group.types:
            if kind not in ("DepthwiseConv", "Silu") and not onnx.defs.has(kind):
                raise UserError(f"soc.operators.{name}.types: {kind} is no ONNX operator (nor DepthwiseConv or Silu)")
            if group_of.setdefault(kind, name) != name:
                raise UserError(f"soc.operators: {kind} is in the groups {group_of[kind]} and {name}: leave one")
        for side in SIDES:
            listed = getattr(group, side)
            within = all(2 <= bits <= 16 for bits in listed)
            _require(within, f"soc.operators.{name}.{side}", listed, "widths of 2 to 16 bits")


# --- quant ---


def _check_quant(config: Config) -> None:
    for side in SIDES:
        check_bit_width(f"quant.{side}", getattr(config.quant, side), config.soc, side)
    check_edge_bits(config)
    if config.quant.node_bits is not None:
        _check_sources("quant.node_bits", [config.quant.node_bits])
    percentile = config.quant.percentile
    _require(50 <= percentile <= 100, "quant.percentile", percentile, "percent of the values, 50 to 100")
    holds = (
        config.soc.feature_scale is FeatureScale.per_channel or config.quant.channel_scales is not ChannelScales.always
    )
    alone = f"never or measured: the {config.soc.name}'s converter takes one scale a feature"
    _require(holds, "quant.channel_scales", config.quant.channel_scales.value, alone)
    asked = config.quant.calibration is Calibration.own or config.soc.vendor is Vendor.sophgo
    _require(asked, "quant.calibration", "vendor", "own: Sophgo's tool alone is asked for ranges")
    cosine = config.quant.vendor_cosine
    _require(cosine is None or 0 < cosine < 1, "quant.vendor_cosine", cosine, "a number between 0 and 1, or null")
    steps, variants = config.quant.steps, config.quant.variants
    _require(steps is None or steps > 0, "quant.steps", steps, "a positive number or null")
    _require(variants > 0, "quant.variants", variants, "a positive number")


# --- model ---


def _check_model(model: ModelConfig) -> None:
    if not model.source and not model.torch.callable:
        raise UserError("model.source is empty: give a source, or model.torch.callable for a PyTorch module")
    for key, source in (("model.source", model.source), ("model.torch.code", model.torch.code)):
        if source:
            _check_sources(key, [source])
    if model.torch.callable is not None:
        _require(":" in model.torch.callable, "model.torch.callable", model.torch.callable, "module:function")
    bounded = 0 < model.fp32_diff < math.inf
    _require(bounded, "model.fp32_diff", model.fp32_diff, "a positive number")
    _require(bool(model.inputs), "model.inputs", "[]", "at least one input; [{}] takes all from the graph")
    for index, network_input in enumerate(model.inputs):
        _check_input(f"model.inputs[{index}]", network_input)
    _check_preprocess(model.preprocess)
    _check_detector(model.detector)


def _check_input(key: str, network_input: InputConfig) -> None:
    shape, mean, normal = network_input.shape, network_input.mean, network_input.normal
    if shape is not None:
        positive = bool(shape) and all(0 < size <= LARGEST_SIZE for size in shape)
        sizes = "the sizes to run with, all positive; for a picture batch 1 first, as in [1,3,224,224]"
        _require(positive, f"{key}.shape", shape, sizes)
    if mean is not None:
        finite = all(map(math.isfinite, mean))
        _require(bool(mean) and finite, f"{key}.mean", mean, "one finite value, or one a channel")
    if normal is not None:
        finite = all(map(math.isfinite, normal)) and 0 not in normal
        _require(bool(normal) and finite, f"{key}.normal", normal, "finite values other than 0")


def _check_preprocess(preprocess: PreprocessConfig) -> None:
    side = preprocess.shorter_side
    _require(0 <= preprocess.pad <= 255, "model.preprocess.pad", preprocess.pad, "a grey level, 0 to 255")
    _require(side >= 0, "model.preprocess.shorter_side", side, "pixels, or 0")
    if preprocess.fit is not Fit.crop and side:
        raise UserError("model.preprocess.shorter_side is for fit=crop; with another fit leave it at 0")


def _check_detector(detector: DetectorConfig) -> None:
    key, strides, anchors = "model.detector", detector.strides, detector.anchors
    ascending = bool(strides) and strides[0] > 0 and strides == sorted(set(strides))
    _require(ascending, f"{key}.strides", strides, "positive pixels in ascending order, as in [8,16,32]")
    classes = detector.classes
    _require(classes is None or classes > 0, f"{key}.classes", classes, "a positive number or null")
    for name in ("score_threshold", "nms_threshold"):
        threshold = getattr(detector, name)
        _require(0 < threshold < 1, f"{key}.{name}", threshold, "a number between 0 and 1")
    if detector.function is not None:
        _require(":" in detector.function, f"{key}.function", detector.function, "module:function")
    if not anchors:  # whether a yolov5 needs some, its graph says: export
        return
    if detector.kind not in (DetectorKind.auto, DetectorKind.yolov5):
        _require(not anchors, f"{key}.anchors", anchors, "[]: they are for kind=yolov5")
    fitting = len(anchors) % (2 * len(strides)) == 0 and all(0 < side < math.inf for side in anchors)
    allowed = f"widths and heights in pixels, w,h,w,h,..., as many for each of the {len(strides)} strides"
    _require(fitting, f"{key}.anchors", anchors, allowed)


# --- data ---


def _check_data(data: DataConfig) -> None:
    for name in PICTURE_SETS:
        pictures = getattr(data, name)
        if pictures.source is None and name in SETS_OUT_OF_CALIBRATION:
            without = "null: without a source it is taken out of the calibration pictures"
            _require(pictures.size is None, f"data.{name}.size", pictures.size, without)
            _require(pictures.part is None, f"data.{name}.part", pictures.part, without)
            continue
        _check_source_list(f"data.{name}.source", pictures.source)
        positive = pictures.size is None or pictures.size > 0
        _require(positive, f"data.{name}.size", pictures.size, "a positive number or null")
        _check_part(f"data.{name}.part", pictures.part)
    sigmas = data.evaluation.kpt_oks_sigmas
    placed = all(0 < sigma < math.inf for sigma in sigmas)
    _require(placed, "data.evaluation.kpt_oks_sigmas", sigmas, "a number above 0 for each key point, or []")
    _check_metric(data.evaluation)
    _check_labels(data.evaluation)


def _check_part(key: str, part: list[float] | None) -> None:
    if part is not None:
        ascending = len(part) == 2 and 0.0 <= part[0] < part[1] <= 1.0
        _require(ascending, key, part, "[LOW, HIGH] with 0 <= LOW < HIGH <= 1, or null")


def _check_metric(data: LabelledSet) -> None:
    metric, key = data.metric, "data.evaluation.metric"
    if metric is None:
        _require(data.task is not Task.custom, key, metric, "module:Class, what task=custom measures")
        return
    _require(bool(re.fullmatch(r"[\w.]+:[\w.]+", metric)), key, metric, "module:Class")
    custom = "null: boxes are scored by mAP and by agreement; for a measure of your own set data.evaluation.task=custom"
    _require(data.task is not Task.detection, key, metric, custom)


def _check_labels(data: LabelledSet) -> None:
    labels = data.labels
    if data.task is Task.custom:
        table = labels is None or labels.startswith(("file:", "package:", "https:"))
        _require(table, "data.evaluation.labels", labels, "file:CSV with columns file and label, or null")
        _check_sources("data.evaluation.labels", [labels] if labels else [])
        return
    if data.task is Task.none:
        _require(labels is None, "data.evaluation.labels", labels, "null: task=none uses none")
        return
    if data.task is Task.detection:
        if labels is not None:
            forms = "file:FOLDER of YOLO text files, file:JSON as COCO has it, or null"
            _require(labels.startswith(("file:", "package:", "http")), "data.evaluation.labels", labels, forms)
            _check_sources("data.evaluation.labels", [labels])
        return
    known = labels is not None and (labels == "folders" or labels.startswith(("pattern:", "file:")))
    forms = "pattern:REGEX, folders or file:CSV; without labels set data.evaluation.task=none"
    _require(known, "data.evaluation.labels", labels, forms)
    assert labels is not None
    if labels.startswith("pattern:"):
        try:
            groups = re.compile(labels.removeprefix("pattern:")).groups
        except re.error as error:
            raise UserError(f"data.evaluation.labels={labels}: not a regular expression: {error}") from error
        _require(groups > 0, "data.evaluation.labels", labels, "a group ( ) around the class number")
    elif labels != "folders":
        _check_sources("data.evaluation.labels", [labels])


def _check_task(config: Config) -> None:
    """Refuse boxes of a network that is said to be no detector."""
    detector = config.model.detector
    if config.data.evaluation.task is Task.detection and detector.kind is DetectorKind.none and not detector.function:
        raise UserError(
            "data.evaluation.task=detection: model.detector.kind=none says that the network is no detector; give "
            "kind=auto, model.detector.function=module:function, or data.evaluation.task=none"
        )


# --- sources ---


def _check_source_list(key: str, value: Any) -> None:
    sources = [value] if isinstance(value, str) else value
    if not isinstance(sources, list) or not sources or not all(isinstance(source, str) for source in sources):
        raise UserError(f"{key}={value}: give a source or a list of sources")
    _check_sources(key, sources)


def _check_sources(key: str, sources: list[str]) -> None:
    try:
        parsed = [parse(source) for source in sources]
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    if len(parsed) > 1 and any(source.kind == "file" for source in parsed):
        raise UserError(f"{key}: a list holds pinned sources only; put local pictures in one folder and give that")
