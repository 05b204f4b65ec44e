"""The settings that results were made with, in a file beside them.

DVC runs again what is out of date. Who runs stages one by one may forget one, and the next would go on with its old
results: it compares the settings first.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import as_object, read_artifact, write_json
from stages.core.base.checksums import read_bytes
from stages.core.base.errors import UserError
from stages.core.base.paths import EXPORT, INTEGER_MODEL
from stages.core.config.schema import Config, ModelConfig

__all__ = [
    "calibset_settings",
    "check_export",
    "check_settings",
    "compare_settings",
    "evaluate_settings",
    "export_settings",
    "save_settings",
]

SETTINGS_FILE = "settings.json"
NETWORK = "quantized network"
"""How messages call what has no key."""


def export_settings(model: ModelConfig) -> dict[str, str]:
    """The settings that decide which network export writes: key -> a short digest of its value."""
    keys = ("source", "torch", "inputs", "outputs", "cut")
    values = {key: value for key, value in asdict(model).items() if key in keys}
    detector = model.detector  # its thresholds change no network
    values |= {
        "detector.kind": detector.kind,
        "detector.anchors": detector.anchors,
        "detector.classes": detector.classes,
    }
    values["detector.function"] = detector.function is not None  # nothing is cut for any function
    return _digests("model", values)


def calibset_settings(config: Config) -> dict[str, str]:
    """The settings that decide which samples calibset writes."""
    sets = {name: asdict(getattr(config.data, name)) for name in ("calibration", "correction", "validation")}
    inputs = {"inputs": asdict(config.model)["inputs"], "preprocess": asdict(config.model.preprocess)}
    return _digests("data", sets) | _digests("model", inputs)


def evaluate_settings(config: Config) -> dict[str, str]:
    """What evaluate's results follow from: its settings, and the quantized network on disk."""
    return _measured(config, "evaluation") | _digests("evaluate", asdict(config.evaluate))


def compare_settings(config: Config) -> dict[str, str]:
    """What compare's results follow from: its settings, and the quantized network on disk."""
    return _measured(config, "debug")


def save_settings(folder: Path, settings: Mapping[str, str]) -> None:
    """Write the settings of a folder's results."""
    write_json(folder / SETTINGS_FILE, settings)


def check_settings(folder: Path, settings: Mapping[str, str]) -> None:
    """Refuse results that were made with other settings.

    Args:
        folder: of a stage, such as out/export.
        settings: those that are in force.

    Raises:
        UserError: naming the keys that differ, or if there are no results.
    """
    before = read_artifact(folder / SETTINGS_FILE, as_object)
    changed = [key for key in settings if before.get(key) != settings[key]]
    if changed:
        raise UserError(f"{folder} was made with another {', '.join(changed)}: run `dvc repro`")


def check_export(model: ModelConfig) -> None:
    """Refuse an exported network of other settings.

    Raises:
        UserError: naming the keys that differ, or if nothing is exported.
    """
    check_settings(EXPORT, export_settings(model))


def _measured(config: Config, pictures: str) -> dict[str, str]:
    settings = _digests("model.detector", asdict(config.model.detector))
    settings |= _digests(f"data.{pictures}", asdict(getattr(config.data, pictures)))
    return settings | {NETWORK: hashlib.sha256(read_bytes(INTEGER_MODEL)).hexdigest()[:16]}


def _digests(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    return {f"{prefix}.{key}": hashlib.sha256(repr(value).encode()).hexdigest()[:16] for key, value in values.items()}
