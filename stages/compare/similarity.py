"""The similarity table: every node's output, float against quantized, over the debug pictures."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.errors import UserError
from stages.core.graph import Graph, output_name
from stages.core.integer.simulator import simulator_model
from stages.core.metrics import Distance, distance, summarize
from stages.core.session import Runner, with_outputs

__all__ = ["COLUMNS", "POOR", "Row", "compare_networks", "output_row", "table_csv", "worst"]

COLUMNS = [
    "node", "op_type", "cosine_avg", "cosine_min", "cosine_max", "euclidean", "standard_deviation", "max_absolute",
    "max_normalized",
]  # fmt: skip
POOR = 0.98
"""Below this average cosine the vendor's guide calls a layer poor."""

Row = dict[str, Any]


def compare_networks(
    reference: onnx.ModelProto,
    integer: onnx.ModelProto,
    pictures: Iterable[Mapping[str, NDArray[np.float32]]],
    factors: Mapping[str, Sequence[float]] | None = None,
) -> list[Row]:
    """Run both networks on each picture and compare every node's output.

    The integer model runs in the exact simulator: a row shows what the board computes there, all layers before it
    quantized too. A node inside a fused layer shows its value before rounding and clamping.

    Args:
        reference: the float network.
        integer: the integer model made from it.
        pictures: network inputs, one picture at a time; only one is held in memory.
        factors: tensor -> one factor a channel, which brings the integer model's values to the float network's units.

    Returns:
        One row a node with `COLUMNS` as keys, in graph order.

    Raises:
        UserError: if a tensor holds a value that is not finite.
    """
    graph = Graph(reference)
    tensors = [name for name in graph.float_tensors if name in graph.producers]
    reference_runner = Runner(with_outputs(reference, tensors))
    quantized_runner = Runner(simulator_model(integer, tensors), optimize="safe")
    found: dict[str, list[Distance]] = {name: [] for name in tensors}
    for feeds in pictures:
        expected, actual = reference_runner.run(feeds), quantized_runner.run(feeds)
        for name in tensors:
            if factors and name in factors:
                actual[name] = _rescaled(actual[name], factors[name])
        for name in tensors:
            for values, side in ((expected[name], "float"), (actual[name], "quantized")):
                if not np.isfinite(values).all():
                    which = f"debug picture {len(found[name]) + 1}"
                    cure = (
                        "; keep its node in float (quant.skip_nodes) or give it more bits"
                        if side == "quantized"
                        else ""
                    )
                    raise UserError(
                        f"tensor {name!r} of the {side} network is infinite or not a number on {which}{cure}"
                    )
            found[name].append(distance(expected[name], actual[name]))
    rows = []
    for name in tensors:
        node = graph.producers[name]
        rows.append({"node": output_name(node, name), "op_type": node.op_type} | summarize(found[name]))
    return rows


def _rescaled(values: NDArray[np.float32], factors: Sequence[float]) -> NDArray[np.float32]:
    """Multiply each channel (axis 1) by its factor."""
    return values * np.asarray(factors, dtype=np.float32).reshape(-1, *[1] * (values.ndim - 2))


def output_row(rows: Sequence[Row], reference: onnx.ModelProto) -> Row:
    """The row of the network's output; of several outputs the least similar, of none in float the last node's."""
    graph = Graph(reference)
    ends = {graph.producers[name].name for name in graph.outputs if name in graph.producers}
    found = [row for row in rows if row["node"].partition(":")[0] in ends]
    return worst(found, 1)[0] if found else rows[-1]


def worst(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows of least average cosine, worst first."""
    return sorted(rows, key=lambda row: row["cosine_avg"])[:count]


def table_csv(rows: Sequence[Row]) -> str:
    """The table as CSV with a first column `depth`: the row's place in the graph."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["depth", *COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"depth": depth} | row for depth, row in enumerate(rows))
    return text.getvalue()
