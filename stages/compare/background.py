"""Work beside the networks: a thread measures, processes draw, while the caller's thread runs networks."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, Self, TypeVar

from stages.compare.drawers import Drawers

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
    in_turns: bool
    """Whether what is handed over is waited for, so that the memory of one argument is held at a time."""

    def __init__(self) -> None:
        self.in_turns = False
        self._thread = ThreadPoolExecutor(self.CORES)
        self._drawers = Drawers()
        self._handed_over: Future[object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drawers.end()
        self._thread.shutdown(cancel_futures=True)

    def prepare(self, imports: Callable[[], object]) -> None:
        """Fork the processes, and have them import what they need."""
        self._drawers.begin(imports)

    def draw(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have something drawn in time; its result, or what it raises, comes from the future."""
        return self._drawers.draw(work, *args, **kwargs)

    def hand_over(self, work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have work done once what was handed over before is done; raises what that raised.

        So the memory of two arguments is held at a time: what is worked on, and what comes next.
        """
        self.finish()
        self._handed_over = self._thread.submit(work, *args, **kwargs)
        if self.in_turns:
            self.finish()

    def finish(self) -> None:
        """Wait until what was handed over is done; raises what it raised."""
        work, self._handed_over = self._handed_over, None
        if work:
            work.result()
