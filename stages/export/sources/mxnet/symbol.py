"""The operators in a symbol file, whose attributes are texts as Python writes values."""

import ast
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.base.errors import UserError
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["Attributes", "Converter", "Operator", "Symbol", "read_symbol"]

ATTRIBUTE_KEYS = ("attr", "param", "attrs")
"""What attributes were called in MXNet 0.x, and since."""


@dataclass(frozen=True)
class Attributes:
    """Attributes of an operator.

    Attributes:
        where: what errors call the operator.
        texts: name -> value as it is written.
    """

    where: str
    texts: dict[str, str]

    def value(self, name: str, default: Any = None) -> Any:
        """A value; None and what is not there give the default.

        Raises:
            UserError: if it is not written as Python writes values.
        """
        text = self.texts.get(name)
        if text is None or text == "None":
            return default
        try:
            return ast.literal_eval(re.sub(r"(?<=\d)L", "", text))
        except (ValueError, SyntaxError):
            raise UserError(f"{self.where}: {name}={text} cannot be read") from None

    def integers(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """A value of one or several integers."""
        value = self.value(name, tuple(default))
        values = value if isinstance(value, tuple | list) else (value,)
        return tuple(int(one) for one in values)

    def integer(self, name: str, default: int) -> int:
        """A value of an integer."""
        return int(self.value(name, default))

    def number(self, name: str, default: float) -> float:
        """A value of a number."""
        return float(self.value(name, default))

    def flag(self, name: str, default: bool) -> bool:
        """A truth value."""
        return self.texts.get(name, str(default)).lower() in ("true", "1")

    def text(self, name: str, default: str) -> str:
        """A value of a text."""
        return self.texts.get(name, default)


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: its name in the file.
        kind: its type as the file writes it.
        inputs: the tensors that it takes.
        attributes: its attributes.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: Attributes

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"operator {self.name!r} ({self.kind})"


Converter = Callable[[GraphBuilder, Operator], None]
"""Adds the nodes that compute an operator."""


@dataclass(frozen=True)
class Symbol:
    """A network.

    Attributes:
        variables: what is no operator: inputs and arrays -> the shape that the file says; None: it says none.
        operators: in an order in which each has its inputs.
        outputs: tensors.
    """

    variables: dict[str, tuple[int, ...] | None]
    operators: list[Operator]
    outputs: list[str]


def read_symbol(content: bytes, name: str) -> Symbol:
    """Read a symbol file.

    Raises:
        UserError: if it is no such file.
    """
    try:
        graph = json.loads(content)
        nodes = graph["nodes"]
        tensors = [_unique(node["name"], index, nodes) for index, node in enumerate(nodes)]
        variables, operators = {}, []
        for node, label in zip(nodes, tensors, strict=True):
            texts = {key: str(value) for of in ATTRIBUTE_KEYS for key, value in node.get(of, {}).items()}
            attributes = Attributes(f"operator {label!r} ({node['op']})", texts)
            if node["op"] == "null":
                variables[label] = attributes.integers("__shape__") or None
            else:
                inputs = tuple(_tensor(tensors, entry) for entry in node["inputs"])
                operators.append(Operator(label, node["op"], inputs, attributes))
        outputs = [_tensor(tensors, entry) for entry in graph["heads"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{name} is no symbol file of MXNet, or damaged") from error
    if not operators:
        raise UserError(f"{name} is no network: it has no operators")
    return Symbol(variables, operators, list(dict.fromkeys(outputs)))


def _unique(name: str, index: int, nodes: Sequence[Any]) -> str:
    """The name of a node, with its number where one before it has the same."""
    return f"{name}_{index}" if any(node["name"] == name for node in nodes[:index]) else name


def _tensor(tensors: Sequence[str], entry: Sequence[int]) -> str:
    """Name of an output of a node: the node's, with a number from the second on."""
    node, output = entry[:2]
    return f"{tensors[node]}:{output}" if output else tensors[node]
