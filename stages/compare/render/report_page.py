"""The report: one self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from typing import Any

import jinja2
from markupsafe import Markup

from stages.compare.diagnose.diagnosis import Diagnosis
from stages.compare.diagnose.outcome import off_by
from stages.compare.gather.comparison import Row
from stages.compare.gather.picture_sets import CalibrationSet, DebugSet
from stages.compare.gather.similarity import POOR, Similarity
from stages.compare.render.box_figures import BoxSection
from stages.compare.render.open_runtime import open_runtime_sentence
from stages.compare.render.report_figures import Figure
from stages.compare.render.report_verdict import Verdict, command_line, cure_command, cure_remark
from stages.core.config.schema import Config
from stages.core.integer.network_params import FeatureParams, NetworkParams, WeightParams
from stages.core.outputs.output_judge import Level, OutputJudgement
from stages.core.render.page import inline
from stages.core.tables import bit_widths
from stages.core.tpu_mlir.compiled import CompiledNetwork

__all__ = ["NONE", "LayerFigures", "PageFigures", "ReportPage", "render_page"]

NONE = "\N{EN DASH}"
"""A cell without a value."""


@dataclass(frozen=True)
class LayerFigures:
    """One of the layers to look at.

    Attributes:
        row: of the similarity table.
        figures: of its output and weights.
    """

    row: Row
    figures: Sequence[Figure]


@dataclass(frozen=True)
class PageFigures:
    """The plots of the page.

    Attributes:
        curve: similarity over depth.
        bits: bit widths over depth.
        layers: the layers to look at, worst first.
        boxes: a detector's; None of another network.
    """

    curve: Figure
    bits: Figure
    layers: Sequence[LayerFigures]
    boxes: BoxSection | None = None


@dataclass(frozen=True)
class ReportPage:
    """What the page shows.

    Attributes:
        config: the experiment.
        params: what quantize chose, for each node's bit width and range.
        similarity: the table.
        debug: the debug pictures.
        calibration: the calibration set.
        verdict: the first sentence.
        diagnosis: what was found.
        notes: lines from quantize and compare that the user should read.
        figures: the plots.
        compiled: the network as the vendor's compiler made it; None where it did not.
    """

    config: Config
    params: NetworkParams
    similarity: Similarity
    debug: DebugSet
    calibration: CalibrationSet
    verdict: Verdict
    diagnosis: Diagnosis
    notes: Sequence[str]
    figures: PageFigures
    compiled: CompiledNetwork | None = None


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, what that means, and its cells."""

    heading: str
    description: str
    cells: Sequence[str]
    text: bool = False
    sorted: bool = False


def render_page(page: ReportPage) -> str:
    """Render HTML that needs no other file and no network, the same for the same content."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.compare.render", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = _worst_first(page.similarity.rows)
    columns = _columns(rows, page.params, page.similarity.has_sources)
    outputs = [_output_row(judged) for judged in page.diagnosis.outcome.outputs]
    numbers = iter(range(1000))

    def drawn(figure: Figure, label: str) -> Markup:
        """A plot in the page; labels are the program's own words and need no escaping."""
        if figure.narrow is None:
            return Markup(inline(figure.svg, f"f{next(numbers)}", label))
        wide, narrow = (inline(svg, f"f{next(numbers)}", label) for svg in (figure.svg, figure.narrow))
        return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')

    return environment.get_template("report.html.j2").render(
        page=page,
        config=page.config,
        columns=columns,
        table=[(row["cosine_avg"] < POOR, cells) for row, cells in zip(rows, _lines(columns), strict=True)],
        sources=page.similarity.has_sources,
        open_runtime=open_runtime_sentence(page.config.soc, page.params),
        bit_widths=bit_widths(page.config.quant),
        poor=POOR,
        settings=_settings(page.config),
        information=[item for item in page.diagnosis.information if item is not page.diagnosis.unchecked],
        command_line=command_line,
        cure_command=cure_command,
        cure_remark=cure_remark,
        decided_by=page.diagnosis.outcome.decided_by,
        outputs=outputs,
        some_parts=any(row["part"] != NONE for row in outputs),
        some_answers=any(row["answers"] != NONE for row in outputs),
        plain=_plain,
        none_mark=NONE,
        drawn=drawn,
    )


def _output_row(judged: OutputJudgement) -> dict[str, Any]:
    """A row of the table of outputs."""
    answers = judged.answers
    return {
        "output": judged.output,
        "kind": judged.kind.value,
        "span": f"{judged.span[0]:.3g} .. {judged.span[1]:.3g}" if judged.span else NONE,
        "part": judged.worst.part or NONE,
        "error": f"{off_by(judged)} %",
        "fidelity": f"{judged.fidelity:.4f}",
        "answers": f"{answers.changed} of {answers.count} {answers.noun}" if answers and answers.count else NONE,
        "verdict": f"cannot tell: {judged.silent}" if judged.silent else judged.level.value,
        "poor": judged.level in (Level.look, Level.broken),
    }


def _worst_first(rows: Sequence[Row]) -> list[Row]:
    """Rows with their depth; what errs most by itself first, or where that is not known what is least similar."""
    placed = [{"depth": depth, **row} for depth, row in enumerate(rows)]
    return sorted(placed, key=lambda row: row.get("isolated_sqnr", row["cosine_avg"]))


def _columns(rows: Sequence[Row], params: NetworkParams, sources: bool) -> list[Column]:
    features = {feature.node: feature for feature in params.features}
    weights = {weight.node: weight for weight in params.weights}
    nodes = [row["node"] for row in rows]

    def numbers(key: str, form: str, heading: str, description: str, ordered: bool = False) -> Column:
        return Column(heading, description, [form.format(row[key]) for row in rows], sorted=ordered)

    columns = [
        numbers("depth", "{}", "depth", "place in the graph"),
        Column("node", "name of the node", nodes, text=True),
        Column("type", "ONNX operator", [row["op_type"] for row in rows], text=True),
        Column("bits f/w", "bits of feature and weight", [_bits(features.get(n), weights.get(n)) for n in nodes]),
    ]
    if sources:
        columns += [
            numbers("isolated_sqnr", "{:.1f}", "isolated SQNR dB", "this layer alone quantized", ordered=True),
            numbers("isolated_cosine", "{:.5f}", "isolated cosine", "this layer alone quantized"),
        ]
    columns += [
        numbers("cosine_avg", "{:.5f}", "cosine avg", "average over the samples", ordered=not sources),
        numbers("cosine_min", "{:.5f}", "min", "least cosine of a sample"),
        numbers("cosine_max", "{:.5f}", "max", "greatest cosine of a sample"),
        numbers("sqnr", "{:.1f}", "SQNR dB", "signal to quantization noise"),
    ]
    if sources:
        columns += [
            numbers("feature_cosine", "{:.5f}", "features", "cosine with features alone quantized"),
            numbers("weight_cosine", "{:.5f}", "weights", "cosine with weights alone quantized"),
        ]
    return [
        *columns,
        numbers("euclidean", "{:.4f}", "euclidean", "length of the error relative to the float tensor"),
        numbers("euclidean_similarity", "{:.4f}", "eucl. similarity", "as Sophgo's npz comparison has it"),
        numbers("standard_deviation", "{:.4g}", "std of error", "in the tensor's unit"),
        numbers("max_absolute", "{:.4g}", "max absolute", "largest error, in the tensor's unit"),
        numbers("max_normalized", "{:.4f}", "max normalized", "largest error relative to the float tensor's span"),
        Column("range", "what codes stand for", [_range(features.get(n), "low", "high") for n in nodes]),
        Column("seen", "during calibration", [_range(features.get(n), "seen_low", "seen_high") for n in nodes]),
    ]


def _bits(feature: FeatureParams | None, weight: WeightParams | None) -> str:
    return "/".join(str(coded.bits) if coded else NONE for coded in (feature, weight))


def _range(feature: FeatureParams | None, low: str, high: str) -> str:
    return f"{getattr(feature, low):.4g} .. {getattr(feature, high):.4g}" if feature else ""


def _lines(columns: Sequence[Column]) -> list[list[str]]:
    return [list(cells) for cells in zip(*(column.cells for column in columns), strict=True)]


def _settings(config: Config) -> list[tuple[str, str]]:
    """The settings that an engineer asks for first: how it is fed, how it is quantized, for what."""
    values = {f"model.{key}": getattr(config.model, key, None) for key in ("source", "inputs", "outputs")}
    values |= {f"soc.{key}": getattr(config.soc, key, None) for key in ("name", "requantization", "weight_scale")}
    values |= {f"quant.{key}": value for key, value in config.quant.settings.items()}
    values |= {f"data.{name}.source": getattr(config.data, name).source for name in ("calibration", "debug")}
    return [(key, _plain(value)) for key, value in values.items()]


def _plain(value: Any) -> str:
    """A value of a setting or of a finding's evidence as text."""
    match value:
        case Enum():
            text = value.name
        case None | "???":
            text = NONE
        case bool():
            text = str(value).lower()
        case float():
            text = f"{value:.4g}"
        case list() | tuple():
            text = "[" + ", ".join(map(_plain, value)) + "]"
        case Mapping():
            text = "{" + ", ".join(f"{key}: {_plain(each)}" for key, each in value.items()) + "}"
        case _ if is_dataclass(value) and not isinstance(value, type):
            text = _plain(asdict(value))
        case _:
            text = str(value)
    return text
