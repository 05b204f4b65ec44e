"""Which layers the report shows closely."""

from collections.abc import Mapping, Sequence

from stages.compare.gather.comparison import Row
from stages.compare.gather.similarity import Similarity
from stages.core.statistics.metrics import SQNR_CAP

__all__ = ["layers_to_show", "worst_layers"]


def worst_layers(similarity: Similarity, layers: Sequence[str], count: int) -> list[str]:
    """Choose the layers that hurt: least isolated SQNR, or where that is not known least cosine.

    Args:
        similarity: the table.
        layers: the tensors of layers.
        count: at most so many; what has no error is not among them.

    Returns:
        Tensors, worst first.
    """
    hurting = [name for name in layers if _errs(similarity.by_tensor[name])]
    return sorted(hurting, key=lambda name: _quality(similarity.by_tensor[name]))[:count]


def _errs(row: Row) -> bool:
    return bool(row["isolated_sqnr"] < SQNR_CAP if "isolated_sqnr" in row else row["max_absolute"] > 0.0)


def _quality(row: Row) -> float:
    return float(row.get("isolated_sqnr", row["cosine_avg"]))


def layers_to_show(
    similarity: Similarity, layers: Sequence[str], named: Sequence[str], enclosing: Mapping[str, str], count: int
) -> dict[str, str]:
    """Choose what the report shows closely: the layers of named nodes, then the worst.

    Args:
        similarity: the table.
        layers: the tensors of layers.
        named: nodes; those that are in no layer are passed over.
        enclosing: tensors inside fused layers -> the layer's output.
        count: at most so many.

    Returns:
        Tensor -> the node that it stands for: the one that was named, or the layer's own.
    """
    rows = similarity.by_tensor
    by_node = {row["node"]: tensor for tensor, row in rows.items()}
    tensors = {node: by_node[node] for node in named if node in by_node}
    chosen = {enclosing.get(tensor, tensor): node for node, tensor in tensors.items()}
    for tensor in worst_layers(similarity, layers, count):
        chosen.setdefault(tensor, rows[tensor]["node"])
    return dict([pair for pair in chosen.items() if pair[0] in layers][:count])
