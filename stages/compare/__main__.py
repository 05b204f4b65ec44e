"""Reads out/export, out/quantize, out/calibset, data; writes out/compare: tables, diagnosis, plot, report."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.diagnosis.diagnose import Case, diagnose, labelled_pictures, witness_of
from stages.compare.diagnosis.observed import Observer
from stages.compare.dump import write_dump
from stages.compare.networks import Parts, feature_model, isolated_model, made_in_integers
from stages.compare.plot import similarity_plot
from stages.compare.report import finding_lines, render, verdict
from stages.compare.similarity import (
    BY_PICTURE,
    Compared,
    Row,
    compare_networks,
    output_row,
    picture_rows,
    rows_csv,
    table_csv,
)
from stages.core.artifacts import output_folder, read_json, write_json, write_text
from stages.core.command import run_stage
from stages.core.config import Config
from stages.core.console import counted, output, track, warn
from stages.core.graph import Graph, load_model
from stages.core.inputs import load_inputs, normalize
from stages.core.integer.model import load_integer_model
from stages.core.paths import (
    CALIBSET,
    COMPARE,
    DIAGNOSIS,
    FLOAT_MODEL,
    INPUTS,
    INTEGER_MODEL,
    NORMALIZATION,
    NOTES,
    PREPARED_MODEL,
    QPARAMS,
    QUANTIZED_MODEL,
    REPORT,
    SIMILARITY,
)
from stages.core.preprocess import picture_input, read_pictures, select
from stages.core.qparams import QuantParams, load_qparams
from stages.core.samples import CALIBRATION, digest, stored_sets
from stages.core.tables import similarity_table, widths_line

KEY = "data.debug"
MORE = "isolated, features, weights: 3 more networks on each debug picture; compare.isolated=false leaves them out"


def compare(config: Config) -> None:
    params = load_qparams(QPARAMS, config)
    network_input = picture_input(load_inputs(INPUTS))
    files = select(config.data.debug, KEY)
    sets = stored_sets(CALIBSET)
    used = {
        content: f"{kind} picture {name}" for kind in reversed(sets) for content, name in sets[kind].by_digest.items()
    }
    notes: list[str] = [f"calibration set: {line}" for line in sets[CALIBRATION].warnings] + read_json(NOTES)
    reference, integer = load_model(FLOAT_MODEL), load_integer_model(INTEGER_MODEL)
    parts = _parts(reference, integer, params) if config.compare.isolated else None
    graph, observer, known = Graph(reference), Observer(params), list[str]()
    samples: list[NDArray[np.uint8]] = []
    by_picture: list[Row] = []

    def pictures() -> Iterator[Mapping[str, NDArray[np.float32]]]:
        for picture in track(read_pictures(files, network_input, config.model.preprocess, KEY), "compare", len(files)):
            if twin := used.get(digest(picture.sample)):
                notes.append(f"debug picture {picture.name} is also {twin}: use others")
                known.append(picture.name)
                warn(notes[-1])
            samples[:] = [picture.sample]
            yield {network_input.name: normalize(picture.sample, network_input)}

    def keep(compared: Compared, folder: Path) -> None:
        if config.compare.dump and not by_picture:
            write_dump(folder, config.soc.vendor, reference, integer, samples[0], compared)
        observer.add({**compared.feeds, **compared.expected})
        place = len(by_picture) // len(compared.distances)
        by_picture.extend(picture_rows(files[place].name, compared, reference))

    with output_folder(COMPARE) as folder:
        rows = compare_networks(
            reference, integer, pictures(), params.factors, parts, lambda compared: keep(compared, folder)
        )
        end = output_row(rows, reference)
        outputs = {name: graph.shapes.get(name, []) for name in graph.outputs}
        labelled = labelled_pictures(config, network_input, outputs)
        case = Case(
            config=config,
            graph=graph,
            params=params,
            rows=rows,
            tensors=[name for name in graph.float_tensors if name in graph.producers],
            end=end,
            observed=observer.by_tensor,
            in_integers=made_in_integers(integer),
            debug_pictures=len(files),
            known=known,
            pictures=len(sets[CALIBRATION]),
            available=len(select(replace(config.data.calibration, size=None), "data.calibration")),
            flat=sets[CALIBRATION].flat,
        )
        witness = witness_of(reference, read_json(NORMALIZATION), sets[CALIBRATION], labelled)
        diagnosis = diagnose(case, network_input, witness)
        title = (
            f"{config.model.name} on {config.soc.name}: {widths_line(config.quant)}, {counted(len(files), 'picture')}"
        )
        plot = similarity_plot(rows, title)
        names = [file.name.rpartition("/")[2] for file in files]
        page = render(config, rows, plot, params, notes, names, end, len(sets[CALIBRATION]), diagnosis)
        write_json(folder / SIMILARITY.name, rows)
        write_json(folder / DIAGNOSIS.name, diagnosis.to_json())
        write_text(folder / "similarity.csv", table_csv(rows))
        write_text(folder / "by_picture.csv", rows_csv(BY_PICTURE, by_picture))
        write_text(folder / "similarity.svg", plot)
        write_text(folder / REPORT.name, page)
    output.print(similarity_table(rows, output.width))
    output.print(verdict(rows, end))
    for line in finding_lines(diagnosis.findings):
        output.print(line)
    if parts:
        output.print(MORE)
    output.print(f"report: {REPORT.resolve().as_uri()}")


def _parts(reference: onnx.ModelProto, integer: onnx.ModelProto, params: QuantParams) -> Parts:
    quantized = load_model(QUANTIZED_MODEL)
    return Parts(
        isolated_model(quantized, integer, reference, params),
        feature_model(quantized, reference, params),
        load_model(PREPARED_MODEL),
    )


if __name__ == "__main__":
    run_stage(compare, __doc__ or "")
