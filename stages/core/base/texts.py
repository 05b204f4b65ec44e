"""Reading files that a user wrote or a program printed: texts of a bounded size, JSON and YAML of a bounded depth."""

import json
from pathlib import Path
from typing import Any

import yaml

from stages.core.base.errors import UserError, one_line
from stages.core.base.sources import is_special, special_file

__all__ = ["MOST_TEXT_BYTES", "check_yaml", "parse_json", "read_text"]

MOST_TEXT_BYTES = 64 * 2**20
"""A log or a config of more is none."""
MOST_YAML_BYTES = 2**20
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""LibYAML's, ten times as fast, where PyYAML was built with it."""
MOST_ALIASES = 10
"""An alias may stand for many values, each of which may be an alias."""
NESTED = "maximum nesting depth"
"""How newer versions of libyaml say that a text is nested deeper than they look ahead."""
MOST_DEPTH = 100
MOST_DIGITS = 1000


def read_text(path: Path, errors: str = "strict", encoding: str = "utf-8") -> str:
    """Read a text.

    Args:
        path: a regular file of at most `MOST_TEXT_BYTES`.
        errors: what becomes of bytes that are no text, see `bytes.decode`.
        encoding: of the text.

    Raises:
        UserError: for another kind of file, or a larger one.
        OSError, UnicodeDecodeError: if it cannot be read.
    """
    if is_special(path):
        raise special_file(path)
    with path.open("rb") as file:
        content = file.read(MOST_TEXT_BYTES + 1)
    if len(content) > MOST_TEXT_BYTES:
        raise UserError(f"{path} is larger than {MOST_TEXT_BYTES >> 20} MB: it is no text of this kind")
    return content.decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def parse_json(content: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: if it is not JSON, or nested too deep to be read.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def check_yaml(path: Path, cure: str = "") -> None:
    """Refuse a YAML file that takes long to read or cannot be held: aliases of aliases, depth, endless numbers.

    Args:
        path: the file.
        cure: what to do, for the message.

    Raises:
        UserError: naming what there is too much of.
        OSError, UnicodeDecodeError: if it cannot be read.
    """
    text = read_text(path)
    if len(text) > MOST_YAML_BYTES:
        raise UserError(f"{path} is larger than {MOST_YAML_BYTES >> 20} MB: it is no config")
    depth = aliases = 0
    try:
        for event in yaml.parse(text, LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            long = isinstance(event, yaml.ScalarEvent) and len(event.value) > MOST_DIGITS and event.value.isdigit()
            if depth > MOST_DEPTH or aliases > MOST_ALIASES or long:
                what = (
                    "nested too deep"
                    if depth > MOST_DEPTH
                    else "a number of too many digits"
                    if long
                    else "too many aliases"
                )
                line = event.start_mark.line + 1
                raise UserError(f"{path}, line {line}: {what}{cure}")
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        if mark and NESTED in str(error):
            raise UserError(f"{path}, line {mark.line + 1}: nested too deep{cure}") from error
        raise UserError(f"{path} is not YAML with keys: {one_line(error)}") from error
