"""A network while its form is changed."""

from collections.abc import Iterable
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
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), name) for name, value in self.constants.items() if name in used
        )
        return Graph(self.model)
