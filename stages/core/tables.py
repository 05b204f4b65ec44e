"""Results for the terminal: the similarity table, and lines that say how an experiment quantizes and how well."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.core.base.artifacts import as_number, as_object, as_rows, as_text
from stages.core.base.long_table import LongTable
from stages.core.config.schema import QuantConfig

__all__ = [
    "accuracy_line",
    "bit_widths",
    "bit_widths_line",
    "measured_metrics",
    "similarity_table",
    "table_rows",
]

GOOD_COSINE, FAIR_COSINE = 0.99, 0.98  # the vendor's guide: 0.99 is usual, below 0.98 is poor
WIDE_TERMINAL = 120
"""Columns of a terminal that takes more than the narrow table."""
WIDEST_TERMINAL = 190
"""Columns of a terminal that takes all measures, those of where the error comes from too."""
MEASURE_COLUMNS = {  # key -> heading and form
    "cosine_avg": ("cos avg", "{:.5f}"),
    "cosine_min": ("min", "{:.5f}"),
    "cosine_max": ("max", "{:.5f}"),
    "isolated_cosine": ("isolated", "{:.5f}"),
    "feature_cosine": ("features", "{:.5f}"),
    "weight_cosine": ("weights", "{:.5f}"),
    "sqnr": ("sqnr dB", "{:.1f}"),
    "euclidean": ("euclid", "{:.4f}"),
    "standard_deviation": ("std", "{:.4g}"),
    "max_absolute": ("max abs", "{:.4g}"),
    "max_normalized": ("max norm", "{:.4f}"),
}
TEXT_COLUMNS = ("node", "op_type")
NEEDED_MEASURES = ("cosine_avg", "cosine_min")
"""What is a number in each row; the others are null where they are infinite or none."""
NARROW_MEASURES = ("cosine_avg", "cosine_min", "max_normalized")
SECONDARY_MEASURES = ("cosine_max", "euclidean", "standard_deviation", "max_absolute")
"""Measures that give way to those of where the error comes from."""
PRECISIONS = {"map": "", "mask_map": "masks ", "keypoint_map": "key points "}
"""A detector's precisions against labels, and what the line calls the shapes that are not boxes."""


def table_rows(content: Any) -> list[dict[str, Any]]:
    """The rows of out/compare/similarity.json, for `read_artifact`.

    Raises:
        TypeError, KeyError, ValueError: if it holds another value.
    """
    rows = as_rows(content, *TEXT_COLUMNS, *NEEDED_MEASURES, "euclidean")
    if not rows:
        raise ValueError("it has no rows")
    for row in rows:
        for key, value in row.items():
            if key in TEXT_COLUMNS:
                as_text(value)
            elif value is not None or key in NEEDED_MEASURES:
                as_number(value)
    return rows


def measured_metrics(content: Any) -> dict[str, Any]:
    """What out/evaluate/metrics.json holds, for `read_artifact`.

    Raises:
        TypeError, KeyError: if it holds another value.
    """
    accuracy_line(as_object(content), "sample")
    _check_numbers(content)
    return dict(content)


def _check_numbers(content: Mapping[str, Any]) -> None:
    for value in content.values():
        if isinstance(value, dict):
            _check_numbers(value)
        else:
            as_number(value)


def similarity_table(rows: Sequence[Mapping[str, Any]], width: int, count: int | None = None) -> LongTable:
    """Lay out the vendor's similarity table.

    Args:
        rows: in graph order.
        width: columns of the terminal; a narrow one gets fewer measures. Measures that the rows lack have no column.
        count: show only this many, worst first; None: all, in graph order.
    """
    shown = list(rows) if count is None else sorted(rows, key=lambda row: row["cosine_avg"])[:count]
    title = (
        f"the {len(shown)} least similar of {len(rows)} nodes, inherited errors included"
        if count
        else f"similarity of {len(rows)} nodes"
    )
    shown_keys = [key for key in MEASURE_COLUMNS if not rows or key in rows[0]]
    if width < WIDE_TERMINAL:
        shown_keys = list(NARROW_MEASURES)
    elif width < WIDEST_TERMINAL and "isolated_cosine" in shown_keys:
        shown_keys = [key for key in shown_keys if key not in SECONDARY_MEASURES]
    measures = {key: MEASURE_COLUMNS[key] for key in shown_keys}
    table = LongTable(title=title, title_justify="left", header_style="bold")
    table.add_column("node", overflow="fold")
    table.add_column("type", no_wrap=True)
    for heading, _ in measures.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in shown:
        average = row["cosine_avg"]
        style = "red" if average < FAIR_COSINE else "yellow" if average < GOOD_COSINE else None
        values = ("-" if row[key] is None else form.format(row[key]) for key, (_, form) in measures.items())
        table.add_row(row["node"], row["op_type"], *values, style=style)
    return table


def bit_widths(quant: QuantConfig) -> tuple[str, str]:
    """What features and weights are: "8-bit" or "float"."""
    features = "float" if quant.float_features else f"{quant.feature_bits}-bit"
    weights = "float" if quant.float_weights else f"{quant.weight_bits}-bit"
    return features, weights


def bit_widths_line(quant: QuantConfig) -> str:
    """Say in a few words how an experiment quantizes."""
    features, weights = bit_widths(quant)
    return f"{features} features, {weights} weights"


def detection_line(metrics: Mapping[str, Any], noun: str) -> str:
    """Say in one line how both networks found boxes: mAP where there are labels, and the agreement."""
    clauses = []
    difference = metrics.get("difference", {})
    for name, shape in PRECISIONS.items():
        if name in difference:
            maps = f"float {metrics['float'][name]:.4f}, quantized {metrics['quantized'][name]:.4f}"
            clauses.append(f"{shape}mAP50-95 {maps} ({difference[name]:+.4f}{_interval(difference, name, '+.4f')})")
    if "agreement" in metrics:
        ends = _interval(metrics, "agreement", ".3f")
        clauses.append(f"agreement with the float network's boxes (mAP50) {metrics['agreement']:.3f}{ends}")
    for name, shape in (("mask_agreement", "masks"), ("keypoint_agreement", "key points")):
        if name in metrics:
            clauses.append(f"{shape} {metrics[name]:.3f}{_interval(metrics, name, '.3f')}")
    boxes = metrics["boxes"]
    clauses.append(f"of its {boxes['float']} boxes {boxes['missed']} missed, {boxes['invented']} invented")
    return f"boxes on {metrics['count']} {noun}s: {'; '.join(clauses)}"


def _interval(metrics: Mapping[str, Any], name: str, form: str) -> str:
    """The 95 % confidence interval over the samples, where it is known."""
    if f"{name}_low" not in metrics:
        return ""
    return f", 95 % CI {metrics[f'{name}_low']:{form}} to {metrics[f'{name}_high']:{form}}"


def accuracy_line(metrics: Mapping[str, Any], noun: str, worst: str = "") -> str:
    """Say in one line how both networks did: what the task measures, and the user's own metrics.

    Args:
        metrics: as `out/evaluate/metrics.json` has them.
        noun: what messages call a sample (`noun_of`).
        worst: the output that the fidelity is of, where there are several.
    """
    own = _own_metrics(metrics)
    if "boxes" in metrics:
        line = detection_line(metrics, noun)
    elif "top1" in metrics.get("float", {}):
        line = _classification_line(metrics, noun)
    else:
        of = f" (of {worst}, the worst output)" if worst else ""
        line = (
            f"outputs on {metrics['count']} {noun}s: fidelity {metrics['fidelity']:.4f}{of}, "
            f"cosine {metrics['cosine']:.4f}"
        )
        line += "" if own else " (no labels, no accuracy)"
    return "; ".join([line, *own])


def _classification_line(metrics: Mapping[str, Any], noun: str) -> str:
    reference, quantized = metrics["float"], metrics["quantized"]
    return (
        f"accuracy on {metrics['count']} {noun}s: top-1 float {reference['top1']:.1%}, quantized "
        f"{quantized['top1']:.1%}; top-5 {reference['top5']:.1%}, {quantized['top5']:.1%}; "
        f"agreement {metrics['agreement']:.1%}, cosine of the outputs {metrics['cosine']:.4f}"
    )


def _own_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """A clause for each metric of the user's own: both networks have it, and its difference is told."""
    reference, quantized, difference = (metrics.get(key, {}) for key in ("float", "quantized", "difference"))
    names = [name for name in difference if name in reference and name not in PRECISIONS]
    return [f"{name} float {reference[name]:.4g}, quantized {quantized[name]:.4g}" for name in names]
