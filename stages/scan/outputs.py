"""What a network gives: a detector's head, or what each output is, in a line."""

from collections.abc import Sequence

import numpy as np

from stages.core.data.inputs import only_picture
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.outputs.output_kind import OutputKind, ValueSummary, kind_of
from stages.core.outputs.states import float_outputs, states_of
from stages.export.detector import detector_lines
from stages.export.network import ExportedNetwork
from stages.export.verify import random_feeds

__all__ = ["described_outputs"]


def described_outputs(network: ExportedNetwork) -> str:
    """Say what a network gives: its head, or the kind of each output by its values on random input."""
    lines = detector_lines(network.head, network.outputs)
    if lines:
        return "; ".join(lines[:1])
    graph = Graph(network.model)
    kinds = dict.fromkeys(states_of(graph), OutputKind.state)
    names = float_outputs(graph)
    values = Runner(network.model).run(random_feeds(network.inputs))
    side = network.inputs[0].height if only_picture(network.inputs) else 0
    for name in names:
        if name not in kinds:
            kinds[name] = _kind(values[name], side)
    return "outputs: " + (_listed([f"{name} ({kinds[name].value})" for name in names]) or "none in float")


def _kind(values: np.ndarray, side: int) -> OutputKind:
    if not values.size or not np.isfinite(values).all():
        return OutputKind.values
    seen = ValueSummary()
    seen.add(values)
    return kind_of(seen, None, side)


def _listed(texts: Sequence[str], most: int = 6) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
