"""Finds the call of the vendor's converter in a shell script."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from stages.core.base.errors import UserError

__all__ = ["CONVERTER", "converter_call"]

CONVERTER = "magik-transform-tools"
VARIABLE_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
VARIABLE_USE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
LONGEST_LINE = 1 << 16
"""Splitting a line into words takes time in proportion to its square."""
NEGATIVE_NUMBER = re.compile(r"-\.?\d")
COMMAND_ENDS = {";", "&&", "||", "|", "&", ">", ">>", "<", "2>", "2>&1"}


def converter_call(text: str, name: str) -> tuple[dict[str, str], list[str]]:
    """Read the options of the script's first call of the converter.

    Variables that the script sets by `NAME=value` are put in.

    Args:
        text: the script.
        name: of the file, for messages.

    Returns:
        Option without its dashes -> value ("" where none follows), and notes for the user.

    Raises:
        UserError: if the script does not call the converter, or the call ends in an open quote.
    """
    variables: dict[str, str] = {}
    calls = []
    for words in _commands(text, name):
        assigned = [VARIABLE_ASSIGNMENT.fullmatch(word) for word in words]
        if all(assigned):
            variables.update({match[1]: _filled(match[2], variables) for match in assigned if match})
            continue
        filled = [_filled(word, variables) for word in words]
        at = next((index for index, word in enumerate(filled) if PurePosixPath(word).name == CONVERTER), None)
        if at is not None and any(word.startswith("-") for word in filled[at + 1 :]):  # else a test that it is there
            calls.append(filled[at + 1 :])
    if not calls:
        raise UserError(f"{name}: is no config, and no script that calls {CONVERTER}")
    notes = [f"{name}: calls {CONVERTER} {len(calls)} times; the first call counts"] if len(calls) > 1 else []
    return _options(calls[0], name, notes), notes


def _commands(text: str, name: str) -> Iterator[list[str]]:
    """The script's commands, each as words."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if len(line) > LONGEST_LINE:
            raise UserError(f"{name}: a line of more than {LONGEST_LINE >> 10} kB: it is no script")
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            if CONVERTER in line.split("#")[0]:
                raise UserError(f"{name}: the call of {CONVERTER} has a quote that does not end") from None
            continue
        command: list[str] = []
        for word in words:
            if word in COMMAND_ENDS or word.endswith(";"):
                yield [*command, *filter(None, [word.removesuffix(";") if word not in COMMAND_ENDS else ""])]
                command = []
            else:
                command.append(word)
        yield command


def _filled(word: str, variables: Mapping[str, str]) -> str:
    return VARIABLE_USE.sub(lambda match: variables.get(match[1] or match[2], match[0]), word)


def _options(words: list[str], name: str, notes: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    rest = iter(range(len(words)))
    for index in rest:
        word = words[index]
        if not word.startswith("-") or NEGATIVE_NUMBER.match(word):
            notes.append(f"{name}: {word!r} belongs to no option and is left out")
            continue
        key, equals, value = word.lstrip("-").partition("=")
        following = words[index + 1] if index + 1 < len(words) else "-"
        if not equals and (not following.startswith("-") or NEGATIVE_NUMBER.match(following)):
            value = following
            next(rest)
        if key in options and options[key] != value:
            notes.append(f"{name}: --{key} is there twice; {value!r} counts")
        options[key] = value
    return options
