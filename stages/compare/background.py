"""Work beside the networks: a thread measures, processes draw, while the caller's thread runs networks."""

import gc
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import connection, get_context, parent_process
from typing import ParamSpec, Self, TypeVar

from stages.core.base.threads import thread_count

__all__ = ["Background"]

P = ParamSpec("P")
T = TypeVar("T")


class Background:
    """What goes on while networks run.

    Measures let go of Python's lock, as ONNX Runtime does: a thread is enough, and tensors need not be copied. Plots
    hold it and take as long as the networks; drawn in a thread they would make compare a sixth slower.

    Begin before networks are opened: processes are forked, with all that is imported, and threads do not go along.
    """

    CORES = 1
    """What networks leave to it, see `in_order`."""
    MAX_PROCESSES = 2

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(self.CORES)
        self._count = min(thread_count(), self.MAX_PROCESSES)
        self._processes = ProcessPoolExecutor(self._count, get_context("fork"), _follow_parent)
        self._handed_over: Future[object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.shutdown(cancel_futures=True)
        self._thread.shutdown(cancel_futures=True)

    def prepare(self, imports: Callable[[], object]) -> None:
        """Fork the processes, and have each import what it needs."""
        for _ in range(self._count):
            self._processes.submit(imports)

    def draw(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have something drawn in time; its result, or what it raises, comes from the future."""
        return self._processes.submit(work, *args, **kwargs)

    def hand_over(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have work done once what was handed over before is done; raises what that raised.

        So the memory of two arguments is held at a time: what is worked on, and what comes next.
        """
        self.finish()
        self._handed_over = self._thread.submit(work, *args, **kwargs)

    def finish(self) -> None:
        """Wait until what was handed over is done; raises what it raised."""
        work, self._handed_over = self._handed_over, None
        if work:
            work.result()


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it does, however that was."""
    gc.freeze()  # a network of the parent's that is collected here would wait for threads that did not go along
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
