"""The layers under suspicion: those that are quantized, and how suspect each is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.base.artifacts import as_rows, read_artifact
from stages.core.base.errors import DamagedError, UserError
from stages.core.base.paths import QPARAMS, SIMILARITY
from stages.core.config.schema import Config, SocConfig
from stages.core.graph.onnx_graph import Graph, output_name
from stages.core.integer.network_params import load_qparams
from stages.quantize.candidate import Candidate
from stages.quantize.operators import why_float
from stages.quantize.partition.layers import Layer

__all__ = ["Suspect", "find_suspects", "similarity_rows"]


@dataclass(frozen=True)
class Suspect:
    """A layer that may stay in float.

    Attributes:
        name: its first node, which stands for all of it in a skip list.
        kind: the operator that the SOC's table lists.
        weight: how much of the blame it is expected to carry; positive.
    """

    name: str
    kind: str
    weight: float


def find_suspects(candidate: Candidate, soc: SocConfig, rows: Sequence[Mapping[str, Any]] | None) -> list[Suspect]:
    """List the layers that a candidate quantizes, in graph order.

    Half of the weight is shared out evenly, half in proportion to how far similarity falls at a layer. So a layer that
    stands out is tried early, and a table that misleads costs a simulation more.

    Args:
        candidate: quantized as the settings say.
        soc: what runs in integers.
        rows: the similarity table; None: all weigh the same.
    """
    layers = [layer for layer in candidate.setup.layers if _quantized(candidate, layer, soc)]
    drops = _drops(candidate.graph, layers, rows) if rows else []
    total = sum(drops)
    shares = [drop / total for drop in drops] if total else [0.0] * len(layers)
    return [
        Suspect(str(layer.first.name), layer.kind, 1 / len(layers) + share)
        for layer, share in zip(layers, shares, strict=True)
    ]


def _quantized(candidate: Candidate, layer: Layer, soc: SocConfig) -> bool:
    """Whether keeping a layer in float changes anything: its weight has codes, or an input or output of it."""
    group = soc.bit_widths.get(layer.kind)
    if layer.nodes[-1].name in candidate.setup.skipped or group is None or not group.feature_bits:
        return False
    tensors = {*layer.operands(candidate.graph), *layer.nodes[-1].output}
    coded = layer.first.name in candidate.weights or not tensors.isdisjoint(candidate.features)
    return coded and why_float(candidate.graph, layer) is None


def _drops(graph: Graph, layers: Sequence[Layer], rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """How far the average cosine falls from the least similar input of a layer to its output, or 0."""
    cosines = {str(row["node"]): float(row["cosine_avg"]) for row in rows}

    def cosine(tensor: str) -> float:
        producer = graph.producers.get(tensor)
        return 1.0 if producer is None else cosines.get(output_name(producer, tensor), 1.0)

    return [max(0.0, min(map(cosine, layer.operands(graph)), default=1.0) - cosine(layer.output)) for layer in layers]


def similarity_rows(config: Config, graph: Graph) -> tuple[Sequence[Mapping[str, Any]] | None, list[str]]:
    """Read the similarity table, if compare wrote one of this network at these settings; else None, and a note."""
    if not SIMILARITY.is_file():
        return None, []
    try:
        load_qparams(QPARAMS, config)
    except DamagedError:
        raise
    except UserError:
        return None, [f"{SIMILARITY} is of other settings: all nodes are equally suspect"]
    rows = read_artifact(SIMILARITY, lambda content: as_rows(content, "node", "cosine_avg"))
    computed = [name for name in graph.float_tensors if name in graph.producers]
    if [row["node"] for row in rows] != [output_name(graph.producers[name], name) for name in computed]:
        return None, [f"{SIMILARITY} is of another network: all nodes are equally suspect"]
    return rows, []
