"""What a reader types: the calls of the project's commands in a line of a shell, checked without running them."""

import argparse
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["calls", "described", "mistake"]

MODULE = re.compile(r"stages\.([\w.]+)")
OVERRIDE = re.compile(r"[+~]{0,2}((?:model|data|quant|soc|evaluate|compare|track|sweep)\.[\w.\[\]]+)=")
CONTROL = {*"&|;<>"}
SWEEP_OPTIONS = {"--multirun", "-m", "--keep", "--json", "--debug", "--cfg", "--hydra-help", "--help"}


def described(line: str) -> str:
    """The command of a help text's example: what stands before two spaces."""
    return re.split(r"\s{2,}", line.strip())[0]


def calls(line: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of the project in a line, each as its name and its words; a comment is left out."""
    words: list[str] = []
    reader = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    reader.whitespace_split = True
    for word in [*reader, "&&"]:
        if not {*word} <= CONTROL:
            words.append(word)
            continue
        if words[:2] == ["python", "-m"] and (module := MODULE.fullmatch(words[2])):
            yield module[1], words[3:]
        words = []


def mistake(
    command: str, words: Sequence[str], parsers: Mapping[str, argparse.ArgumentParser], keys: Collection[str]
) -> str | None:
    """Say what is wrong with a call; None if its options and the keys of its overrides exist.

    Args:
        command: without `stages.`.
        words: behind it.
        parsers: by command.
        keys: of the config, those of lists and of names of the user's without what stands in them.
    """
    for word in words:
        if (override := OVERRIDE.match(word)) and not _known(override[1], keys):
            return f"there is no key {override[1]}"
    if command == "sweep":
        unknown = [word for word in words if word.startswith("-") and word not in SWEEP_OPTIONS]
        return f"sweep has no option {unknown[0]}" if unknown else None
    if command not in parsers:
        return f"there is no command {command}"
    try:
        parsers[command].parse_intermixed_args([*words])
    except SystemExit as ended:
        return None if ended.code in (0, None) else f"{command} does not take {shlex.join(words)}"
    return None


def _known(key: str, keys: Collection[str]) -> bool:
    """Whether a key is one of the config, a group of them, or lies in one that takes names."""
    return key in keys or any(each.startswith(f"{key}.") or key.startswith(f"{each}.") for each in keys)
