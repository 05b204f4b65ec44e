"""An empty model and data file in which every key stands as a comment, with its default and its meaning.

The text follows from the schema: the comments of its dataclasses are the documentation of their keys.
"""

import dataclasses
import inspect
import io
import re
import tokenize
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from stages.core.config.schema import DataConfig, ModelConfig, Task
from stages.init.write.model_file import commented, in_one_line

__all__ = ["data_template", "model_template"]

MISSING = "???"
STEP = "  "
KEY = re.compile(r"(\w+): ")
"""How a field of a dataclass begins."""


def model_template(name: str) -> str:
    """conf/model/NAME.yaml with every key; name and source stand, the rest is commented out."""
    lines = [
        f"# A network of yours: python -m stages.compose model={name} data={name} soc=t41",
        f"name: {in_one_line(name)}",
        f"source: {MISSING}  # file:my.onnx",
        *_lines(ModelConfig, {"name", "source"}, "#"),
    ]
    return "\n".join(lines) + "\n"


def data_template(name: str) -> str:
    """conf/data/NAME.yaml with every key; name, sources and task stand, the rest is commented out."""
    lines = [
        f"# Samples of yours: python -m stages.compose model={name} data={name} soc=t41",
        f"name: {in_one_line(name)}",
    ]
    meanings, hints = _meanings(DataConfig), get_type_hints(DataConfig)
    for field in dataclasses.fields(DataConfig):
        if field.name == "name" or field.default_factory is dataclasses.MISSING:
            continue
        held_out = field.default_factory().source is None
        standing = {"source": "null" if held_out else f"{MISSING}  # file:FOLDER"}
        if field.name == "evaluation":
            standing |= {"labels": "null", "task": Task.none.value}
        lines += commented(meanings[field.name]) if meanings.get(field.name) else []
        lines += [f"{field.name}:", f"{STEP}source: {standing.pop('source')}"]
        lines += _lines(hints[field.name], {"source"}, f"{STEP}#", standing)
    return "\n".join(lines) + "\n"


def _lines(kind: Any, left_out: set[str], begin: str, standing: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Each key commented out with its default, its meaning above it; those of a group are indented.

    Args:
        kind: the dataclass.
        left_out: keys that have a line already.
        begin: what each line begins with, a # at its end.
        standing: keys that are not commented out -> their value.
    """
    lines: list[str] = []
    meanings, hints = _meanings(kind), get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in left_out:
            continue
        hint = hints[field.name]
        meaning = "; ".join(filter(None, (meanings.get(field.name, ""), _allowed(hint))))
        lines += commented(meaning, begin.removesuffix("#")) if meaning else []
        items = [each for each in get_args(hint) if dataclasses.is_dataclass(each)]
        if dataclasses.is_dataclass(hint):
            lines += [f"{begin}{field.name}:", *_lines(hint, set(), f"{begin}{STEP}")]
        elif items:
            lines += [f"{begin}{field.name}:", f"{begin}{STEP}-", *_lines(items[0], set(), f"{begin}{STEP * 2}")]
        elif field.name in standing:
            lines.append(f"{begin.removesuffix('#')}{field.name}: {standing[field.name]}")
        else:
            lines.append(f"{begin}{field.name}: {_default(field)}")
    return lines


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default if field.default is not dataclasses.MISSING else None
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if isinstance(value, Enum):
        value = value.value
    return in_one_line(value)


def _allowed(hint: Any) -> str:
    kinds = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, Enum)]
    return " | ".join(str(member.value) for member in kinds[0]) if kinds else ""


def _meanings(kind: Any) -> dict[str, str]:
    """Key -> the comments above it and behind it in the schema's source, those of the base classes too."""
    meanings: dict[str, str] = {}
    for each in [base for base in reversed(kind.__mro__) if hasattr(base, "__dataclass_fields__")]:
        above: list[str] = []
        for line in map(str.strip, inspect.getsource(each).splitlines()):
            key = KEY.match(line)
            if line.startswith("#"):
                above.append(line[1:].strip())
                continue
            if key is not None:
                meanings[key[1]] = " ".join(filter(None, [*above, _comment(line)]))
            above = []
    return meanings


def _comment(line: str) -> str:
    """The comment behind a line of code."""
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return next((token.string[1:].strip() for token in tokens if token.type == tokenize.COMMENT), "")
