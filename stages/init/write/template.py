"""An empty model and data file in which every key stands as a comment, with its default and its meaning.

The text follows from the schema: the comments of its dataclasses are the documentation of their keys.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from stages.core.config.schema import DataConfig, ModelConfig, Task
from stages.init.write.key_docs import allowed_values, default_text, meanings
from stages.init.write.model_file import commented, in_one_line

__all__ = ["data_template", "model_template"]

MISSING = "???"
STEP = "  "


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
    texts, hints = meanings(DataConfig), get_type_hints(DataConfig)
    for field in dataclasses.fields(DataConfig):
        if field.name == "name" or field.default_factory is dataclasses.MISSING:
            continue
        held_out = field.default_factory().source is None
        standing = {"source": "null" if held_out else f"{MISSING}  # file:FOLDER"}
        if field.name == "evaluation":
            standing |= {"labels": "null", "task": Task.none.value}
        lines += commented(texts[field.name]) if texts.get(field.name) else []
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
    texts, hints = meanings(kind), get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in left_out:
            continue
        hint = hints[field.name]
        meaning = "; ".join(filter(None, (texts.get(field.name, ""), _allowed(hint))))
        lines += commented(meaning, begin.removesuffix("#")) if meaning else []
        items = [each for each in get_args(hint) if dataclasses.is_dataclass(each)]
        if dataclasses.is_dataclass(hint):
            lines += [f"{begin}{field.name}:", *_lines(hint, set(), f"{begin}{STEP}")]
        elif items:
            lines += [f"{begin}{field.name}:", f"{begin}{STEP}-", *_lines(items[0], set(), f"{begin}{STEP * 2}")]
        elif field.name in standing:
            lines.append(f"{begin.removesuffix('#')}{field.name}: {standing[field.name]}")
        else:
            lines.append(f"{begin}{field.name}: {default_text(field)}")
    return lines


def _allowed(hint: Any) -> str:
    kind = allowed_values(hint)
    return " | ".join(str(member.value) for member in kind) if kind is not None else ""
