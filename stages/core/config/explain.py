"""Saying what OmegaConf means: which key is wrong, and what the schema allows there."""

import dataclasses
import re
import typing
from enum import Enum
from typing import Any

from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from stages.core.base.errors import did_you_mean
from stages.core.config.schema import Config, InputConfig, OperatorGroup

__all__ = ["explain"]

LIST_ITEMS = {"model.inputs[]": InputConfig}
"""Lists of the schema that hold groups of keys: path of an item -> its schema."""
OPERATORS = "soc.operators"
TYPE_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


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
    if OperatorGroup.__name__ in str(error.msg) and not key.startswith(OPERATORS):  # a group that is new there
        return f"{OPERATORS}.{key}"
    for path, item in LIST_ITEMS.items():
        inside = key.split("[", maxsplit=1)[0] in _keys_of(item) and not key.startswith(path.removesuffix("[]"))
        if error.object_type is item or inside:
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
        if key.startswith(f"{OPERATORS}."):
            return "the SOC has no group of operators of that name; add it in conf/soc/ or conf/operators/"
        message = "no group of keys"
    return f"{message}; give {_type_name(expected)}" if expected is not None else message


def _schema_type(key: str) -> Any:
    """Follow a dotted key (with [i] for list items) through the schema's annotations."""
    kind: Any = Config
    for part in key.replace("[", ".").replace("]", "").split("."):
        kind = _without_none(kind)
        origin = typing.get_origin(kind)
        if origin is list:
            (kind,) = typing.get_args(kind)
        elif origin is dict:
            kind = typing.get_args(kind)[1]
        elif dataclasses.is_dataclass(kind) and part in typing.get_type_hints(kind):
            kind = typing.get_type_hints(kind)[part]
        elif part:
            return None
    return _without_none(kind)


def _without_none(kind: Any) -> Any:
    """Drop `| None`."""
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    return members[0] if type(None) in typing.get_args(kind) and len(members) == 1 else kind


def _schema_keys(key: str) -> list[str]:
    return _keys_of(_schema_type(key) if key else Config)


def _keys_of(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is list:
        (member,) = typing.get_args(kind)
        return f"a list of {_type_name(member).removeprefix('a ')}" + ("" if dataclasses.is_dataclass(member) else "s")
    if dataclasses.is_dataclass(kind):
        return f"keys of {', '.join(_keys_of(kind))}"
    return TYPE_NAMES.get(kind, "a group of keys")
