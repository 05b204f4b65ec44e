"""Ways to damage a file, and texts that are none."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

__all__ = ["DAMAGES", "SPECIALS", "TEXTS", "written"]

LARGE = 5 << 30


def _link_to(target: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.symlink_to(target)

    return link


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGE)


SPECIALS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a link to nowhere": _link_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to zeros": _link_to("/dev/zero"),
    "5 GB": _sparse,
}
"""Name -> puts it in the place of a file, which is gone."""

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "noise": lambda content: bytes((index * 2654435761 >> 7) & 255 for index in range(len(content))),
    "twice": lambda content: content + content,
    "bytes exchanged": lambda content: content[len(content) // 2 :] + content[: len(content) // 2],
}
"""Name -> what becomes of a content."""

LAUGHS = "\n".join(
    ["a0: &a0 [" + ", ".join(["ha"] * 10) + "]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
)
TEXTS: dict[str, bytes] = {
    "empty": b"",
    "blanks": b" \n\t\n",
    "a zero byte": b"\0",
    "UTF-16": "soc: T40\n".encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b"soc: \xff\xfe\n",
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "nested YAML": "\n".join("  " * index + "a:" for index in range(1000)).encode(),
    "aliases of aliases": LAUGHS.encode(),
    "a cycle": b"soc: &a {b: *a}\n",
    "a merge of itself": b"soc: &a\n  <<: *a\n",
    "6,000 digits": b'{"a": ' + b"9" * 6000 + b"}",
    "infinity": b'{"a": 1e999, "b": NaN, "c": -Infinity}',
    "HTML": b"<script>alert(1)</script>\n",
    "escapes of a terminal": b"\x1b[31mred\x1b[0m \x1b]0;title\x07\n",
    "right to left": "\u202esoc: T40\n".encode(),
    "a line of 8 MB": b"a" * (8 << 20),
    "a million lines": b"\n" * 1_000_000,
    "carriage returns": b"file,label\ra.png,ant\r",
    "null": b"null",
    "a list": b"[]",
    "a list of lists": b"[[], [[]], null]",
    "an object": b"{}",
    "a number": b"-1",
    "a word": b'"word"',
    "JSON that ends early": b'{"a": [1, 2',
    "keys twice": b'{"a": 1, "a": {"a": 2}}',
    "tags of Python": b"soc: !!python/object/apply:os.system ['touch pwned']\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a template": b"${oc.env:HOME}: ${a}\na: ${b}\nb: ${a}\n",
}
"""Name -> content of a text file."""


def written(path: str, content: bytes) -> None:
    """Put a content in the place of a file."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_bytes(content)
