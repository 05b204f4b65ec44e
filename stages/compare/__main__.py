"""Reads out/export, out/quantize, out/calibset, data; writes out/compare: tables, diagnosis, plot, report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.compare.closeup import enclosing_layers, layers_to_show, worst_layers
from stages.compare.diagnosis.diagnose import Diagnosis, diagnose
from stages.compare.drawing import Drawing, Sketch
from stages.compare.figures import bits_figure, curve_figure, layer_figures
from stages.compare.gather import Gathered, Loaded, gather, load
from stages.compare.report import Layer, Page, render
from stages.compare.similarity import BY_PICTURE, rows_csv, table_csv
from stages.compare.verdict import Verdict, finding_lines, verdict
from stages.core.base.artifacts import output_folder, write_json, write_text
from stages.core.base.console import counted, output
from stages.core.base.paths import COMPARE, DIAGNOSIS, REPORT, SIMILARITY
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.tables import bit_widths_line, similarity_table

MORE = "isolated, features, weights: 3 more networks on each debug {noun}; compare.isolated=false leaves them out"
LOOKED_AT = 6  # layers that the report shows closely


def compare(config: Config) -> None:
    with Drawing() as drawing, output_folder(COMPARE) as folder:
        loaded = load(config)
        bits = bits_figure(drawing, loaded.graph, loaded.integer, loaded.params)
        gathered = gather(loaded, folder)
        made = dict(zip(gathered.case.tensors, gathered.rows, strict=True))
        worst = worst_layers({name: made[name] for name in gathered.layers}, LOOKED_AT)
        # what does not depend on the findings is drawn while the diagnosis runs networks
        sketches = _look(drawing, worst, loaded, gathered)
        diagnosis = diagnose(gathered.case, loaded.inputs, gathered.witness)
        nodes = [finding.node for finding in diagnosis.findings if finding.node]
        shown = layers_to_show(made, gathered.layers, nodes, enclosing_layers(loaded.integer), LOOKED_AT)
        sketches |= _look(drawing, [name for name in shown if name not in sketches], loaded, gathered)
        said = verdict(gathered.rows, gathered.end, diagnosis.findings, made[worst[0]] if worst else None)
        _write_tables(folder, gathered, diagnosis)
        _write_report(folder, drawing, loaded, gathered, diagnosis, said, bits, shown, sketches)
    output.print(similarity_table(gathered.rows, output.width))
    output.print(said.sentence)
    for line in finding_lines(diagnosis.findings):
        output.print(line)
    if diagnosis.unchecked:
        output.print(f"note: {diagnosis.unchecked.sentence}")
    if loaded.parts:
        output.print(MORE.format(noun=loaded.noun))
    output.print(f"report: {REPORT.resolve().as_uri()}")


def _look(drawing: Drawing, tensors: Sequence[str], loaded: Loaded, gathered: Gathered) -> dict[str, list[Sketch]]:
    closer, observed = gathered.closer, gathered.case.observed
    return layer_figures(drawing, tensors, loaded.graph, loaded.integer, loaded.params, closer, observed)


def _write_tables(folder: Path, gathered: Gathered, diagnosis: Diagnosis) -> None:
    write_json(folder / SIMILARITY.name, gathered.rows)
    write_json(folder / DIAGNOSIS.name, diagnosis.to_json())
    write_text(folder / "similarity.csv", table_csv(gathered.rows))
    write_text(folder / "by_picture.csv", rows_csv(BY_PICTURE, gathered.by_picture))


def _write_report(
    folder: Path,
    drawing: Drawing,
    loaded: Loaded,
    gathered: Gathered,
    diagnosis: Diagnosis,
    said: Verdict,
    bits: Sketch,
    shown: Mapping[str, str],
    sketches: Mapping[str, Sequence[Sketch]],
) -> None:
    """Write the page, and the curve as a file of its own.

    Args:
        folder: for both.
        drawing: draws what is not drawn yet.
        loaded: what compare read.
        gathered: what the networks gave.
        diagnosis: what was found.
        said: the first sentence.
        bits: widths over depth.
        shown: tensors of the layers to look at -> the node that each stands for.
        sketches: their figures.
    """
    config, case, rows = loaded.config, gathered.case, gathered.rows
    made = dict(zip(case.tensors, rows, strict=True))
    title = f"{config.model.name} on {config.soc.name}: {bit_widths_line(config.quant)}, "
    title += counted(len(loaded.files), loaded.noun)
    marked = [finding.node for finding in diagnosis.findings if finding.node]
    names = list(shown.values())
    curve = curve_figure(drawing, rows, names, marked)
    alone = drawing.draw("similarity_plot", rows, title, names[:3])
    page = Page(
        config=config,
        params=loaded.params,
        rows=rows,
        verdict=said,
        diagnosis=diagnosis,
        notes=gathered.notes,
        pictures=loaded.pictures,
        calibration_pictures=case.pictures,
        noun=loaded.noun,
        curve=curve.figure(),
        layers=[Layer(made[name], [sketch.figure() for sketch in sketches[name]]) for name in shown],
        bits=bits.figure(),
    )
    write_text(folder / REPORT.name, render(page))
    write_text(folder / "similarity.svg", alone.result())


if __name__ == "__main__":
    run_stage(compare, __doc__ or "")
