"""What compare shows, from what it gathered and found: files, and lines for the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.compare.background import Background
from stages.compare.diagnose.diagnosis import Diagnosis
from stages.compare.gather.comparison import Row
from stages.compare.gather.gather import Gathered
from stages.compare.render.box_figures import BoxDrawings, begin_boxes
from stages.compare.render.report_figures import ReportFigures
from stages.compare.render.report_page import LayerFigures, PageFigures, ReportPage, render_page
from stages.compare.render.report_verdict import Verdict, cure_lines, finding_lines, verdict
from stages.compare.render.shown_layers import layers_to_show, worst_layers
from stages.compare.render.similarity_csv import picture_csv, table_csv
from stages.core.base.artifacts import finite_or_none, write_json, write_text
from stages.core.base.console import counted, output
from stages.core.base.paths import BOXES, DIAGNOSIS, REPORT, SIMILARITY, SIMILARITY_TABLE
from stages.core.config.schema import Config
from stages.core.tables import bit_widths_line, similarity_table

__all__ = ["BegunFigures", "Rendered", "begin_figures", "render"]

MAX_LAYERS = 6  # that the report shows closely
MOST_ROWS, SHOWN_ROWS = 60, 20
"""Of a table with more rows, which would push the verdict off the screen, the terminal shows the least similar ones."""
MAX_NAMES = 3  # of nodes in the plot that is a file of its own
PARTIAL_NETWORKS = (
    "isolated, features, weights: 3 more networks on each debug {noun}; compare.isolated=false leaves them out"
)


@dataclass(frozen=True)
class Rendered:
    """What compare shows.

    Attributes:
        contents: file name -> content, for JSON.
        texts: file name -> text.
        files: file name -> bytes.
        rows: the similarity table.
        lines: what the terminal shows below the table.
    """

    contents: Mapping[str, Any]
    texts: Mapping[str, str]
    files: Mapping[str, bytes]
    rows: Sequence[Row]
    lines: Sequence[str]

    def write_files(self, folder: Path) -> None:
        """Write all files into a folder."""
        for name, content in self.contents.items():
            write_json(folder / name, content)
        for name, text in self.texts.items():
            write_text(folder / name, text)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    def show(self) -> None:
        """Print the table, the verdict and the findings, and where the report is."""
        output.print(similarity_table(self.rows, output.width, SHOWN_ROWS if len(self.rows) > MOST_ROWS else None))
        if len(self.rows) > MOST_ROWS:
            output.print(f"all nodes in their order: {SIMILARITY_TABLE}")
        for line in self.lines:
            output.print(line)
        output.print(f"report: {REPORT.resolve().as_uri()}")


@dataclass(frozen=True)
class BegunFigures:
    """Figures that are being drawn.

    Attributes:
        report: those of every network.
        boxes: those of a detector; None of another network.
    """

    report: ReportFigures
    boxes: BoxDrawings | None


def begin_figures(gathered: Gathered, config: Config, background: Background) -> BegunFigures:
    """Have those figures drawn that do not depend on findings."""
    figures = ReportFigures(gathered, background)
    boxes = begin_boxes(gathered, config, background)
    figures.draw(worst_layers(gathered.similarity, gathered.networks.layers, MAX_LAYERS))
    return BegunFigures(figures, boxes)


def _conclude(gathered: Gathered, diagnosis: Diagnosis) -> Verdict:
    """The verdict by what was found."""
    similarity = gathered.similarity
    worst = worst_layers(similarity, gathered.networks.layers, 1)
    worst_row = similarity.by_tensor[worst[0]] if worst else None
    return verdict(similarity, diagnosis.outcome, diagnosis.findings, worst_row)


def render(gathered: Gathered, diagnosis: Diagnosis, begun: BegunFigures, config: Config) -> Rendered:
    """Render the table, the diagnosis, the report, and its curve as a file of its own.

    Args:
        gathered: what the report shows.
        diagnosis: what was found.
        begun: the figures that are drawn already; draws the others.
        config: the experiment.
    """
    networks, similarity = gathered.networks, gathered.similarity
    marked = [finding.node for finding in diagnosis.findings if finding.node]
    shown = layers_to_show(similarity, networks.layers, marked, networks.enclosing, MAX_LAYERS)
    names, figures = list(shown.values()), begun.report
    figures.draw(shown)
    curve = figures.curve(names, marked)
    plot = figures.similarity(_title(gathered, config), names[:MAX_NAMES])
    conclusion = _conclude(gathered, diagnosis)
    layers = [LayerFigures(similarity.by_tensor[name], figures.layer(name)) for name in shown]
    section = begun.boxes.section() if begun.boxes else None
    page = ReportPage(
        config,
        networks.params,
        similarity,
        gathered.debug,
        gathered.calibration,
        conclusion,
        diagnosis,
        gathered.notes,
        PageFigures(curve.figure(), figures.bits.figure(), layers, section),
        gathered.compiled,
    )
    return Rendered(
        {
            SIMILARITY.name: finite_or_none(similarity.rows),
            DIAGNOSIS.name: finite_or_none({"verdict": asdict(conclusion), **diagnosis.to_json()}),
        },
        {
            SIMILARITY_TABLE.name: table_csv(similarity),
            "by_picture.csv": picture_csv(similarity),
            REPORT.name: render_page(page),
            "similarity.svg": plot.result(),
        },
        {BOXES.name: section.sheet} if section and section.sheet else {},
        similarity.rows,
        _lines(gathered, diagnosis, conclusion),
    )


def _title(gathered: Gathered, config: Config) -> str:
    pictures = counted(len(gathered.debug.names), gathered.debug.noun)
    return f"{config.model.name} on {config.soc.name}: {bit_widths_line(config.quant)}, {pictures}"


def _lines(gathered: Gathered, diagnosis: Diagnosis, conclusion: Verdict) -> list[str]:
    """The verdict, the findings and notes for the terminal."""
    lines = [conclusion.sentence, *finding_lines(diagnosis.findings), *cure_lines(diagnosis.cures)]
    lines += [f"note: {line}" for line in diagnosis.notes]
    if diagnosis.unchecked:
        lines.append(f"note: {diagnosis.unchecked.sentence}")
    if gathered.networks.partial:
        lines.append(PARTIAL_NETWORKS.format(noun=gathered.debug.noun))
    return lines
