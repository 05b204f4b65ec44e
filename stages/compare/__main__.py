"""Reads out/export, out/quantize, out/calibset, data; writes out/compare: tables, diagnosis, plot, report."""

from pathlib import Path

from stages.compare.closeup import enclosing_layers, layers_to_show, worst_layers
from stages.compare.diagnosis.diagnose import Diagnosis, diagnose
from stages.compare.figures import bits_figure, curve_figure, layer_figures
from stages.compare.gather import Gathered, Loaded, gather, load
from stages.compare.plot import similarity_plot
from stages.compare.report import Page, render
from stages.compare.similarity import BY_PICTURE, rows_csv, table_csv
from stages.compare.verdict import Verdict, finding_lines, verdict
from stages.core.artifacts import output_folder, write_json, write_text
from stages.core.command import run_stage
from stages.core.config import Config
from stages.core.console import counted, output
from stages.core.paths import COMPARE, DIAGNOSIS, REPORT, SIMILARITY
from stages.core.tables import similarity_table, widths_line

MORE = "isolated, features, weights: 3 more networks on each debug picture; compare.isolated=false leaves them out"
LOOKED_AT = 6  # layers that the report shows closely


def compare(config: Config) -> None:
    loaded = load(config)
    with output_folder(COMPARE) as folder:
        gathered = gather(loaded, folder)
        diagnosis = diagnose(gathered.case, loaded.inputs, gathered.witness)
        said = _write(folder, loaded, gathered, diagnosis)
    output.print(similarity_table(gathered.rows, output.width))
    output.print(said.sentence)
    for line in finding_lines(diagnosis.findings):
        output.print(line)
    if loaded.parts:
        output.print(MORE)
    output.print(f"report: {REPORT.resolve().as_uri()}")


def _write(folder: Path, loaded: Loaded, gathered: Gathered, diagnosis: Diagnosis) -> Verdict:
    """Write all files; gives the report's first sentence."""
    config, case, rows = loaded.config, gathered.case, gathered.rows
    made = dict(zip(case.tensors, rows, strict=True))
    worst = worst_layers({name: made[name] for name in gathered.layers}, LOOKED_AT)
    nodes = [finding.node for finding in diagnosis.findings if finding.node]
    shown = layers_to_show(made, gathered.layers, nodes, enclosing_layers(loaded.integer), LOOKED_AT)
    names = list(shown.values())
    said = verdict(rows, gathered.end, diagnosis.findings, made[worst[0]] if worst else None)
    title = f"{config.model.name} on {config.soc.name}: {widths_line(config.quant)}, "
    title += counted(len(loaded.files), "picture")
    in_float = [name not in case.in_integers for name in case.tensors]
    page = Page(
        config=config,
        params=loaded.params,
        rows=rows,
        verdict=said,
        diagnosis=diagnosis,
        notes=gathered.notes,
        pictures=loaded.pictures,
        calibration_pictures=case.pictures,
        curve=curve_figure(rows, names, nodes),
        layers=layer_figures(
            {name: made[name] for name in shown},
            loaded.graph,
            loaded.integer,
            loaded.params,
            gathered.closer,
            case.observed,
        ),
        bits=bits_figure(loaded.graph, case.tensors, loaded.params, in_float),
    )
    write_json(folder / SIMILARITY.name, rows)
    write_json(folder / DIAGNOSIS.name, diagnosis.to_json())
    write_text(folder / "similarity.csv", table_csv(rows))
    write_text(folder / "by_picture.csv", rows_csv(BY_PICTURE, gathered.by_picture))
    write_text(folder / "similarity.svg", similarity_plot(rows, title, names[:3]))
    write_text(folder / REPORT.name, render(page))
    return said


if __name__ == "__main__":
    run_stage(compare, __doc__ or "")
