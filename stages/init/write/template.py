"""An empty model and data file in which every key stands as a comment, with its default and its meaning.

The text follows from the schema: the comments of its dataclasses are the documentation of their keys.
"""

import dataclasses
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args, get_type_hints

from stages.core.config.schema import DataConfig, ModelConfig
from stages.init.write.model_file import in_one_line

__all__ = ["data_template", "model_template"]

MISSING = "???"
COMMENT = "# "
STEP = "  "
KEY = re.compile(r"(\w+): ")
"""How a field of a dataclass begins."""


def model_template(name: str) -> str:
    """conf/model/NAME.yaml with every key; name and source stand, the rest is commented out."""
    head = f"# A network of yours: python -m stages.compose model={name} data={name} soc=t41\n"
    return f"{head}name: {in_one_line(name)}\nsource: {MISSING}  # file:my.onnx\n" + _body(
        ModelConfig, {"name", "source"}
    )


def data_template(name: str) -> str:
    """conf/data/NAME.yaml with every key; name and sources stand, the rest is commented out."""
    lines = [
        f"# Samples of yours: python -m stages.compose model={name} data={name} soc=t41",
        f"name: {in_one_line(name)}",
    ]
    for field in dataclasses.fields(DataConfig):
        if field.name == "name":
            continue
        kind = get_type_hints(DataConfig)[field.name]
        own = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        held_out = getattr(own, "source", None) is None
        meaning = _meanings(DataConfig).get(field.name, "")
        lines.append(f"{field.name}:" + (f"  {COMMENT}{meaning}" if meaning else ""))
        lines.append(f"{STEP}source: {'null' if held_out else f'{MISSING}  {COMMENT}file:FOLDER'}")
        lines.append(_body(kind, {"source"}, STEP).rstrip("\n"))
    return "\n".join(lines) + "\n"


def _body(kind: Any, left_out: set[str], indent: str = "") -> str:
    return "\n".join(_lines(kind, left_out, indent)) + "\n"


def _lines(kind: Any, left_out: set[str], indent: str) -> Iterator[str]:
    """Each key commented out, its meaning above it; those of a group below it."""
    meanings, hints = _meanings(kind), get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in left_out:
            continue
        meaning = "; ".join(filter(None, (meanings.get(field.name, ""), _allowed(hints[field.name]))))
        if meaning:
            yield f"{indent}{COMMENT}{meaning}"
        if dataclasses.is_dataclass(hints[field.name]):
            yield f"{indent}#{field.name}:"
            for line in _lines(hints[field.name], set(), ""):
                yield f"{indent}#{STEP}{line.removeprefix('#') if line.startswith('#') and line[1:2] != ' ' else line}"
            continue
        items = [each for each in get_args(hints[field.name]) if dataclasses.is_dataclass(each)]
        yield f"{indent}#{field.name}: {_default(field)}"
        for item in items:
            for line in _lines(item, set(), ""):
                yield f"{indent}#{STEP}{line}"


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default if field.default is not dataclasses.MISSING else None
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, list):
        value = [{} if dataclasses.is_dataclass(item) else item for item in value]
    return in_one_line(value)


def _allowed(hint: Any) -> str:
    kinds = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, Enum)]
    return " | ".join(str(member.value) for member in kinds[0]) if kinds else ""


def _meanings(kind: Any) -> dict[str, str]:
    """Key -> the comments above it and behind it in the schema's source."""
    meanings: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(kind).splitlines():
        stripped = line.strip()
        key = KEY.match(stripped)
        if stripped.startswith("#"):
            above.append(stripped[1:].strip())
        elif key is not None:
            behind = _comment(stripped)
            meanings[key[1]] = " ".join([*above, *([behind] if behind else [])])
            above = []
        else:
            above = []
    return meanings


def _comment(line: str) -> str:
    """The comment behind a line of code."""
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return next((token.string[1:].strip() for token in tokens if token.type == tokenize.COMMENT), "")
