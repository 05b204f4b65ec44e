"""Work beside the networks: one thread does what it is handed, while the caller's thread runs networks."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, Self, TypeVar

__all__ = ["Background"]

P = ParamSpec("P")
T = TypeVar("T")


class Background:
    """A thread that measures and draws, one piece of work at a time and in the order given.

    ONNX Runtime and compiled loops let go of Python's lock, so that networks, measures and plots go on at once.
    """

    CORES = 1
    """What networks leave to it, see `Runner`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.CORES)
        self._handed_over: Future[object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have work done in time; its result, or what it raises, comes from the future."""
        return self._pool.submit(work, *args, **kwargs)

    def hand_over(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have work done once what was handed over before is done; raises what that raised.

        So the memory of two arguments is held at a time: what is worked on, and what comes next.
        """
        self.finish()
        self._handed_over = self.start(work, *args, **kwargs)

    def finish(self) -> None:
        """Wait until what was handed over is done; raises what it raised."""
        work, self._handed_over = self._handed_over, None
        if work:
            work.result()
