"""What a key of the schema means, as its source says: the comments of its dataclasses are their documentation."""

import dataclasses
import inspect
import io
import re
import tokenize
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, get_args

from stages.init.write.model_file import in_one_line

__all__ = ["allowed_values", "default_text", "meanings"]

KEY = re.compile(r"(\w+)(?:: | = )")
"""How a field of a dataclass, or a member of an Enum, begins."""


@cache
def meanings(kind: type[Any]) -> Mapping[str, str]:
    """Field or member -> the comments above it and behind it in the schema's source, those of the base classes too.

    Args:
        kind: a dataclass or an Enum.

    Returns:
        An empty text for a field without a comment.
    """
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not (hasattr(each, "__dataclass_fields__") or issubclass(each, Enum)) or each is Enum:
            continue
        above: list[str] = []
        for line in map(str.strip, inspect.getsource(each).splitlines()):
            key = KEY.match(line)
            if line.startswith("#"):
                above.append(line[1:].strip())
                continue
            if key is not None:
                found[key[1]] = " ".join(filter(None, [*above, _comment(line)]))
            above = []
    return found


def default_text(field: "dataclasses.Field[Any]") -> str:
    """The default of a field, as YAML has it in one line."""
    value = field.default if field.default is not dataclasses.MISSING else None
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if isinstance(value, Enum):
        value = value.value
    return in_one_line(value)


def allowed_values(hint: Any) -> type[Enum] | None:
    """The Enum that a field's value is a member of, if it is one's."""
    kinds = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, Enum)]
    return kinds[0] if kinds else None


def _comment(line: str) -> str:
    """The comment behind a line of code."""
    tokens = tokenize.generate_tokens(io.StringIO(line).readline)
    return next((token.string[1:].strip() for token in tokens if token.type == tokenize.COMMENT), "")
