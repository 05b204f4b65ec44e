"""One pass over the calibration set: run the network with every tensor as output, collect, forget."""

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.calibrate.histogram import TensorCollector
from stages.core.errors import UserError
from stages.core.graph import Graph
from stages.core.session import Runner, with_outputs
from stages.core.statistics import TensorStatistics

__all__ = ["collect"]

Feeds = dict[str, NDArray[np.float32]]


def collect(model: onnx.ModelProto, pictures: Iterable[tuple[str, Feeds]]) -> dict[str, TensorStatistics]:
    """Collect statistics of every float tensor, inputs included.

    Memory holds the tensors of at most two pictures: while one is counted, the next runs.

    Args:
        model: the float network.
        pictures: name and network inputs of each picture.

    Returns:
        Tensor name -> statistics, in graph order.

    Raises:
        UserError: if a tensor holds a value that is not finite, naming tensor and picture.
    """
    graph = Graph(model)
    computed = [name for name in graph.float_tensors if name not in graph.inputs]
    runner = Runner(with_outputs(model, computed))
    collectors = {name: TensorCollector() for name in graph.float_tensors}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        pending: list[Future[None]] = []
        for picture, feeds in pictures:
            values = feeds | runner.run(feeds)
            _wait(pending)  # a tensor's pictures are taken in one after the other: sums keep their order
            pending = [pool.submit(_add, collectors[name], values[name], name, picture) for name in collectors]
        _wait(pending)
    return {name: collector.finish() for name, collector in collectors.items()}


def _add(collector: TensorCollector, values: NDArray[np.float32], tensor: str, picture: str) -> None:
    if not collector.add(values):
        raise UserError(f"tensor {tensor!r} is infinite or not a number on {picture}: check weights, mean and normal")


def _wait(pending: Iterable[Future[None]]) -> None:
    for future in pending:
        future.result()
