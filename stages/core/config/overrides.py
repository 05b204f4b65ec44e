"""Settings as a user types them: `key=value` in the grammar of `python -m stages.compose` (Hydra's)."""

import re
from collections.abc import Sequence

__all__ = ["list_override", "numbers", "quoted", "skip_override", "split_overrides"]

PLAIN_TEXT = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
RESERVED_WORDS = {"null", "true", "false", "nan", "inf"}


def quoted(text: str) -> str:
    """A text inside a list or mapping: in quotes unless it is plain; there a backslash counts only before a quote."""
    if PLAIN_TEXT.fullmatch(text) and text.lower() not in RESERVED_WORDS:
        return text
    doubled = re.sub(r"(\\+)(?=\"|$)", r"\1\1", text)
    return '"' + doubled.replace('"', '\\"') + '"'


def numbers(values: Sequence[float]) -> str:
    """A list of numbers in their shortest form; one that serves all channels stands once."""
    shown = values[:1] if len(set(values)) == 1 else values
    return f"[{', '.join(f'{value:.15g}' for value in shown)}]"


def skip_override(nodes: Sequence[str]) -> str:
    """The override that keeps nodes in float."""
    return list_override("quant.skip_nodes", nodes)


def list_override(key: str, names: Sequence[str]) -> str:
    """The override that gives a key a list of names."""
    return f"{key}=[{','.join(map(quoted, names))}]"


def split_overrides(text: str) -> list[str]:
    """Split overrides at the spaces between them; those inside of brackets and quotes belong to an override."""
    parts, depth, in_quotes = [""], 0, False
    for before, letter in zip(" " + text, text, strict=False):
        in_quotes ^= letter == '"' and before != "\\"
        depth += 0 if in_quotes else (letter in "[{") - (letter in "]}")
        if letter == " " and not depth and not in_quotes:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
