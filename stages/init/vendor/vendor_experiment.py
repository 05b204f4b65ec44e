"""From a vendor's config, in the flat cfg's keys, to an experiment of ours."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.paths import NODE_BITS
from stages.core.config.schema import FLOAT_BITS, FeatureMethod, WeightMethod
from stages.init.vendor.config_values import (
    Setting,
    Settings,
    color,
    flag,
    numbers_by_input,
    shapes_by_input,
    text,
    texts,
    whole,
)
from stages.init.vendor.spellings import NETWORK, VALIDATION_PATH

__all__ = ["VendorExperiment", "interpret"]

# The converter's types of operators as its guide lists them, and ours.
OPERATORS_OF_TYPE = {
    "Conv2D": ["Conv"],
    "EltwiseAdd": ["Add"],
    "GlobalAvgPool": ["GlobalAveragePool"],
    "MatMul": ["MatMul", "Gemm"],
    "BatchNormScale": [],  # mean and normal of the input; here they are no node
}
OWN_OPERATORS = ("DepthwiseConv", "Silu")
METHOD_SPELLINGS = {"MAX": "MAX_ABS"}  # the older guide's text; its samples have MAX_ABS
FAKE_QUANT_KEYS = {"feature": "FEATURE_FAKE_QUANT", "weight": "WEIGHT_FAKE_QUANT"}


@dataclass
class VendorExperiment:
    """What a vendor's config says.

    Attributes:
        soc: as the vendor spells it; None if it does not say.
        network: the ONNX file; None if it does not say.
        inputs: `model.inputs`.
        outputs: `model.outputs`.
        quant: key of `quant` -> value, where it differs from the vendor's default.
        calibration: folder of the calibration samples.
        size: how many of them; None for all.
        debug: folder or file of the debug samples.
        correction: folder of the samples to correct with.
        validation: folder of the samples to validate corrections on.
        node_bits: file of bit widths and ranges.
    """

    soc: str | None = None
    network: Path | None = None
    inputs: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    outputs: list[str] = field(default_factory=list)
    quant: dict[str, Any] = field(default_factory=dict)
    calibration: Path | None = None
    size: int | None = None
    debug: Path | None = None
    correction: Path | None = None
    validation: Path | None = None
    node_bits: Path | None = None


FindPath = Callable[[str], Path]


def interpret(settings: Settings, find: FindPath, notes: list[str]) -> VendorExperiment:
    """Say a config's settings in our terms.

    Args:
        settings: by the flat cfg's keys.
        find: where a path of the config is.
        notes: takes what the user should know.

    Raises:
        UserError: for a value that has no meaning here, naming file and key.
    """

    def path(key: str) -> Path | None:
        said = text(settings[key]) if key in settings else ""
        return find(said) if said else None

    _check_format(settings.get("FORMAT"))
    experiment = VendorExperiment(
        soc=text(settings["SOC"]) or None if "SOC" in settings else None,
        network=path(NETWORK),
        inputs=_inputs(settings),
        outputs=texts(settings["OUTPUT"]) if "OUTPUT" in settings else [],
        quant=_bits(settings, notes) | _methods(settings, notes) | _skipped(settings, notes),
        calibration=path("QUANT_DATASET_PATH"),
        size=whole(settings["QUANT_DATASET_SIZE"]) if "QUANT_DATASET_SIZE" in settings else None,
        debug=path("DEBUG_PATH"),
        validation=path(VALIDATION_PATH),
    )
    for side in ("weight", "feature"):
        folder = path(f"{side.upper()}_CORRECT_PATH")
        if folder is None:
            continue
        experiment.quant[f"{side}_correction"] = True
        if experiment.correction not in (None, folder):
            notes.append(f"{settings[f'{side.upper()}_CORRECT_PATH'].where}: one set serves both corrections; left out")
        experiment.correction = experiment.correction or folder
    _node_bits(experiment, settings, find, notes)
    return experiment


def _check_format(setting: Setting | None) -> None:
    if setting and text(setting).lower() not in ("", "onnx"):
        raise UserError(
            f"{setting.where}={setting.value}: convert the network to ONNX first, then give it with --model"
        )


def _inputs(settings: Settings) -> list[dict[str, Any]]:
    names = texts(settings["INPUT"]) if "INPUT" in settings else []
    shape = settings.get("INPUT_SHAPE") or _picture_shape(settings)
    shapes = shape.value if shape and shape.value else []
    if not isinstance(shapes, list | tuple):
        assert shape is not None
        raise UserError(f"{shape.where}={shapes}: give a list of sizes, or one for each input")
    nested = len(shapes) if shapes and isinstance(shapes[0], list | tuple) else min(len(shapes), 1)
    count = max(len(names), nested, 1)
    given = shapes_by_input(shape, count)
    channels = [sizes[1] if sizes and len(sizes) > 1 else None for sizes in given]
    means = numbers_by_input(settings.get("MEAN"), channels)
    normals = numbers_by_input(settings.get("NORMAL"), channels)
    colors = _colors(settings.get("COLOR"), count)
    columns = {"name": [*names, *[None] * count][:count], "shape": given, "mean": means, "normal": normals}
    columns["color"] = colors
    rows = zip(*columns.values(), strict=True)
    return [{key: value for key, value in zip(columns, row, strict=True) if value is not None} for row in rows]


def _picture_shape(settings: Settings) -> Setting | None:
    """The shape where it is said as the sides of a picture."""
    width, height = settings.get("WIDTH"), settings.get("HEIGHT")
    if width is None or height is None:
        return None
    if "CHANNEL" in settings:
        channels = whole(settings["CHANNEL"])
    else:
        shown = _colors(settings.get("COLOR"), 1)[0]
        channels = 1 if shown == "GRAY" else 3
    return Setting([1, channels, whole(height), whole(width)], f"{width.where}, {height.where}")


def _colors(setting: Setting | None, count: int) -> list[str | None]:
    if setting is None or not setting.value:
        return [None] * count
    listed = list(setting.value) if isinstance(setting.value, list | tuple) else [setting.value]
    if len(listed) > count:
        raise UserError(f"{setting.where} is for {len(listed)} inputs; there are {count}")
    orders = [None if value is None else color(value, setting.where) for value in listed]
    return orders + [None] * (count - len(orders))


def _bits(settings: Settings, notes: list[str]) -> dict[str, Any]:
    """Bit widths, and which side is quantized."""
    quant: dict[str, Any] = {}
    for side in ("feature", "weight"):
        setting = settings.get(f"QUANT_{side.upper()}_BIT")
        if setting:
            quant[f"{side}_bits"] = whole(setting)
    only = [side for side, key in FAKE_QUANT_KEYS.items() if key in settings and flag(settings[key])]
    if len(only) == 2:
        notes.append(
            f"{settings[FAKE_QUANT_KEYS['weight']].where} and that of features are both true: both sides are quantized"
        )
    elif only:
        other = "weight" if only == ["feature"] else "feature"
        if quant.get(f"{other}_bits") != FLOAT_BITS:  # in float already
            quant["fake_quant"] = only[0]
    return quant


def _methods(settings: Settings, notes: list[str]) -> dict[str, Any]:
    quant = {}
    known = {"feature": ("MAX_ABS", "KL", "MSE", "ADMM"), "weight": ("MAX_ABS", "ADMM")}
    for side, kind in (("feature", FeatureMethod), ("weight", WeightMethod)):
        setting = settings.get(f"QUANT_{side.upper()}_METHOD")
        if setting is None or not text(setting):
            continue
        name = METHOD_SPELLINGS.get(text(setting).upper(), text(setting).upper())
        if side == "weight" and name == "KL":  # the July guide calls it the default, then lists the two that there are
            notes.append(f"{setting.where}=KL: no method for weights; MAX_ABS is taken")
            name = "MAX_ABS"
        if name not in kind.__members__:
            raise UserError(f"{setting.where}={setting.value}: give one of {', '.join(known[side])}")
        quant[f"{side}_method"] = name
    return quant


def _skipped(settings: Settings, notes: list[str]) -> dict[str, Any]:
    quant: dict[str, Any] = {}
    nodes = texts(settings["QUANT_NODE_SKIP"]) if "QUANT_NODE_SKIP" in settings else []
    if nodes:
        quant["skip_nodes"] = nodes
    operators: list[str] = []
    for kind in texts(settings["QUANT_OP_SKIP"]) if "QUANT_OP_SKIP" in settings else []:
        if kind in OPERATORS_OF_TYPE:
            operators += OPERATORS_OF_TYPE[kind]
        elif kind in OWN_OPERATORS or onnx.defs.has(kind):
            operators.append(kind)
        else:
            hint = did_you_mean(kind, OPERATORS_OF_TYPE)
            notes.append(f"{settings['QUANT_OP_SKIP'].where}: {kind!r} is left out: not known as an operator; {hint}")
    if operators:
        quant["skip_ops"] = operators
    return quant


def _node_bits(experiment: VendorExperiment, settings: Settings, find: FindPath, notes: list[str]) -> None:
    """The file that the converter reads from where it runs."""
    keys = [key for key in ("LOAD_OP_QUANT_BIT", "LOAD_OP_QUANT_MIN_MAX") if key in settings and flag(settings[key])]
    if not keys:
        return
    path = find(NODE_BITS.name)
    if not path.is_file():
        notes.append(
            f"{settings[keys[0]].where}: there is no {path}; bit widths and ranges of single nodes are left out"
        )
        return
    experiment.node_bits = path
    if keys == ["LOAD_OP_QUANT_BIT"]:
        experiment.quant["node_ranges"] = False
    elif keys == ["LOAD_OP_QUANT_MIN_MAX"]:
        notes.append(f"{settings[keys[0]].where}: the bit widths in {path} are taken too")
