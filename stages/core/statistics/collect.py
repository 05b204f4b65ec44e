"""One pass over the calibration set: run the network with every tensor as output, collect, forget."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.console import track
from stages.core.base.errors import UserError
from stages.core.base.memory import MOST_BESIDE, check_available
from stages.core.base.threads import thread_count
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.sample_store import SampleReader
from stages.core.graph.infinite import infinite_tensors, without_infinity
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from stages.core.statistics.histogram import TensorCollector
from stages.core.statistics.tensor_statistics import TensorStatistics

__all__ = ["calibration_feeds", "collect"]

WORKING = 2
"""Memory to the bytes of the tensors that are held: running and counting take some. `benchmarks.load` measured 1.6."""

Feeds = dict[str, NDArray[np.float32]]


def calibration_feeds(samples: SampleReader, inputs: Sequence[NetworkInput], label: str) -> Iterator[tuple[str, Feeds]]:
    """Give name and network inputs of each calibration sample, one at a time; `label` names the progress bar."""
    for name, sample in zip(samples.names, track(samples, label), strict=True):
        yield name, feeds(sample, inputs)


def collect(
    model: onnx.ModelProto, pictures: Iterable[tuple[str, Feeds]], tensors: Collection[str] | None = None
) -> dict[str, TensorStatistics]:
    """Collect statistics of float tensors, inputs included.

    Memory holds the tensors of at most two pictures: while one is counted, the next runs; of one where they are large
    (`MOST_BESIDE`). Where a constant of the network makes a tensor infinite, as a mask does, its finite values count.

    Args:
        model: the float network.
        pictures: name and network inputs of each picture.
        tensors: which; None for all.

    Returns:
        Tensor name -> statistics, in graph order.

    Raises:
        UserError: if another tensor holds a value that is not finite, naming tensor and picture, or memory does not
            suffice.
    """
    graph = Graph(model)
    names = [name for name in graph.float_tensors if tensors is None or name in tensors]
    masked = infinite_tensors(graph).intersection(names)
    computed = [name for name in names if name not in graph.inputs]
    # one core runs the network, the others count: threads of its own would wait for each other, spinning
    runner = Runner(with_outputs(model, computed))
    check_available(WORKING * runner.output_bytes, "calibrating with all tensors of a picture")
    collectors = {name: TensorCollector() for name in names}
    workers = thread_count()
    with ThreadPoolExecutor(workers) as pool:
        pending: list[Future[set[str]]] = []
        current = ""
        for picture, inputs in pictures:
            if runner.output_bytes > MOST_BESIDE:
                _wait(pending, current, collectors)
            values = inputs | runner.run(inputs)
            values |= {name: without_infinity(values[name]) for name in masked}
            _wait(pending, current, collectors)  # a tensor's pictures are added one by one: sums keep their order
            parts = _shares({name: values[name] for name in collectors}, workers)
            pending, current = [pool.submit(_add, collectors, part) for part in parts], picture
            del values, parts  # the threads hold them until they are counted
        _wait(pending, current, collectors)
    return {name: collector.finish() for name, collector in collectors.items()}


def _shares(values: Feeds, count: int) -> list[Feeds]:
    """Deal tensors out into `count` shares of about as many values."""
    shares: list[Feeds] = [{} for _ in range(count)]
    sizes = [0] * count
    for name in sorted(values, key=lambda name: -values[name].size):
        least = sizes.index(min(sizes))
        shares[least][name] = values[name]
        sizes[least] += values[name].size
    return shares


def _add(collectors: Mapping[str, TensorCollector], values: Feeds) -> set[str]:
    """Count some tensors; gives the names of those that are not finite."""
    return {name for name, array in values.items() if not collectors[name].add(array)}


def _wait(pending: Iterable[Future[set[str]]], picture: str, order: Iterable[str]) -> None:
    """Wait until a picture is counted; refuse it if a tensor is not finite, naming the first in graph order."""
    broken = {name for future in pending for name in future.result()}
    for name in order:
        if name in broken:
            raise UserError(f"tensor {name!r} is infinite or not a number on {picture}: check weights, mean and normal")
