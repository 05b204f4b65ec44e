"""The similarity table as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence

from stages.compare.gather.comparison import SOURCES, Row
from stages.compare.gather.similarity import BY_PICTURE, COLUMNS, Similarity
from stages.core.base.artifacts import finite_or_none

__all__ = ["picture_csv", "table_csv"]


def table_csv(similarity: Similarity) -> str:
    """The table with a first column `depth`: the row's place in the graph; a measure that is not finite is empty."""
    rows = [{"depth": depth, **row} for depth, row in enumerate(similarity.rows)]
    return _csv(["depth", *COLUMNS, *(SOURCES if similarity.has_sources else [])], rows)


def picture_csv(similarity: Similarity) -> str:
    """Every picture's rows; a measure that is not finite is empty."""
    return _csv(BY_PICTURE, similarity.by_picture)


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Rows with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(finite_or_none(row) for row in rows)
    return text.getvalue()
