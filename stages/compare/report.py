"""The report: one self-contained page."""

import shlex
from collections.abc import Sequence

import jinja2

from stages.compare.diagnosis.diagnose import Diagnosis
from stages.compare.diagnosis.finding import Finding
from stages.compare.similarity import POOR, SOURCES, Row, worst
from stages.core.config import Config
from stages.core.qparams import QuantParams
from stages.core.tables import widths

__all__ = ["finding_lines", "render", "verdict"]

SOURCE_HEADINGS = ["isolated", "isolated SQNR", "features", "weights"]  # of the columns `SOURCES`


def verdict(rows: Sequence[Row], end: Row) -> str:
    """Say in one sentence how the network came through; `end` is the row of its output."""
    poor = [row for row in rows if row["cosine_avg"] < POOR]
    output = f"the output ({end['node']}) has {end['cosine_avg']:.4f}"
    if not poor:
        return f"No layer is poor (average cosine below {POOR}); {output}."
    lowest = worst(poor, 1)[0]
    share = f"{len(poor)} of {len(rows)} nodes are poor (average cosine below {POOR})"
    return f"{share}; the worst is {lowest['node']} with {lowest['cosine_avg']:.4f}, {output}."


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Findings for the terminal, worst first: what is wrong, and the line to type."""
    lines = []
    for number, finding in enumerate(findings, 1):
        lines.append(f"finding {number}: {finding.sentence}")
        if finding.cure:
            lines.append(f"  try: {command_line(finding.cure)}")
    return lines


def command_line(cure: str) -> str:
    """What to type in a shell for an override of the current experiment."""
    return f"python -m stages.compose --keep {shlex.quote(cure)} && dvc repro"


def render(
    config: Config,
    rows: Sequence[Row],
    plot: str,
    params: QuantParams,
    notes: Sequence[str],
    pictures: Sequence[str],
    end: Row,
    calibration_pictures: int,
    diagnosis: Diagnosis,
) -> str:
    """Render the page.

    Args:
        config: the experiment.
        rows: the similarity table in graph order.
        plot: SVG of the curve over depth.
        params: what quantize chose, for each node's width and range.
        notes: lines from quantize and compare that the user should read.
        pictures: names of the debug pictures.
        end: the row of the network's output.
        calibration_pictures: how many calibrated.
        diagnosis: what was found.

    Returns:
        HTML that needs no other file and no network.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.compare", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    features = {entry.node: entry for entry in params.features}
    weights = {entry.node: entry for entry in params.weights}
    return environment.get_template("report.html.j2").render(
        config=config,
        rows=[{"depth": depth, **row} for depth, row in enumerate(rows)],
        sources=[(heading, "") for heading in SOURCE_HEADINGS] if rows and SOURCES[0] in rows[0] else [],
        params=params,
        widths=widths(config.quant),
        features=features,
        weights=weights,
        plot=plot[plot.index("<svg") :],
        verdict=verdict(rows, end),
        poor=POOR,
        notes=notes,
        pictures=pictures,
        calibration_pictures=calibration_pictures,
        findings=diagnosis.findings,
        information=diagnosis.information,
        command_line=command_line,
    )
