"""From a vendor's config, in the flat cfg's keys, to an experiment of ours."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.paths import NODE_BITS
from stages.core.config.schema import FLOAT_BITS, FeatureMethod, WeightMethod
from stages.init.spellings import NETWORK, VALIDATION_PATH
from stages.init.values import Entries, Entry, color, flag, numbers_by_input, shapes_by_input, text, texts, whole

__all__ = ["Experiment", "interpret"]

# The converter's types of operators as its guide lists them, and ours.
OPERATORS = {
    "Conv2D": ["Conv"],
    "EltwiseAdd": ["Add"],
    "GlobalAvgPool": ["GlobalAveragePool"],
    "MatMul": ["MatMul", "Gemm"],
    "BatchNormScale": [],  # mean and normal of the input; here they are no node
}
OWN_OPERATORS = ("DepthwiseConv", "Silu")
METHODS = {"MAX": "MAX_ABS"}  # the older guide's text; its samples have MAX_ABS
SIDES = {"feature": "FEATURE_FAKE_QUANT", "weight": "WEIGHT_FAKE_QUANT"}


@dataclass
class Experiment:
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
        validation: folder of the samples to judge corrections by.
        node_bits: file of widths and ranges.
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


Found = Callable[[str], Path]


def interpret(entries: Entries, find: Found, notes: list[str]) -> Experiment:
    """Say a config's entries in our terms.

    Args:
        entries: by the flat cfg's keys.
        find: where a path of the config is.
        notes: takes what the user should know.

    Raises:
        UserError: for a value that has no meaning here, naming file and key.
    """

    def path(key: str) -> Path | None:
        said = text(entries[key]) if key in entries else ""
        return find(said) if said else None

    _check_format(entries.get("FORMAT"))
    experiment = Experiment(
        soc=text(entries["SOC"]) or None if "SOC" in entries else None,
        network=path(NETWORK),
        inputs=_inputs(entries),
        outputs=texts(entries["OUTPUT"]) if "OUTPUT" in entries else [],
        quant=_bits(entries, notes) | _methods(entries, notes) | _skipped(entries, notes),
        calibration=path("QUANT_DATASET_PATH"),
        size=whole(entries["QUANT_DATASET_SIZE"]) if "QUANT_DATASET_SIZE" in entries else None,
        debug=path("DEBUG_PATH"),
        validation=path(VALIDATION_PATH),
    )
    for side in ("weight", "feature"):
        folder = path(f"{side.upper()}_CORRECT_PATH")
        if folder is None:
            continue
        experiment.quant[f"{side}_correction"] = True
        if experiment.correction not in (None, folder):
            notes.append(f"{entries[f'{side.upper()}_CORRECT_PATH'].where}: one set serves both corrections; left out")
        experiment.correction = experiment.correction or folder
    _node_bits(experiment, entries, find, notes)
    return experiment


def _check_format(entry: Entry | None) -> None:
    if entry and text(entry).lower() not in ("", "onnx"):
        raise UserError(f"{entry.where}={entry.value}: convert the network to ONNX first, then give it with --model")


def _inputs(entries: Entries) -> list[dict[str, Any]]:
    names = texts(entries["INPUT"]) if "INPUT" in entries else []
    shape = entries.get("INPUT_SHAPE") or _picture_shape(entries)
    shapes = shape.value if shape and shape.value else []
    if not isinstance(shapes, list | tuple):
        assert shape is not None
        raise UserError(f"{shape.where}={shapes}: give a list of sizes, or one for each input")
    nested = len(shapes) if shapes and isinstance(shapes[0], list | tuple) else min(len(shapes), 1)
    count = max(len(names), nested, 1)
    given = shapes_by_input(shape, count)
    channels = [sizes[1] if sizes and len(sizes) > 1 else None for sizes in given]
    means = numbers_by_input(entries.get("MEAN"), channels)
    normals = numbers_by_input(entries.get("NORMAL"), channels)
    colors = _colors(entries.get("COLOR"), count)
    columns = {"name": [*names, *[None] * count][:count], "shape": given, "mean": means, "normal": normals}
    columns["color"] = colors
    rows = zip(*columns.values(), strict=True)
    return [{key: value for key, value in zip(columns, row, strict=True) if value is not None} for row in rows]


def _picture_shape(entries: Entries) -> Entry | None:
    """The shape where it is said as the sides of a picture."""
    width, height = entries.get("WIDTH"), entries.get("HEIGHT")
    if width is None or height is None:
        return None
    if "CHANNEL" in entries:
        channels = whole(entries["CHANNEL"])
    else:
        shown = _colors(entries.get("COLOR"), 1)[0]
        channels = 1 if shown == "GRAY" else 3
    return Entry([1, channels, whole(height), whole(width)], f"{width.where}, {height.where}")


def _colors(entry: Entry | None, count: int) -> list[str | None]:
    if entry is None or not entry.value:
        return [None] * count
    listed = list(entry.value) if isinstance(entry.value, list | tuple) else [entry.value]
    if len(listed) > count:
        raise UserError(f"{entry.where} is for {len(listed)} inputs; there are {count}")
    found = [None if value is None else color(value, entry.where) for value in listed]
    return found + [None] * (count - len(found))


def _bits(entries: Entries, notes: list[str]) -> dict[str, Any]:
    """Widths, and which side is quantized."""
    quant: dict[str, Any] = {}
    for side in ("feature", "weight"):
        entry = entries.get(f"QUANT_{side.upper()}_BIT")
        if entry:
            quant[f"{side}_bits"] = whole(entry)
    only = [side for side, key in SIDES.items() if key in entries and flag(entries[key])]
    if len(only) == 2:
        notes.append(f"{entries[SIDES['weight']].where} and that of features are both true: both sides are quantized")
    elif only:
        other = "weight" if only == ["feature"] else "feature"
        if quant.get(f"{other}_bits") != FLOAT_BITS:  # in float already
            quant["fake_quant"] = only[0]
    return quant


def _methods(entries: Entries, notes: list[str]) -> dict[str, Any]:
    quant = {}
    known = {"feature": ("MAX_ABS", "KL", "MSE", "ADMM"), "weight": ("MAX_ABS", "ADMM")}
    for side, kind in (("feature", FeatureMethod), ("weight", WeightMethod)):
        entry = entries.get(f"QUANT_{side.upper()}_METHOD")
        if entry is None or not text(entry):
            continue
        name = METHODS.get(text(entry).upper(), text(entry).upper())
        if side == "weight" and name == "KL":  # the July guide calls it the default, then lists the two that there are
            notes.append(f"{entry.where}=KL: no method for weights; MAX_ABS is taken")
            name = "MAX_ABS"
        if name not in kind.__members__:
            raise UserError(f"{entry.where}={entry.value}: give one of {', '.join(known[side])}")
        quant[f"{side}_method"] = name
    return quant


def _skipped(entries: Entries, notes: list[str]) -> dict[str, Any]:
    quant: dict[str, Any] = {}
    nodes = texts(entries["QUANT_NODE_SKIP"]) if "QUANT_NODE_SKIP" in entries else []
    if nodes:
        quant["skip_nodes"] = nodes
    operators: list[str] = []
    for kind in texts(entries["QUANT_OP_SKIP"]) if "QUANT_OP_SKIP" in entries else []:
        if kind in OPERATORS:
            operators += OPERATORS[kind]
        elif kind in OWN_OPERATORS or onnx.defs.has(kind):
            operators.append(kind)
        else:
            hint = did_you_mean(kind, OPERATORS)
            notes.append(f"{entries['QUANT_OP_SKIP'].where}: {kind!r} is left out: not known as an operator; {hint}")
    if operators:
        quant["skip_ops"] = operators
    return quant


def _node_bits(experiment: Experiment, entries: Entries, find: Found, notes: list[str]) -> None:
    """The file that the converter reads from where it runs."""
    keys = [key for key in ("LOAD_OP_QUANT_BIT", "LOAD_OP_QUANT_MIN_MAX") if key in entries and flag(entries[key])]
    if not keys:
        return
    path = find(NODE_BITS.name)
    if not path.is_file():
        notes.append(f"{entries[keys[0]].where}: there is no {path}; widths and ranges of single nodes are left out")
        return
    experiment.node_bits = path
    if keys == ["LOAD_OP_QUANT_BIT"]:
        experiment.quant["node_ranges"] = False
    elif keys == ["LOAD_OP_QUANT_MIN_MAX"]:
        notes.append(f"{entries[keys[0]].where}: the widths in {path} are taken too")
