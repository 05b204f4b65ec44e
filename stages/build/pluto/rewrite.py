"""A network while its form is changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.graph.onnx_graph import Graph, used_names

__all__ = ["Rewrite"]


@dataclass
class Rewrite:
    """The network while it is rewritten.

    Attributes:
        model: the network; `graph` brings its constants up to date.
        constants: their values, by name.
        notes: what changed.
    """

    model: onnx.ModelProto
    constants: dict[str, NDArray[Any]]
    notes: list[str] = field(default_factory=list)
    _written: Mapping[str, NDArray[Any]] = field(default_factory=dict, init=False)

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes in graph order."""
        return list(self.model.graph.node)

    def replace(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Exchange the nodes."""
        kept = list(nodes)
        del self.model.graph.node[:]
        self.model.graph.node.extend(kept)

    def graph(self) -> Graph:
        """The network as it stands."""
        used = used_names(self.model.graph.node)
        wanted = {name: value for name, value in self.constants.items() if name in used}
        initializers = self.model.graph.initializer
        for index in reversed(range(len(initializers))):
            name = initializers[index].name
            if wanted.get(name) is not self._written.get(name):
                del initializers[index]
        kept = {tensor.name for tensor in initializers}
        for name, value in wanted.items():
            if name not in kept:  # large weights seldom change, and to write them takes most of the time
                initializers.append(numpy_helper.from_array(np.asarray(value), name))
        self._written = wanted
        return Graph(self.model)
