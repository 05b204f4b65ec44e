"""The similarity table: a row for every node's output, over the debug pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stages.compare.gather.comparison import SOURCES, Comparison, Row
from stages.core.graph.onnx_graph import Graph

__all__ = ["BY_PICTURE", "COLUMNS", "POOR", "PictureRows", "Similarity", "output_row"]

COLUMNS = [
    "node", "op_type", "cosine_avg", "cosine_min", "cosine_max", "euclidean", "standard_deviation", "max_absolute",
    "max_normalized", "sqnr", "euclidean_similarity",
]  # fmt: skip
BY_PICTURE = ["picture", "depth", "node", "cosine", "sqnr", "euclidean"]
POOR = 0.98
"""Below this average cosine the vendor's guide calls a layer poor."""


@dataclass(frozen=True)
class Similarity:
    """The similarity table.

    Attributes:
        by_tensor: the rows, `COLUMNS` and maybe `SOURCES` as keys, in graph order.
        output: the row of the network's output.
        by_picture: a row for every node on every picture, `BY_PICTURE` as keys.
        not_finite: tensor that is infinite or not a number in the quantized network -> on how many pictures.
    """

    by_tensor: Mapping[str, Row]
    output: Row
    by_picture: Sequence[Row] = ()
    not_finite: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """The rows in graph order."""
        return list(self.by_tensor.values())

    @property
    def has_sources(self) -> bool:
        """Whether the rows tell where the error comes from."""
        return any(SOURCES[0] in row for row in self.by_tensor.values())

    @property
    def isolated_cosines(self) -> dict[str, float]:
        """Tensor -> cosine of its layer alone quantized, where that is known."""
        return {
            tensor: float(row["isolated_cosine"]) for tensor, row in self.by_tensor.items() if "isolated_cosine" in row
        }


def output_row(rows: Sequence[Row], graph: Graph) -> Row:
    """The row of the network's output; of several outputs the least similar, of none in float the last node's."""
    ends = {graph.producers[name].name for name in graph.outputs if name in graph.producers}
    outputs = [row for row in rows if row["node"].partition(":")[0] in ends]
    return min(outputs, key=lambda row: row["cosine_avg"]) if outputs else rows[-1]


@dataclass
class PictureRows:
    """Gathers every picture's rows.

    Attributes:
        names: of the nodes, by tensor.
        rows: of the pictures so far, `BY_PICTURE` as keys.
        not_finite: see `Similarity`; of the pictures so far.
    """

    names: Mapping[str, str]
    rows: list[Row] = field(default_factory=list)
    not_finite: Counter[str] = field(default_factory=Counter)

    def add(self, comparison: Comparison) -> None:
        """Take in one picture: a row a node in graph order."""
        self.not_finite.update(comparison.not_finite)
        for depth, (tensor, measured) in enumerate(comparison.distances.items()):
            self.rows.append(
                {
                    "picture": comparison.picture.name,
                    "depth": depth,
                    "node": self.names[tensor],
                    "cosine": measured.cosine,
                    "sqnr": measured.sqnr,
                    "euclidean": measured.euclidean,
                }
            )
