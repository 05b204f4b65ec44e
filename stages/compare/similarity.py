"""The similarity table: every node's output, float against quantized, over the debug pictures."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.networks import Parts, along_channels
from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import Graph, output_name
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import SQNR_CAP, Distance, distance, summarize

__all__ = [
    "BY_PICTURE",
    "COLUMNS",
    "POOR",
    "SOURCES",
    "Compared",
    "Row",
    "compare_networks",
    "node_names",
    "output_row",
    "picture_rows",
    "rows_csv",
    "table_csv",
    "worst",
]

COLUMNS = [
    "node", "op_type", "cosine_avg", "cosine_min", "cosine_max", "euclidean", "standard_deviation", "max_absolute",
    "max_normalized", "sqnr", "euclidean_similarity",
]  # fmt: skip
SOURCES = ["isolated_cosine", "isolated_sqnr", "feature_cosine", "weight_cosine"]
"""Columns that tell where the error comes from; only with `compare.isolated`."""
BY_PICTURE = ["picture", "depth", "node", "cosine", "sqnr", "euclidean"]
POOR = 0.98
"""Below this average cosine the vendor's guide calls a layer poor."""

Array = NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """One picture's comparison; by tensor, in graph order.

    Attributes:
        place: which picture it is, from 0.
        feeds: the network inputs.
        expected: what the float network makes.
        actual: what the integer model makes, in the float network's units.
        distances: between the two.
    """

    place: int
    feeds: Mapping[str, Array]
    expected: Mapping[str, Array]
    actual: Mapping[str, Array]
    distances: Mapping[str, Distance]


def compare_networks(
    reference: onnx.ModelProto,
    integer: onnx.ModelProto,
    pictures: Iterable[Mapping[str, Array]],
    factors: Mapping[str, Sequence[float]] | None = None,
    parts: Parts | None = None,
    watch: Callable[[Compared], None] | None = None,
) -> list[Row]:
    """Run both networks on each picture and compare every node's output.

    The integer model runs in the exact simulator: a row shows what the board computes there, all layers before it
    quantized too. A node inside a fused layer shows its value before rounding and clamping.

    Args:
        reference: the float network.
        integer: the integer model made from it.
        pictures: network inputs, one picture at a time; the tensors of two are held in memory, since one is measured
            while the networks run on the next.
        factors: tensor -> one factor a channel, which brings the integer model's values to the float network's units.
        parts: networks quantized in part, for the columns `SOURCES`; each is one more pass.
        watch: called with every picture's comparison, in order, in a thread of its own.

    Returns:
        One row a node with `COLUMNS` as keys, and `SOURCES` if there are `parts`, in graph order.

    Raises:
        UserError: if a tensor holds a value that is not finite.
    """
    graph = Graph(reference)
    names = node_names(graph)
    tensors = list(names)
    sources = _Sources(parts, tensors, factors or {}) if parts else None
    more = [name for name in sources.needs if name in graph.producers and name not in tensors] if sources else []
    reference_runner = Runner(with_outputs(reference, [*tensors, *more]), beside=1)
    quantized_runner = Runner(simulator_model(integer, tensors), optimize="safe", beside=1)
    found: dict[str, list[Distance]] = {name: [] for name in tensors}

    def measure(compared: Compared) -> None:
        for name, entry in compared.distances.items():
            found[name].append(entry)
        if watch:
            watch(compared)

    with _Behind() as behind:
        for place, feeds in enumerate(pictures):
            expected = reference_runner.run(feeds)
            actual = _rescaled(quantized_runner.run(feeds), factors or {})
            behind.do(partial(_compare, place, feeds, expected, actual, tensors, measure))
            del actual
            if sources:
                sources.add(feeds, expected, place, behind)
        behind.wait()
    rows = []
    for name in tensors:
        row: Row = {"node": names[name], "op_type": graph.producers[name].op_type}
        rows.append(row | summarize(found[name]) | (sources.summary(name) if sources else {}))
    return rows


class _Behind:
    """A thread that measures what was made while the networks make more; one piece of work at a time, in order."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._work: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def do(self, work: Callable[[], None]) -> None:
        """Give it work, once what it had before is done; raises what that raised."""
        self.wait()
        self._work = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until nothing is left to do; raises what the work raised."""
        work, self._work = self._work, None
        if work:
            work.result()


def _compare(
    place: int,
    feeds: Mapping[str, Array],
    expected: Mapping[str, Array],
    actual: Mapping[str, Array],
    tensors: Sequence[str],
    then: Callable[[Compared], None],
) -> None:
    """Measure one picture's distances."""
    distances = {name: _distance(name, expected[name], actual[name], place) for name in tensors}
    then(Compared(place, feeds, expected, actual, distances))


class _Sources:
    """Runs the networks that are quantized in part, one after the other: the tensors of two are held at a time."""

    def __init__(self, parts: Parts, tensors: Sequence[str], factors: Mapping[str, Sequence[float]]) -> None:
        self._tensors, self._factors, self._outputs = tensors, factors, parts.isolated.outputs
        self._isolated = Runner(parts.isolated.model, optimize="none", beside=1) if self._outputs else None
        self._features = Runner(with_outputs(parts.features, tensors), optimize="none", beside=1)
        self._weights = Runner(with_outputs(parts.weights, tensors), beside=1)
        self._found: dict[str, dict[str, list[float]]] = {name: {key: [] for key in SOURCES} for name in tensors}

    @property
    def needs(self) -> Iterable[str]:
        """Tensors that the network of isolated layers is fed."""
        return self._isolated.inputs if self._isolated else ()

    def add(self, feeds: Mapping[str, Array], expected: Mapping[str, Array], place: int, behind: _Behind) -> None:
        """Take in one picture: its network inputs and what the float network makes of them."""
        made: Mapping[str, Array] = {}
        if self._isolated:
            fed = {**feeds, **expected}
            made = self._isolated.run({name: fed[name] for name in self._isolated.inputs})
        alone = _rescaled({name: made[output] for name, output in self._outputs.items()}, self._factors)
        del made
        behind.do(partial(self._alone, alone, expected, place))
        del alone
        behind.do(partial(self._side, "feature_cosine", self._features.run(feeds), expected, place))
        weights = _rescaled(self._weights.run(feeds), self._factors)
        behind.do(partial(self._side, "weight_cosine", weights, expected, place))

    def _alone(self, made: Mapping[str, Array], expected: Mapping[str, Array], place: int) -> None:
        for name in self._tensors:
            apart = _distance(name, expected[name], made[name], place) if name in made else None
            self._found[name]["isolated_cosine"].append(apart.cosine if apart else 1.0)
            self._found[name]["isolated_sqnr"].append(apart.sqnr if apart else SQNR_CAP)

    def _side(self, key: str, made: Mapping[str, Array], expected: Mapping[str, Array], place: int) -> None:
        for name in self._tensors:
            self._found[name][key].append(_distance(name, expected[name], made[name], place).cosine)

    def summary(self, tensor: str) -> dict[str, float]:
        """Averages over the pictures, by the names in `SOURCES`."""
        return {key: float(np.mean(values)) for key, values in self._found[tensor].items()}


def _distance(name: str, expected: Array, made: Array, place: int) -> Distance:
    """Compare a tensor; refuses values that are not finite."""
    found = distance(expected, made)
    if not math.isfinite(found.standard_deviation):
        side, keep = "float", ""
        if np.isfinite(expected).all():
            side, keep = "quantized", "; keep its node in float (quant.skip_nodes) or give it more bits"
        raise UserError(
            f"tensor {name!r} of the {side} network is infinite or not a number on debug picture {place + 1}{keep}"
        )
    return found


def _rescaled(values: dict[str, Array], factors: Mapping[str, Sequence[float]]) -> dict[str, Array]:
    """Multiply each channel (axis 1) of the tensors that have factors by its own."""
    for name in values.keys() & factors.keys():
        values[name] = values[name] * along_channels(factors[name], values[name].ndim)
    return values


def output_row(rows: Sequence[Row], reference: onnx.ModelProto) -> Row:
    """The row of the network's output; of several outputs the least similar, of none in float the last node's."""
    graph = Graph(reference)
    ends = {graph.producers[name].name for name in graph.outputs if name in graph.producers}
    found = [row for row in rows if row["node"].partition(":")[0] in ends]
    return worst(found, 1)[0] if found else rows[-1]


def worst(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows of least average cosine, worst first."""
    return sorted(rows, key=lambda row: row["cosine_avg"])[:count]


def table_csv(rows: Sequence[Row]) -> str:
    """The table as CSV with a first column `depth`: the row's place in the graph."""
    sources = [key for key in SOURCES if rows and key in rows[0]]
    return rows_csv(["depth", *COLUMNS, *sources], [{"depth": depth} | row for depth, row in enumerate(rows)])


def node_names(graph: Graph) -> dict[str, str]:
    """The table's rows: every float tensor that the network makes -> its name there, in graph order."""
    made = [name for name in graph.float_tensors if name in graph.producers]
    return {name: output_name(graph.producers[name], name) for name in made}


def picture_rows(picture: str, distances: Mapping[str, Distance], names: Mapping[str, str]) -> list[Row]:
    """One picture's distances, a row a node in graph order, with `BY_PICTURE` as keys; `names` from `node_names`."""
    return [
        {
            "picture": picture,
            "depth": depth,
            "node": names[tensor],
            "cosine": entry.cosine,
            "sqnr": entry.sqnr,
            "euclidean": entry.euclidean,
        }
        for depth, (tensor, entry) in enumerate(distances.items())
    ]


def rows_csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Rows as CSV with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
