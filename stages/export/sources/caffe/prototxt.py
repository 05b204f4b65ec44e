"""The text form of protocol buffers, as far as prototxt files use it: names and values, without a schema.

Forks of Caffe have layers and fields of their own. So values stay texts until a layer asks for them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stages.core.base.errors import UserError

__all__ = ["Message", "parse_text"]

TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>[{}<>\[\]:;,])
    |(?P<word>[^\s{}<>\[\]:;,"'\#]+)""",
    re.VERBOSE,
)
FLOAT_SUFFIX = re.compile(r"(?<=[\d.])[fF]$")
OPENING = {"{": "}", "<": ">"}


@dataclass
class Message:
    """A message: a layer, its parameters, or the whole file.

    Attributes:
        where: what errors call it, as "layer 'conv1'".
        fields: name -> its values in order: texts and messages.
    """

    where: str
    fields: dict[str, list["str | Message"]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def message(self, name: str) -> "Message":
        """A message in it; an empty one if there is none, so that each of its fields has its default."""
        return next(iter(self.messages(name)), Message(f"{self.where}: {name}"))

    def messages(self, name: str) -> list["Message"]:
        """All messages of one name."""
        return [value for value in self.fields.get(name, []) if isinstance(value, Message)]

    def texts(self, name: str) -> list[str]:
        """All values of one name that are no messages."""
        return [value for value in self.fields.get(name, []) if isinstance(value, str)]

    def text(self, name: str, default: str = "") -> str:
        """A value as it is written, without quotes; the last one, as protocol buffers have it."""
        return next(reversed(self.texts(name)), default)

    def integers(self, name: str) -> list[int]:
        """All values of a field of integers."""
        return [int(value) for value in self.numbers(name)]

    def integer(self, name: str, default: int) -> int:
        """A value of a field of integers."""
        return next(reversed(self.integers(name)), default)

    def numbers(self, name: str) -> list[float]:
        """All values of a field of numbers.

        Raises:
            UserError: if one is no number.
        """
        try:
            return [float(FLOAT_SUFFIX.sub("", value)) for value in self.texts(name)]
        except ValueError:
            raise UserError(f"{self.where}: {name}: {self.text(name)} is no number") from None

    def number(self, name: str, default: float) -> float:
        """A value of a field of numbers."""
        return next(reversed(self.numbers(name)), default)

    def flag(self, name: str, default: bool) -> bool:
        """A truth value."""
        return self.text(name, str(default)).lower() in ("true", "t", "1")

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """A value of an enumeration, which may be written as its number; the first is the default.

        Raises:
            UserError: if it is none of them.
        """
        value = self.text(name, choices[0])
        if value.isdecimal() and int(value) < len(choices):
            return choices[int(value)]
        if value not in choices:
            raise UserError(f"{self.where}: {name}: {value} cannot be read; it can be {', '.join(choices)}")
        return value


def parse_text(content: bytes, name: str) -> Message:
    """Parse a prototxt file.

    Args:
        content: the file.
        name: what errors call it.

    Raises:
        UserError: if it is no such text, with the line.
    """
    root = Message(name)
    stack: list[tuple[Message, str, str | None]] = [(root, "", None)]  # message, its end, the list that it stands in
    key: str | None = None
    in_list = False
    for line, kind, token in _tokens(_decoded(content, name), name):
        message, end, _ = stack[-1]
        if token == end and key is None:
            key = stack.pop()[2]
            in_list = key is not None
        elif token == "]" and in_list:
            in_list, key = False, None
        elif kind == "mark" and token in ";,":
            continue
        elif key is None:
            if kind != "word":
                raise UserError(f"{name} line {line} is no prototxt: a field's name is missing before {token}")
            key = token
        elif token == ":":
            continue
        elif token == "[":
            in_list = True
        elif token in OPENING and kind == "mark":
            inner = Message(name)
            message.fields.setdefault(key, []).append(inner)
            stack.append((inner, OPENING[token], key if in_list else None))
            key, in_list = None, False
        elif kind == "mark":
            raise UserError(f"{name} line {line} is no prototxt: {key} has no value before {token}")
        else:
            message.fields.setdefault(key, []).append(token[1:-1] if kind == "string" else token)
            key = key if in_list else None
    if len(stack) > 1 or key is not None:
        raise UserError(f"{name} is damaged: it ends in the middle of a message")
    return root


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{name} is no prototxt: it is not text") from None


def _tokens(text: str, name: str) -> Iterator[tuple[int, str, str]]:
    """Give line, kind and token one by one."""
    position, line = 0, 1
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise UserError(f"{name} line {line} is no prototxt: it has a quote that does not end")
        if match.lastgroup != "space":
            yield line, str(match.lastgroup), match.group()
        line += match.group().count("\n")
        position = match.end()
