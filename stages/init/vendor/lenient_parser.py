"""Reads a vendor's config files as people write them: JSON, JSON with comments, or a Python literal."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from stages.core.base.errors import UserError, one_line

__all__ = ["is_config", "parse_config", "uncommented"]

STRING_PATTERN = r'"(?:\\.|[^"\\\n])*+"?|\'(?:\\.|[^\'\\\n])*+\'?'
"""One that does not end is one too, to the end of its line: else each quote would look for its end again."""
STRING_OR_COMMENT = re.compile(
    rf"(?P<string>{STRING_PATTERN})|(?P<comment>/\*.*?(?:\*/|\Z)|//[^\n]*|\#[^\n]*)", re.DOTALL
)
ASSIGNMENT_START = re.compile(r"\A\s*[A-Za-z_]\w*\s*=\s*(?=\{)")
LAST_COMMA = re.compile(r",(?=\s*[}\]])")
PYTHON_WORDS = {"true": "True", "false": "False", "null": "None"}


def is_config(text: str) -> bool:
    """Whether a file is one group of keys, be it as JSON or as a Python literal; else it may be a script."""
    plain = uncommented(text)
    return plain.lstrip().startswith("{") or ASSIGNMENT_START.match(plain) is not None


def parse_config(text: str, name: str) -> dict[str, Any]:
    """Parse a config file.

    Args:
        text: its content.
        name: of the file, for messages.

    Raises:
        UserError: if it is neither JSON nor a Python literal, is no group of keys, or has a key twice.
    """
    plain = ASSIGNMENT_START.sub("", uncommented(text))
    try:
        content = json.loads(_outside(LAST_COMMA, "", plain), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        try:
            content = _literal(plain)
        except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
            raise UserError(f"{name} is neither JSON nor a Python literal: {one_line(error)}") from error
        except KeyError as twice:
            raise UserError(f"{name}: key {twice} is there twice") from error
    except KeyError as error:
        raise UserError(f"{name}: key {error} is there twice") from error
    if not isinstance(content, dict):
        raise UserError(f"{name}: is no group of keys")
    return content


def uncommented(text: str) -> str:
    """Without comments; what is inside strings stays. Lines keep their numbers."""

    def kept(match: re.Match[str]) -> str:
        return match["string"] if match["string"] is not None else "\n" * match[0].count("\n")

    return STRING_OR_COMMENT.sub(kept, text.removeprefix("\ufeff"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    group: dict[str, Any] = {}
    for key, value in pairs:
        if key in group:
            raise KeyError(key)
        group[key] = value
    return group


def _literal(text: str) -> Any:
    """Evaluate a Python literal; JSON's words may be in it."""
    words = re.compile(rf"\b(?:{'|'.join(PYTHON_WORDS)})\b")
    tree = ast.parse(_outside(words, lambda match: PYTHON_WORDS[match[0]], text).strip(), mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            _once([(str(ast.literal_eval(key)), None) for key in node.keys if key])
    return ast.literal_eval(tree)


def _outside(pattern: re.Pattern[str], by: Any, text: str) -> str:
    """Replace outside of strings."""

    def parts() -> Iterator[str]:
        end = 0
        for match in re.finditer(STRING_PATTERN, text):
            yield pattern.sub(by, text[end : match.start()])
            yield match[0]
            end = match.end()
        yield pattern.sub(by, text[end:])

    return "".join(parts())
