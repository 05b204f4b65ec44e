"""Loading and checking an experiment's config. Every refusal is one line that names the key."""

import dataclasses
import math
import re
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import onnx
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from yaml import YAMLError

from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.sources import parse, require_local, watched_path
from stages.core.config.schema import (
    FLOAT_BITS,
    Config,
    DetectorConfig,
    DetectorKind,
    Fit,
    InputConfig,
    LabelledSet,
    ModelConfig,
    OperatorBitWidths,
    SocConfig,
    Task,
    Vendor,
)
from stages.core.config.toolchain import find_tool, watched_tool

__all__ = [
    "allowed_bit_widths",
    "check",
    "check_bit_width",
    "check_files",
    "conform",
    "explain",
    "load_params",
    "missing_keys",
    "register_resolver",
]


def register_resolver() -> None:
    """Tell OmegaConf the resolvers of `watch`. May be called twice."""
    OmegaConf.register_new_resolver("watch", watched_path, replace=True)
    OmegaConf.register_new_resolver("watch_tool", watched_tool, replace=True)


def load_params(path: Path) -> Config:
    """Load and check a params.yaml.

    Raises:
        UserError: if it is missing, is not YAML, or holds a wrong key, type or value.
    """
    try:
        content = OmegaConf.load(path)
        if not content:
            raise UserError(f"{path} is empty: write it with `python -m stages.compose`")
        if not isinstance(content, DictConfig):
            raise UserError(f"{path} is a list, not keys: write it anew with `python -m stages.compose`")
        config = conform(content)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: write it with `python -m stages.compose`") from None
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML with keys: {one_line(error)}") from error
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {explain(error)}") from error
    absent = missing_keys(OmegaConf.to_container(content))
    if absent:
        raise UserError(f"{path} lacks {', '.join(absent)}: write it anew with `python -m stages.compose`")
    check(config)
    return config


def missing_keys(content: Any) -> list[str]:
    """List the schema's keys that plain content lacks: a composed config has them all."""

    def walk(kind: Any, node: Any, prefix: str) -> Iterator[str]:
        for item in dataclasses.fields(kind):
            if item.name not in node:
                yield f"{prefix}{item.name}"
            elif dataclasses.is_dataclass(item.type):
                yield from walk(item.type, node[item.name], f"{prefix}{item.name}.")

    return list(walk(Config, content, ""))


def conform(content: Any) -> Config:
    """Put plain content into the schema.

    Raises:
        OmegaConfBaseException: for a wrong key, type or value.
    """
    register_resolver()
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), content))
    assert isinstance(config, Config)
    return config


# --- checks that types cannot express ---------------------------------------------------------------------------


def allowed_bit_widths(operators: Iterable[OperatorBitWidths], side: str) -> list[int]:
    """Collect the widths that any of the operators runs at; `side` is "feature_bits" or "weight_bits"."""
    return sorted({width for operator in operators for width in getattr(operator, side)})


def check_bit_width(key: str, width: int, soc: SocConfig, side: str) -> None:
    """Refuse a width that no operator of the SOC has; `side` is "feature_bits" or "weight_bits".

    Raises:
        UserError: naming those that there are.
    """
    bit_widths, simulated = allowed_bit_widths(soc.operators.values(), side), getattr(soc.simulated, side)
    if width not in (*bit_widths, *simulated, FLOAT_BITS):
        listed = _listed(bit_widths, simulated)
        raise UserError(
            f"{key}={width}: the {soc.name} cannot do {width} bits; it can do {listed}; {FLOAT_BITS} stands for float"
        )


def check(config: Config) -> None:
    """Refuse values that no dataclass can: widths the SOC lacks, lengths, ranges, sources.

    Raises:
        UserError: for the first that is wrong.
    """
    for key, name in (("soc.name", config.soc.name), ("model.name", config.model.name)):
        _require(bool(re.fullmatch(r"\w[\w.+-]*", name, re.ASCII)), key, name, "letters, digits and . _ + -")
    for key, name in (("data.name", config.data.name), ("quant.name", config.quant.name)):
        _require(bool(name.strip()), key, name, "a name")
    _require(bool(config.track.experiment.strip()), "track.experiment", config.track.experiment, "a name")
    _check_operators(config.soc)
    path = config.soc.toolchain.path
    _require(
        not path or config.soc.vendor is Vendor.ingenic,
        "soc.toolchain.path",
        path,
        f"null: build runs Ingenic's converter only; for the {config.soc.name} run the folder's run.sh",
    )
    _check_quant(config)
    _check_model(config.model)
    for name in ("calibration", "correction", "validation", "debug", "evaluation"):
        part = getattr(config.data, name)
        if part.source is None and name in ("correction", "validation"):
            without = "null: without a source it is taken out of the calibration pictures"
            _require(part.size is None, f"data.{name}.size", part.size, without)
            continue
        _check_source_list(f"data.{name}.source", part.source)
        _require(part.size is None or part.size > 0, f"data.{name}.size", part.size, "a positive number or null")
    _check_labels(config.data.evaluation)
    _check_watch(config)


def _watched_sources(config: Config) -> dict[str, tuple[str, Any]]:
    """Map each key of `watch` to the config key whose local path it holds, and that key's value."""
    data = config.data
    return {
        "model": ("model.source", config.model.source),
        "code": ("model.torch.code", config.model.torch.code),
        "calibration": ("data.calibration.source", data.calibration.source),
        "correction": ("data.correction.source", data.correction.source),
        "validation": ("data.validation.source", data.validation.source),
        "debug": ("data.debug.source", data.debug.source),
        "evaluation": ("data.evaluation.source", data.evaluation.source),
        "labels": ("data.evaluation.labels", data.evaluation.labels),
        "node_bits": ("quant.node_bits", config.quant.node_bits),
    }


def _check_watch(config: Config) -> None:
    for name, (_, source) in _watched_sources(config).items():
        watched = getattr(config.watch, name)
        if watched != watched_path(source):
            raise UserError(f"watch.{name}={watched} does not fit {source}: `python -m stages.compose` fills watch in")
    toolchain = config.soc.toolchain
    if config.watch.toolchain != watched_tool(toolchain.path, toolchain.name):
        raise UserError(
            f"watch.toolchain={config.watch.toolchain} does not fit soc.toolchain.path={toolchain.path}: "
            "`python -m stages.compose` fills watch in"
        )


def _check_operators(soc: SocConfig) -> None:
    for kind, bit_widths in soc.operators.items():
        if kind not in ("DepthwiseConv", "Silu") and not onnx.defs.has(kind):
            raise UserError(f"soc.operators.{kind}: is no ONNX operator (nor DepthwiseConv or Silu)")
        for side in ("feature_bits", "weight_bits"):
            found = getattr(bit_widths, side)
            _require(all(2 <= w <= 16 for w in found), f"soc.operators.{kind}.{side}", found, "widths of 2 to 16 bits")


def _check_labels(data: LabelledSet) -> None:
    labels = data.labels
    if data.task is Task.none:
        _require(labels is None, "data.evaluation.labels", labels, "null: task=none uses none")
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


def check_files(config: Config) -> None:
    """Refuse `file:` sources and a converter that do not exist. Composition asks; a stage finds out when it opens them.

    Raises:
        UserError: naming the key and the path.
    """
    for key, value in _watched_sources(config).values():
        for text in [value] if isinstance(value, str) else value or []:
            if text.startswith("file:"):
                try:
                    require_local(parse(text))
                except UserError as error:
                    raise UserError(f"{key}: {error}") from error
    find_tool(config.soc.toolchain)


def _require(holds: bool, key: str, value: Any, allowed: str) -> None:
    if not holds:
        raise UserError(f"{key}={value}: give {allowed}")


def _check_quant(config: Config) -> None:
    soc: SocConfig = config.soc
    for side in ("feature_bits", "weight_bits"):
        check_bit_width(f"quant.{side}", getattr(config.quant, side), soc, side)
    _check_edges(config)
    if config.quant.node_bits is not None:
        _check_sources("quant.node_bits", [config.quant.node_bits])
    percentile = config.quant.percentile
    _require(50 <= percentile <= 100, "quant.percentile", percentile, "percent of the values, 50 to 100")
    steps, variants = config.quant.steps, config.quant.variants
    _require(steps is None or steps > 0, "quant.steps", steps, "a positive number or null")
    _require(variants > 0, "quant.variants", variants, "a positive number")


def _check_edges(config: Config) -> None:
    """Refuse a width that neither features nor weights have on the SOC."""
    soc, width = config.soc, config.quant.edge_bits
    sides = ("feature_bits", "weight_bits")
    bit_widths = sorted({width for side in sides for width in allowed_bit_widths(soc.operators.values(), side)})
    simulated = sorted({width for side in sides for width in getattr(soc.simulated, side)} - {*bit_widths})
    if width not in (None, *bit_widths, *simulated):
        raise UserError(
            f"quant.edge_bits={width}: the {soc.name} can do {_listed(bit_widths, simulated)}; null for none"
        )


def _listed(bit_widths: list[int], simulated: list[int]) -> str:
    listed = ", ".join(map(str, bit_widths))
    return listed + (f" (on the PC also {', '.join(map(str, simulated))})" if simulated else "")


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
    for index, entry in enumerate(model.inputs):
        key = f"model.inputs[{index}]"
        if entry.shape is not None:
            _require(
                bool(entry.shape) and all(d > 0 for d in entry.shape),
                f"{key}.shape",
                entry.shape,
                "positive sizes; batch 1 first, as in [1,3,224,224]",
            )
            if len(entry.shape) == 4:
                _require(entry.shape[0] == 1, f"{key}.shape", entry.shape, "batch 1: pictures run one at a time")
        if entry.mean is not None:
            finite = all(map(math.isfinite, entry.mean))
            _require(bool(entry.mean) and finite, f"{key}.mean", entry.mean, "one finite value, or one a channel")
        if entry.normal is not None:
            finite = all(map(math.isfinite, entry.normal)) and 0 not in entry.normal
            _require(bool(entry.normal) and finite, f"{key}.normal", entry.normal, "finite values other than 0")
    preprocess = model.preprocess
    _require(0 <= preprocess.pad <= 255, "model.preprocess.pad", preprocess.pad, "a grey level, 0 to 255")
    _require(preprocess.shorter_side >= 0, "model.preprocess.shorter_side", preprocess.shorter_side, "pixels, or 0")
    if preprocess.fit is not Fit.crop and preprocess.shorter_side:
        raise UserError("model.preprocess.shorter_side is for fit=crop; with another fit leave it at 0")
    _check_detector(model.detector)


def _check_detector(detector: DetectorConfig) -> None:
    key, strides, anchors = "model.detector", detector.strides, detector.anchors
    ascending = bool(strides) and strides[0] > 0 and strides == sorted(set(strides))
    _require(ascending, f"{key}.strides", strides, "positive pixels in ascending order, as in [8,16,32]")
    _require(detector.classes > 0, f"{key}.classes", detector.classes, "a positive number")
    for name in ("score_threshold", "nms_threshold"):
        value = getattr(detector, name)
        _require(0 < value < 1, f"{key}.{name}", value, "a number between 0 and 1")
    if detector.kind is not DetectorKind.yolov5:
        _require(not anchors, f"{key}.anchors", anchors, "[]: they are for kind=yolov5")
        return
    fitting = anchors and len(anchors) % (2 * len(strides)) == 0 and all(0 < side < math.inf for side in anchors)
    wanted = f"widths and heights in pixels, w,h,w,h,..., as many for each of the {len(strides)} strides"
    _require(bool(fitting), f"{key}.anchors", anchors, wanted)


def _check_source_list(key: str, value: Any) -> None:
    sources = [value] if isinstance(value, str) else value
    if not isinstance(sources, list) or not sources or not all(isinstance(s, str) for s in sources):
        raise UserError(f"{key}={value}: give a source or a list of sources")
    _check_sources(key, sources)


def _check_sources(key: str, sources: list[str]) -> None:
    try:
        parsed = [parse(source) for source in sources]
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    if len(parsed) > 1 and any(source.kind == "file" for source in parsed):
        raise UserError(f"{key}: a list holds pinned sources only; put local pictures in one folder and give that")


# --- saying what OmegaConf means --------------------------------------------------------------------------------


def explain(error: OmegaConfBaseException) -> str:
    """Say in one line what is wrong with the config, where, and what is allowed."""
    key = _full_key(error)
    behind = re.search(r"resolving interpolation: Missing mandatory value: ([\w.]+)", str(error.msg))
    if behind or isinstance(error, MissingMandatoryValue):
        return f"{behind[1] if behind else key} has no value: set it in conf/ or as an override"
    if isinstance(error, (ConfigKeyError, ConfigAttributeError)):
        parent, _, leaf = key.rpartition(".")
        allowed = _schema_keys(parent) or _keys_of(error.object_type)  # of a sweep's own settings
        where = f" of {parent}" if parent else ""
        hint = did_you_mean(leaf, allowed) if allowed else f"to add one write +{key}=..."
        return f"{key}: no such key{where}; {hint}"
    return f"{key}: {_value_problem(error, key)}"


def _full_key(error: OmegaConfBaseException) -> str:
    """The key's path from the root; inside a list OmegaConf gives it from the item on."""
    key = str(error.full_key or error.key or "")
    in_lists = {"model.inputs[]": InputConfig}
    for path, item in in_lists.items():
        names = {entry.name for entry in dataclasses.fields(item)}
        if error.object_type is item or (key.split("[", maxsplit=1)[0] in names and not key.startswith(path[:-2])):
            return f"{path}.{key}"
    return key


def _value_problem(error: OmegaConfBaseException, key: str) -> str:
    message = str(error.msg or error).splitlines()[0].rstrip(".")
    expected = _schema_type(key)
    if isinstance(expected, type) and issubclass(expected, Enum):
        return f"{message.partition(', expected')[0]}; give one of {', '.join(member.name for member in expected)}"
    if "ListConfig" in message:
        message = "not a list"
    elif "subclass of" in message:
        message = "no group of keys"
    return f"{message}; give {_type_name(expected)}" if expected is not None else message


def _schema_type(key: str) -> Any:
    """Follow a dotted key (with [i] for list items) through the schema's annotations."""
    kind: Any = Config
    for part in key.replace("[", ".").replace("]", "").split("."):
        kind = _unwrap(kind)
        origin = typing.get_origin(kind)
        if origin is list:
            (kind,) = typing.get_args(kind)
        elif origin is dict:
            kind = typing.get_args(kind)[1]
        elif dataclasses.is_dataclass(kind) and part in typing.get_type_hints(kind):
            kind = typing.get_type_hints(kind)[part]
        elif part:
            return None
    return _unwrap(kind)


def _unwrap(kind: Any) -> Any:
    """Drop `| None`."""
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    return members[0] if type(None) in typing.get_args(kind) and len(members) == 1 else kind


def _schema_keys(key: str) -> list[str]:
    return _keys_of(_schema_type(key) if key else Config)


def _keys_of(kind: Any) -> list[str]:
    return [item.name for item in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is list:
        (member,) = typing.get_args(kind)
        return f"a list of {_type_name(member).removeprefix('a ')}" + ("" if dataclasses.is_dataclass(member) else "s")
    if dataclasses.is_dataclass(kind):
        return f"keys of {', '.join(item.name for item in dataclasses.fields(kind))}"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return names.get(kind, "a group of keys")
