"""Names of files for nodes and tensors, whose own names may hold any character."""

import re
from collections.abc import Sequence

__all__ = ["MAX_STEM_LENGTH", "file_names", "input_stems"]

MAX_STEM_LENGTH = 200
"""Characters of a file's name before its suffix: file systems take 255 bytes."""


def file_names(nodes: Sequence[str]) -> list[str]:
    """Names of files for nodes: letters, digits, `.`, `_` and `-` stay, any other character becomes `_`.

    A leading `/`, which PyTorch's exporter writes, is left out. Where two become the same, upper and lower case not
    told apart, the later gets `_2`, `_3`, ... behind it.
    """
    used: set[str] = set()
    names = []
    for node in nodes:
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", node.removeprefix("/"))[:MAX_STEM_LENGTH] or "_"
        name, count = stem, 1
        while name.lower() in used:
            count += 1
            name = f"{stem}_{count}"
        used.add(name.lower())
        names.append(f"{name}.bin")
    return names


def input_stems(names: Sequence[str]) -> list[str]:
    """How the dumps of a network's inputs begin: `input`, as the vendor's tools have it; of several, their names."""
    return ["input"] if len(names) == 1 else [file.removesuffix(".bin") for file in file_names(names)]
