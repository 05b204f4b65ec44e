"""The converter's similarity table, read from its log, in the form of `out/compare/similarity.json`."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from stages.core.graph.onnx_graph import Graph, output_name

__all__ = ["COLUMNS", "parse_table", "table_csv"]

MEASURES = (
    "cosine_avg", "cosine_min", "cosine_max", "euclidean", "standard_deviation", "max_absolute", "max_normalized",
)  # fmt: skip
COLUMNS = ("node", "op_type", *MEASURES)
TABLE_HEADER = re.compile(r"feature\s+name\s+cosine_avg\s+cosine_min\s+cosine_max\b")
NUMBER_PATTERN = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)"
TABLE_ROW = re.compile(
    rf"\s*(?P<name>\S.*?)(?P<numbers>(?:\s+{NUMBER_PATTERN}){{{len(MEASURES)}}})\s*", re.ASCII | re.IGNORECASE
)


def parse_table(lines: Sequence[str], graph: Graph, types: Mapping[str, str]) -> list[dict[str, Any]]:
    """Read the table; of several tables the last.

    Args:
        lines: the log's lines.
        graph: the network that was converted. The name of a node or of a node's output becomes that node's name, as in
            our own table.
        types: layer -> the converter's type of it, for layers that the graph does not have.

    Returns:
        One row a layer, in the table's order, with `COLUMNS` as keys; a measure that is not finite is None. Empty if
        the log has no table: the converter prints one with DEBUG_PATH only.
    """
    headers = [index for index, line in enumerate(lines) if TABLE_HEADER.search(line)]
    if not headers:
        return []
    by_name = {node.name: node for node in graph.nodes}
    rows = []
    for match in filter(None, map(TABLE_ROW.fullmatch, lines[headers[-1] + 1 :])):
        name, numbers = match["name"], map(float, match["numbers"].split())
        producer = graph.producers.get(name)
        node = by_name.get(name) or producer
        measures = (value if math.isfinite(value) else None for value in numbers)
        rows.append(
            {
                "node": output_name(producer, name) if producer and name not in by_name else name,
                "op_type": node.op_type if node else types.get(name, ""),
                **dict(zip(MEASURES, measures, strict=True)),
            }
        )
    return rows


def table_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as csv with a header; a measure that is not finite is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
