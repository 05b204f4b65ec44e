"""RKNN's yaml, as its model zoo and its converter's command line have it, said in the keys of the flat cfg."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stages.core.base.errors import UserError, one_line
from stages.core.base.texts import read_text
from stages.init.vendor.config_values import Setting, Settings, flag
from stages.init.vendor.spellings import NETWORK

__all__ = ["from_rknn", "is_rknn"]

MARKS = ("mean_values", "std_values")
SAME = {"mean_values": "MEAN", "std_values": "NORMAL", "input_size_list": "INPUT_SHAPE", "outputs": "OUTPUT"}
"""Keys whose values are said alike."""
NETWORK_KEYS = ("model_file_path", "model_path", "onnx_model")
ALGORITHMS = {"normal": "MAX_ABS", "mmse": "MSE", "kl_divergence": "KL"}
TOOL_KEYS = {"name", "platform", "target_platform", "quantize", "quantized_dtype", "configs", "models", "verbose"}
"""Keys of what is decided elsewhere here, or says nothing."""


def is_rknn(text: str) -> bool:
    """Whether a file is such a yaml: it names means or deviations as RKNN spells them."""
    return any(line.strip().startswith(tuple(f"{mark}:" for mark in MARKS)) for line in text.splitlines())


def from_rknn(text: str, path: Path, notes: list[str]) -> Settings:
    """Translate the yaml.

    Args:
        text: its content.
        path: of the file; the list of pictures that it names is relative to its folder.
        notes: takes what the user should know.

    Raises:
        UserError: if it is no yaml, or its list of pictures is of several folders.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path.name} is no YAML: {one_line(error)}") from error
    settings: Settings = {}
    for key, value in _keys(content):
        where = f"{path.name}: {key}"
        if key in SAME:
            settings[SAME[key]] = Setting(value, where)
        elif key in NETWORK_KEYS:
            settings[NETWORK] = Setting(value, where)
        elif key == "quant_img_RGB2BGR":
            settings["COLOR"] = Setting("BGR" if flag(Setting(_first(value), where)) else "RGB", where)
        elif key == "quantized_algorithm":
            settings["QUANT_FEATURE_METHOD"] = Setting(ALGORITHMS.get(str(value), str(value)), where)
        elif key == "dataset":
            settings["QUANT_DATASET_PATH"] = Setting(_folder_of(path.parent / str(value), where), where)
        elif key not in TOOL_KEYS:
            notes.append(f"{where}: unknown, left out")
    return settings


def _keys(content: Any) -> Iterator[tuple[str, Any]]:
    """The keys of all groups, from the outside in."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield str(key), value
            yield from _keys(value)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _folder_of(table: Path, where: str) -> str:
    """The folder of the pictures that a text file lists, a line each."""
    try:
        lines = [line.split() for line in read_text(table).splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where}={table} cannot be read: {one_line(error)}") from error
    folders = {(table.parent / line[0]).parent for line in lines}
    if len(folders) != 1:
        raise UserError(f"{where}: {table} lists pictures of {len(folders)} folders; put them into one")
    return str(folders.pop().resolve())
