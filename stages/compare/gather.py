"""One pass over the debug pictures: what the table, the diagnosis and the report need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.closeup import Closer, layer_tensors
from stages.compare.diagnosis.diagnose import Case, labelled_pictures, witness_of
from stages.compare.diagnosis.inputs import Witness
from stages.compare.diagnosis.observed import Observer
from stages.compare.dump import write_dump
from stages.compare.networks import Parts, feature_model, isolated_model, made_in_integers
from stages.compare.similarity import Compared, Row, compare_networks, node_names, output_row, picture_rows
from stages.core.base.artifacts import read_json
from stages.core.base.console import track, warn
from stages.core.base.paths import (
    CALIBSET,
    FLOAT_MODEL,
    INPUTS,
    INTEGER_MODEL,
    NORMALIZATION,
    NOTES,
    PREPARED_MODEL,
    QPARAMS,
    QUANTIZED_MODEL,
)
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput, Sample, feeds, load_inputs, noun_of
from stages.core.data.sample_files import SampleFiles, read_samples, select
from stages.core.data.sample_store import CALIBRATION, SampleReader, digest, stored_sets
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.integer.model import load_integer_model
from stages.core.integer.qparams import NetworkParams, load_qparams

__all__ = ["Gathered", "Loaded", "gather", "load"]

KEY = "data.debug"


@dataclass(frozen=True)
class Loaded:
    """What compare reads.

    Attributes:
        config: the experiment.
        params: of the quantized network.
        inputs: the network's.
        reference: the float network.
        graph: a view of it.
        integer: the integer model.
        parts: networks quantized in part, with `compare.isolated`.
        files: the debug samples, pictures mostly.
        sets: the stored sets of samples, calibration's among them.
    """

    config: Config
    params: NetworkParams
    inputs: Sequence[NetworkInput]
    reference: onnx.ModelProto
    graph: Graph
    integer: onnx.ModelProto
    parts: Parts | None
    files: Sequence[SampleFiles]
    sets: dict[str, SampleReader]

    @property
    def noun(self) -> str:
        """What messages call one of them."""
        return noun_of(self.inputs)

    @property
    def pictures(self) -> list[str]:
        """Names of the debug pictures, without their folders."""
        return [file.name.rpartition("/")[2] for file in self.files]


@dataclass(frozen=True)
class Gathered:
    """What the pass gives.

    Attributes:
        rows: the similarity table.
        end: the row of the network's output.
        case: what the diagnosis goes by.
        witness: of how the network is fed.
        by_picture: every picture's rows.
        closer: what was seen of the layers' tensors.
        layers: the layers' tensors, see `layer_tensors`.
        notes: lines of earlier stages and of this one that the user should read.
    """

    rows: Sequence[Row]
    end: Row
    case: Case
    witness: Witness
    by_picture: Sequence[Row]
    closer: Closer
    layers: Sequence[str]
    notes: Sequence[str]


def load(config: Config) -> Loaded:
    """Read what earlier stages left, and find the debug pictures."""
    params = load_qparams(QPARAMS, config)
    inputs = load_inputs(INPUTS)
    files = select(config.data.debug, inputs, KEY)
    reference, integer = load_model(FLOAT_MODEL), load_integer_model(INTEGER_MODEL)
    parts = _parts(reference, integer, params) if config.compare.isolated else None
    sets = stored_sets(CALIBSET)
    return Loaded(config, params, inputs, reference, Graph(reference), integer, parts, files, sets)


def _parts(reference: onnx.ModelProto, integer: onnx.ModelProto, params: NetworkParams) -> Parts:
    quantized = load_model(QUANTIZED_MODEL)
    return Parts(
        isolated_model(quantized, integer, reference, params),
        feature_model(quantized, reference, params),
        load_model(PREPARED_MODEL),
    )


def gather(loaded: Loaded, folder: Path) -> Gathered:
    """Run the networks on the debug pictures, one at a time; with `compare.dump` the first goes into `folder`."""
    config, params, graph = loaded.config, loaded.params, loaded.graph
    names = node_names(graph)
    layers = layer_tensors(names, loaded.integer, params)
    closer, observer = Closer(layers, params.factors, len(loaded.files)), Observer(params)
    pictures, by_picture = _Pictures(loaded), list[Row]()

    def watch(compared: Compared) -> None:
        if config.compare.dump and compared.place == 0:
            write_dump(folder, config.soc.vendor, loaded.reference, loaded.integer, pictures.first, compared)
        observer.add({**compared.feeds, **compared.expected})
        closer.add(compared)
        by_picture.extend(picture_rows(pictures.names[compared.place], compared.distances, names))

    rows = compare_networks(loaded.reference, loaded.integer, pictures, params.factors, loaded.parts, watch)
    end, calibration = output_row(rows, loaded.reference), loaded.sets[CALIBRATION]
    notes = [f"calibration set: {line}" for line in calibration.warnings] + read_json(NOTES)
    outputs = {name: graph.shapes.get(name, []) for name in graph.outputs}
    case = Case(
        config=config,
        graph=graph,
        params=params,
        rows=rows,
        tensors=list(names),
        end=end,
        observed=observer.by_tensor,
        in_integers=made_in_integers(loaded.integer),
        debug_pictures=len(loaded.files),
        known=pictures.known,
        pictures=len(calibration),
        available=len(select(replace(config.data.calibration, size=None), loaded.inputs, "data.calibration")),
        flat=calibration.flat,
        noun=loaded.noun,
    )
    labelled = partial(labelled_pictures, config, loaded.inputs, outputs)
    witness = witness_of(loaded.reference, loaded.inputs, read_json(NORMALIZATION), calibration, labelled)
    return Gathered(rows, end, case, witness, by_picture, closer, layers, [*notes, *pictures.notes])


@dataclass
class _Pictures:
    """Gives the debug pictures as network inputs; warns of those that served to quantize.

    Attributes:
        names: of the pictures that were given: the networks may be at one when that before it is measured.
        first: the first of them, before mean and normal.
        known: names of pictures that served to quantize.
        notes: a line for each of those.
    """

    loaded: Loaded
    names: list[str] = field(default_factory=list)
    first: Sample = field(default_factory=dict)
    known: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        files, inputs = self.loaded.files, self.loaded.inputs
        sets, preprocess = self.loaded.sets, self.loaded.config.model.preprocess
        used = {
            content: f"{kind} {self.loaded.noun} {name}"
            for kind in reversed(sets)
            for content, name in sets[kind].by_digest.items()
        }
        for picture in track(read_samples(files, inputs, preprocess, KEY), "compare", len(files)):
            if reference := used.get(digest(picture.sample)):
                self.known.append(picture.name)
                self.notes.append(f"debug {self.loaded.noun} {picture.name} is also {reference}: use others")
                warn(self.notes[-1])
            self.first = self.first or picture.sample
            self.names.append(picture.name)
            yield feeds(picture.sample, inputs)
